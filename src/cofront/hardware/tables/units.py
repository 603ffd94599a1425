"""What a column of measurements means: latency, energy or throughput, its unit by its name, and whether it is sane."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError, unknown_name

FloatArray = NDArray[np.float64]

#: Unit as written in a column's name or given by hand -> (what it measures, factor to the SI unit).
UNITS: dict[str, tuple[str, float]] = {
    "s": ("latency", 1.0), "ms": ("latency", 1e-3), "us": ("latency", 1e-6), "ns": ("latency", 1e-9),
    "j": ("energy", 1.0), "mj": ("energy", 1e-3), "uj": ("energy", 1e-6), "nj": ("energy", 1e-9),
    "pj": ("energy", 1e-12),
}  # fmt: skip
_WORDS = {"latency": "latency", "lat": "latency", "energy": "energy"}
#: How far the median of a column may be from the devices known, before the unit is doubted.
DOUBT = 30.0
#: Medians over a space of the slowest and the fastest device of the public tables, in seconds: a guard, not a limit.
KNOWN_LATENCY_S: Mapping[str, tuple[float, float]] = {
    "nasbench201": (1.1e-3, 26e-3),
    "fbnet": (5.3e-3, 105e-3),
    "ofa_mobilenetv3": (5.8e-3, 46e-3),
    "mnasnet_accel": (3e-3, 10e-3),
}


@dataclass(frozen=True)
class Quantity:
    """What a column holds: "latency" (s) or "energy" (J) after multiplication by `scale`, of which device."""

    kind: str
    scale: float
    device: str

    @property
    def unit(self) -> str:
        return "s" if self.kind == "latency" else "J"


def plain(device: str) -> str:
    """A device's name without case and punctuation: "Pixel-3" and "pixel_3" are one device."""
    return re.sub(r"[\W_]+", "", device.casefold())


def parse_column(name: str, unit: str | None = None) -> Quantity:
    """From names such as "lat_ms_pixel3", "latency_us", "energy_mJ_fpga"; `unit` overrules or supplies the unit."""
    parts = [p for p in re.split(r"[_\s\[\]()]+", name) if p]
    kind = next((_WORDS[p.lower()] for p in parts if p.lower() in _WORDS), "")
    known = [p for p in parts if p.lower() in UNITS and (not kind or UNITS[p.lower()][0] == kind)]
    if unit is not None and unit.lower() not in UNITS:
        raise unknown_name("unit", unit, ("s", "ms", "us", "ns", "J", "mJ", "uJ", "nJ", "pJ"))
    if unit is None and len({p.lower() for p in known}) > 1:
        raise UsageError(f"column '{name}': {', '.join(known)} may each be its unit; say which with --unit")
    found = unit or (known[0] if known else None)
    if found is None:
        raise UsageError(
            f"column '{name}': its name says no unit; name it like latency_ms_board or energy_mJ_board, or give --unit"
        )
    measures, scale = UNITS[found.lower()]
    if kind and kind != measures:
        raise UsageError(f"column '{name}' is {kind} by its name, but {found} is a unit of {measures}")
    own = known if len(known) == 1 else [p for p in known if p.lower() == found.lower()]
    drop = {p for p in parts if p.lower() in _WORDS or p in own}
    return Quantity(measures, scale, "_".join(p for p in parts if p not in drop) or "device")


def shown(value: object) -> str:
    """A value for a message, cut short; Python does not print integers of thousands of digits."""
    long = isinstance(value, int) and value.bit_length() > 1000
    return "an integer of hundreds of digits" if long else f"{value!r:.40}"


def column_numbers(name: str, column: Sequence[object], *, drop_negative: bool = False) -> FloatArray:
    """(n,) numbers, NaN where there is no entry. NaN, infinite, negative entries and text are InputErrors."""
    out = np.full(len(column), np.nan)
    for i, value in enumerate(column):
        if value is None or value == "":
            continue
        number = math.nan
        if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
            with suppress(OverflowError):  # an integer of hundreds of digits
                number = float(value)
        if not math.isfinite(number):
            raise InputError(
                f"column '{name}', row {i}: expected a number, got {shown(value)}; leave it empty if unknown"
            )
        if number < 0:
            if drop_negative:
                continue
            raise InputError(
                f"column '{name}', row {i}: {number:g} is negative; leave unmeasured rows empty, or drop them with "
                "--drop-negative"
            )
        out[i] = number
    return out


def check_magnitude(name: str, values: FloatArray, quantity: Quantity, known: tuple[float, float] | None) -> None:
    """InputError when the median is far outside `known`, the SI medians of the fastest and slowest known device."""
    if quantity.kind != "latency" or known is None or not len(values):
        return
    doubt, low, high = magnitude(float(np.median(values)) * quantity.scale, known)
    if doubt:
        raw = float(np.median(values))
        likely = [u for u in ("s", "ms", "us", "ns") if low <= raw * UNITS[u][1] <= high]
        asked = f"; is it in {likely[0]}? say so with --unit {likely[0]}" if likely else ""
        raise InputError(f"column '{name}': its median of {doubt}{asked}; --any-magnitude takes it as it is")


def magnitude(median_s: float, known: tuple[float, float]) -> tuple[str, float, float]:
    """What is doubtful about a median latency, "" if nothing, and the least and greatest that nobody doubts."""
    low, high = known[0] / DOUBT, known[1] * DOUBT
    if low <= median_s <= high:
        return "", low, high
    much = known[0] / max(median_s, 1e-300) if median_s < low else median_s / known[1]
    how = "less than the fastest" if median_s < low else "more than the slowest"
    return f"{_seconds(median_s)} is {much:.3g} times {how} known device", low, high


def _seconds(value: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
