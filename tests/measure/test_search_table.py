"""`cofront search` on a table of operators."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cofront import space
from cofront.cli.main import run
from cofront.errors import InputError
from cofront.hardware.tables import read_additive
from cofront.measure.models import operators

MACRO = space.load("nasbench_macro")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of operators and one of accuracies."""
    monkeypatch.chdir(tmp_path)
    rows = {i.key: 0.02 + i.network.macs / 4e7 for i in operators(MACRO)}
    Path("box.json").write_text(json.dumps({"operator": list(rows), "latency_ms": list(rows.values())}))
    points = MACRO.sample(np.random.default_rng(0), 120)
    points[:, 8:] = 0
    table = {c.name: [MACRO.describe(p)[c.name] for p in points] for c in MACRO.choices[:8]}
    macs = np.array([MACRO.network(p).macs for p in points])
    Path("top.json").write_text(json.dumps({**table, "accuracy": list(0.6 + 0.05 * np.log(macs / 1e6))}))
    return tmp_path


SEARCH = ["search", "--device", "box.json", "--space", "nasbench_macro", "--accuracy-table", "top.json", "-o", "out"]


def test_the_front_is_exact_and_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SEARCH, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gap"] == 0 and found["status"] == "optimal" and found["designs"] == 3**8
    device, front = read_additive("box.json"), found["front"]
    points = np.array([d["point"] for d in front])
    latency = device.of_points(MACRO, points)
    assert np.allclose([d["latency_s"] for d in front], latency, atol=2e-8)
    # no whole network was measured: the interval is that of a guess, and said to be
    assert np.allclose([d["latency_high_s"] - d["latency_low_s"] for d in front], 2 * 1.96 * 0.1 * latency)
    assert "10 % is a guess" in found["latency_note"]
    every = np.stack(np.meshgrid(*[np.arange(3)] * 8, indexing="ij"), -1).reshape(-1, 8)
    every = np.concatenate([every, np.zeros_like(every)], axis=1)
    assert front[0]["latency_s"] == pytest.approx(device.of_points(MACRO, every).min(), abs=2e-8)
    assert (here / "out" / "report.html").stat().st_size > 1e5
    assert run([*SEARCH, "--fps", "200"]) == 0
    text = capsys.readouterr().out
    assert "gap 0: exact over 6,561 networks" in text and "\n* " in text and "the device runs float32" in text


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--accuracy", "0.99"], 1, "no network of the front meets what was asked"),
        (["--third", "dsp"], 2, "--third: not for a device known by a table"),
        (["--budget", "dsp=9", "--clock", "1GHz"], 2, "--budget, --clock: not for"),
        (["--method", "nsga2"], 2, "--method: not for"),
        (["--grid", "fine", "--time-limit", "9"], 2, "--grid, --time-limit: not for"),
        (["--data", "."], 2, "--data: not for a device known by a table"),
        (["--accuracy-table", "none.json"], 2, "there is no file 'none.json'; expected a table of accuracies"),
        (["-o", "top.json"], 2, "--out top.json is a file; expected a folder"),
        (["--device", "none.csv"], 2, "none.csv: no such file"),
        (["--device", "top.json"], 1, "no column 'operator' or 'feature'"),
        (["--precision", "W4A4"], 1, "the accuracy of W4A4 was not measured"),
    ],
)
def test_what_cannot_be(here: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, says: str) -> None:
    assert run([*SEARCH, *more]) == code
    assert says in capsys.readouterr().err
    if code == 2:
        assert not (here / "out").exists(), "nothing is left behind"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--third", "dsp"], "--third: not for"),
        (["--accuracy-table", "none.json"], "there is no file 'none.json'"),
    ],
)
def test_nothing_is_measured_for_a_request_that_cannot_be(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, more: list[str], says: str
) -> None:
    monkeypatch.setattr("cofront.cli.searching_tables.measure", lambda *_, **__: pytest.fail("measured"))
    assert run([*SEARCH, "--device", "host", *more]) == 2
    assert says in capsys.readouterr().err and not (here / "out").exists()


def test_a_measurement_that_fails_leaves_no_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InputError("no such board")

    monkeypatch.setattr("cofront.cli.searching_tables.measure", fail)
    assert run([*SEARCH, "--device", "host"]) == 1 and not (here / "out").exists()


def test_a_search_that_is_interrupted_is_so_in_the_study_and_runs_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cofront.api import tabled
    from cofront.study import Study

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tabled, "_solve", stopped)
        assert run(SEARCH) == 130
    assert run(SEARCH) == 0
    with Study("out/study.sqlite", write=False) as study:
        assert [r.status for r in study.runs()] == ["interrupted", "done"]
