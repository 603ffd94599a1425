"""Device: what an FPGA part and its usual board offer, each figure with its source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from cofront.errors import InputError, UsageError, unknown_name

DspKind = Literal["DSP48E2", "DSP48E1", "INTEL18X19"]

PARTS = Path(__file__).parent / "parts"

#: Whole numbers of a part; zero means none.
_COUNTS = ("dsp", "lut_total", "ff", "bram36", "uram")
_POSITIVE = ("max_clock_hz", "clock_hz", "bandwidth_bytes_per_s")
_OPTIONAL = ("static_power_w", "active_power_w")
_TEXT = ("name", "title", "board", "dsp_kind")

#: Beyond any device; they keep sums and products of figures inside 64 bits.
_MOST, _LARGEST = 10**9, 1e15


def _short(value: object) -> str:
    try:
        return repr(value)[:40]
    except ValueError:  # an integer of thousands of digits
        return "a number of thousands of digits"


def allowed_clock(what: str, clock_hz: float, most_hz: float) -> float:
    """The clock; a UsageError, which begins with `what`, when that cannot run at it."""
    if not 0 < clock_hz <= most_hz:
        raise UsageError(f"{what}: clock must be above 0 and at most {most_hz / 1e6:g} MHz, got {clock_hz / 1e6:g} MHz")
    return float(clock_hz)


@dataclass(frozen=True)
class Device:
    """One FPGA on one board.

    `lut_total` and `bram36` are 6-input LUTs and 36-kbit block RAMs, or what other vendors' blocks amount to
    (`sources` says how they were converted). `lut_usable` is the share of the LUTs that a design may use, and `lut`,
    here as everywhere, their number. `static_power_w` is drawn
    whatever happens, `active_power_w` more while the accelerator is clocked; None when not known.
    """

    name: str
    title: str
    board: str
    dsp_kind: DspKind
    dsp: int
    lut_total: int
    ff: int
    bram36: int
    uram: int
    max_clock_hz: float
    clock_hz: float
    bandwidth_bytes_per_s: float
    lut_usable: float = 0.7
    static_power_w: float | None = None
    active_power_w: float | None = None
    sources: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        where = f"device '{self.name}'"
        for key in _COUNTS:
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
                raise InputError(f"{where}: {key} must be a whole number of 0 to {_MOST:g}, got {_short(value)}")
        for key in (*_POSITIVE, "lut_usable", *_OPTIONAL):
            value = getattr(self, key)
            if value is None and key in _OPTIONAL:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
                raise InputError(f"{where}: {key} must be a finite number, got {_short(value)}")
            if value < 0 or (value == 0 and key not in _OPTIONAL):
                raise InputError(f"{where}: {key} must be greater than 0, got {value!r}")
        if self.lut_usable > 1:
            raise InputError(f"{where}: lut_usable is a fraction of at most 1, got {self.lut_usable}")
        if self.clock_hz > self.max_clock_hz:
            raise InputError(f"{where}: clock_hz {self.clock_hz:g} is above max_clock_hz {self.max_clock_hz:g}")
        if self.dsp_kind not in get_args(DspKind):
            raise InputError(f"{where}: dsp_kind must be one of {', '.join(get_args(DspKind))}, got {self.dsp_kind!r}")

    @property
    def lut(self) -> int:
        """LUTs that a design may use."""
        return int(self.lut_total * self.lut_usable)

    @property
    def budget(self) -> dict[str, int]:
        """What a design may use: every DSP, FF and BRAM, and the usable share of the LUTs."""
        return {"dsp": self.dsp, "lut": self.lut, "ff": self.ff, "bram36": self.bram36}

    def clock(self, clock_hz: float | None = None) -> float:
        """`clock_hz`, or the default; a UsageError when the part cannot run at it."""
        return allowed_clock(
            f"device '{self.name}'", self.clock_hz if clock_hz is None else clock_hz, self.max_clock_hz
        )

    def with_budget(self, **limits: float) -> Device:
        """A copy with other figures, such as `dsp=200` or `bandwidth_bytes_per_s=2e9`.

        `lut` is how many LUTs a design may use, whatever the part has.
        """
        allowed = (*_COUNTS, *_POSITIVE, *_OPTIONAL, "lut", "lut_usable")
        for key in limits:
            if key not in allowed:
                raise unknown_name("device figure", key, allowed)
        if "lut" in limits:
            limits |= {"lut_total": limits["lut"], "lut_usable": 1.0}
            del limits["lut"]
        sources = {**self.sources, **dict.fromkeys(limits, "given by the user")}
        return replace(self, **limits, sources=sources)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _read(path: Path) -> Device:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"device file '{path}' cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"device file '{path}' is not valid TOML: {error}") from None
    known = {f.name for f in fields(Device)}
    needed = {*_TEXT, *_COUNTS, *_POSITIVE}
    if missing := sorted(needed - data.keys()):
        raise InputError(f"device file '{path}' lacks {', '.join(missing)}")
    if extra := sorted(data.keys() - known):
        raise InputError(f"device file '{path}' has unknown keys {', '.join(extra)}; known: {', '.join(sorted(known))}")
    for key in _TEXT:
        if not isinstance(data[key], str) or not data[key]:
            raise InputError(f"device file '{path}': {key} must be text, got {data[key]!r}")
    sources = data.get("sources", {})
    if not isinstance(sources, dict) or not all(isinstance(v, str) for v in sources.values()):
        raise InputError(f"device file '{path}': sources must be a table of texts")
    if unsourced := sorted(k for k in data if k in (*_COUNTS, *_POSITIVE, *_OPTIONAL) and k not in sources):
        raise InputError(f"device file '{path}' gives no source for {', '.join(unsourced)}; add them under [sources]")
    return Device(**data)


def names() -> tuple[str, ...]:
    """The parts that come with cofront, sorted."""
    return tuple(sorted(p.stem for p in PARTS.glob("*.toml")))


@cache
def _part(name: str) -> Device:
    return _read(PARTS / f"{name}.toml")


def load(name: str | Path | Device) -> Device:
    """A part by name (any case), a user's TOML file by path, or a Device as it is."""
    if isinstance(name, Device):
        return name
    if isinstance(name, Path) or str(name).lower().endswith(".toml"):
        return _read(Path(name))
    key = str(name).strip().lower()
    if key not in names():
        raise unknown_name("device", str(name), names())
    return _part(key)
