"""How figures read, wherever they are printed: one rule for the terminal and the report.

What a design promises is never rounded in its favour: frame rates and accuracies are rounded down, so that what is
printed can be asked for. Other figures are rounded to the nearest.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

#: Least digits of a frame rate: whole from 1,000 fps on.
RATE_DIGITS = 4
#: Units of limits that count nothing to be had: what would help says it all.
_PLAIN = ("conflict", "accelerators that fit")


def seconds(value: float | None, digits: int = 3) -> str:
    """A duration with so many significant digits: 1.23 ms."""
    if value is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.{digits}g} {unit}" if value < 1000 * scale else f"{value / scale:.0f} {unit}"
    return f"{value * 1e9:.{digits}g} ns"


def rate(fps: float) -> str:
    """A frame rate rounded down to four digits, or to a whole number where it has more."""
    if not fps > 1e-290:  # below, powers of ten have no end
        return "0"
    if fps == math.inf:
        return "unlimited"
    decimals = max(0, RATE_DIGITS - 1 - math.floor(math.log10(fps)))
    text = f"{math.floor(fps * 10**decimals * (1 + 1e-12)) / 10**decimals:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def accuracy(fraction: float | None) -> str:
    """An accuracy rounded down to a hundredth of a point."""
    return "-" if fraction is None else f"{math.floor(1e4 * fraction * (1 + 1e-12)) / 100:.2f} %"


def percent(fraction: float | None, digits: int = 2) -> str:
    """A share, to the nearest."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def quantity(value: float) -> str:
    """A count with a metric suffix: 300.8 M."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value:.4g}"


def count(value: int) -> str:
    """An exact count while it is short, a power of ten beyond: 5.94e36."""
    if value < 10**7:
        return f"{value:,}"
    digits, _, exponent = f"{float(value):.2e}".partition("e")
    return f"{digits}e{int(exponent)}"


def number(n: int, noun: str) -> str:
    """How many: "1 image", "2,000 images"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _digits(value: float, digits: int, rounding: str) -> float:
    """A number with so many significant digits."""
    if not math.isfinite(value):
        return value
    return float(Context(prec=digits, rounding=rounding).create_decimal(Decimal(value)))


def _apart(best: float, rounding: str, asked: float) -> tuple[int, float, float]:
    """Both with six significant digits, or as many more as it takes until they differ; the digits first."""
    for n in range(6, 17):
        had, wanted = _digits(best, n, rounding), _digits(asked, n, ROUND_HALF_EVEN)
        if had != wanted:
            break
    return n, had, wanted


def limit_words(limit: str, needed: float, available: float, unit: str, remedy: str) -> str:
    """One limit that nothing meets, with enough digits that what is asked for and what can be had differ.

    What can be had is rounded so that it can be asked for: latencies up, accuracies down.
    """
    if unit == "s":
        n, had, wanted = _apart(needed * (1 - 1e-12), ROUND_CEILING, available)
        text = f"at best {seconds(had, n)}, asked for {seconds(wanted, n)}"
    elif unit == "of 1":
        n, had, wanted = _apart(100 * available * (1 + 1e-12), ROUND_FLOOR, 100 * needed)
        text = f"at best {had:.{n}g} %, asked for {wanted:.{n}g} %"
    elif unit in _PLAIN:
        return f"{limit}: {remedy}"
    elif unit == "calls":
        text = f"{available:,.10g} of {needed:,.10g}"
    elif limit == "support":
        text = f"{needed:,.10g} {unit}" if "cannot" in unit else f"there are no {unit}"
    else:
        text = f"{needed:,.10g} {unit} needed, {available:,.10g} {unit} available"
    return f"{limit}: {text}; {remedy}"
