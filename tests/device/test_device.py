"""Devices: parts, user files, budgets, messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cofront import device
from cofront.errors import CofrontError, InputError, UsageError


def test_parts_and_their_published_figures() -> None:
    assert set(device.names()) == {"gx1150", "xc7z020", "xc7z045", "zu3eg", "zu7ev", "zu9eg"}
    zu3eg = device.load("ZU3EG")
    assert (zu3eg.dsp, zu3eg.lut_total, zu3eg.ff, zu3eg.bram36) == (360, 70_560, 141_120, 216)
    # CoDeNet's utilisation on this part: 34,144 LUT = 48.4 %, 41,827 FF = 29.6 %
    assert round(34_144 / zu3eg.lut_total, 3) == 0.484
    assert round(41_827 / zu3eg.ff, 3) == 0.296


@pytest.mark.parametrize("name", device.names())
def test_every_figure_has_a_source(name: str) -> None:
    part = device.load(name)
    figures = {"dsp_kind", "dsp", "lut_total", "lut_usable", "ff", "bram36", "uram"}
    figures |= {"max_clock_hz", "clock_hz", "bandwidth_bytes_per_s"}
    assert figures <= part.sources.keys()
    assert (part.static_power_w is None) == ("static_power_w" not in part.sources)
    assert part.clock_hz <= part.max_clock_hz


def test_unknown_device_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no device named 'zu3'; did you mean zu3eg"):
        device.load("zu3")


def test_budget_takes_the_usable_share_of_luts_only() -> None:
    part = device.load("zu3eg").with_budget(dsp=200)
    assert part.budget == {"dsp": 200, "lut": 49_392, "ff": 141_120, "bram36": 216}
    assert part.sources["dsp"] == "given by the user"
    assert part.lut == 49_392 and part.lut_total == 70_560
    some = part.with_budget(lut=40_000)  # a number of LUTs means those a design may use
    assert some.budget["lut"] == some.lut == 40_000 and some.sources["lut_total"] == "given by the user"
    assert device.load("zu3eg").dsp == 360


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"dsps": 3}, r"no device figure named 'dsps'; did you mean dsp"),
        ({"dsp": -1}, r"dsp must be a whole number of 0 to 1e\+09, got -1"),
        ({"dsp": 1.5}, r"dsp must be a whole number"),
        ({"bandwidth_bytes_per_s": float("nan")}, r"bandwidth_bytes_per_s must be a finite number, got nan"),
        ({"lut_usable": 1.5}, r"lut_usable is a fraction of at most 1"),
        ({"clock_hz": 9e9}, r"clock_hz 9e\+09 is above max_clock_hz"),
        ({"dsp": 10**12}, r"dsp must be a whole number of 0 to 1e\+09"),
        ({"clock_hz": 10**5000}, r"clock_hz must be a finite number, got a number of thousands of digits"),
        ({"clock_hz": 0}, r"clock_hz must be greater than 0"),
    ],
)
def test_impossible_budgets(limits: dict[str, float], message: str) -> None:
    with pytest.raises(CofrontError, match=message):
        device.load("zu3eg").with_budget(**limits)


def test_zero_resources_are_a_budget_not_an_error() -> None:
    assert device.load("zu3eg").with_budget(dsp=0, bram36=0).budget["dsp"] == 0


def test_clock() -> None:
    part = device.load("zu3eg")
    assert part.clock() == 250e6
    assert part.clock(100e6) == 100e6
    for wrong in (0.0, -1.0, 1e9, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="clock must be above 0 and at most 645 MHz"):
            part.clock(wrong)


def _own(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = (device.base.PARTS / "zu3eg.toml").read_text().replace('"zu3eg"', '"mine"')
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_user_file(tmp_path: Path) -> None:
    part = device.load(_own(tmp_path, ("\ndsp = 360", "\ndsp = 100")))
    assert (part.name, part.dsp) == ("mine", 100)
    assert device.load(str(tmp_path / "mine.toml")) == part
    assert device.load(part) is part


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\ndsp = 360", "", "lacks dsp"),
        ("\ndsp = 360", "\ndsp = 'many'", "dsp must be a whole number"),
        ("\ndsp = 360", "\ndsp = true", "dsp must be a whole number"),
        ("\ndsp = 360", "\ndsp = ", "not valid TOML"),
        ("\ndsp = 360", "\ndsp = 360\nfoo = 1", "unknown keys foo"),
        ('"DSP48E2"', '"DSP58"', "dsp_kind must be one of DSP48E2, DSP48E1, INTEL18X19"),
        ('\nlut_total = "', '\nlut_x = "', "gives no source for lut_total"),
        ('name = "mine"', "name = 3", "name must be text, got 3"),
        ("clock_hz = 250_000_000", "clock_hz = inf", "clock_hz must be a finite number"),
    ],
)
def test_bad_user_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        device.load(_own(tmp_path, (old, new)))


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        device.load(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00dsp")
    with pytest.raises(InputError, match="not valid TOML"):
        device.load(tmp_path / "b.toml")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["dsp", "lut_total", "clock_hz", "dsp_kind", "static_power_w", "sources", "name", "lut_usable"]),
    st.one_of(
        st.integers(),
        st.floats(),
        st.booleans(),
        st.just('"x"'),
        st.just("[1]"),
        st.just("{a = 1}"),
        st.text(max_size=5),
    ),
)
def test_any_figure_is_read_or_refused_in_one_line(tmp_path: Path, key: str, value: object) -> None:
    lines = (device.base.PARTS / "zu3eg.toml").read_text().splitlines()
    shown = str(value).lower() if isinstance(value, bool | float) else str(value)
    at = next(i for i, line in enumerate(lines) if line.startswith((f"{key} =", f"[{key}]")))
    lines[at] = f"{key} = {shown}"
    path = tmp_path / "any.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        part = device.load(path)
    except CofrontError as error:
        if len(str(error).splitlines()) != 1:
            raise
    else:
        assert part.budget["dsp"] >= 0
