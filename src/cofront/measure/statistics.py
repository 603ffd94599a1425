"""From visits to figures: medians with their confidence, outliers, and whether the clock kept its pace."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Scaled median absolute deviations from the median beyond which a visit is an outlier.
FAR = 5.0
#: Change of the reference kernel, as a fraction, that is a change of the clock.
CHANGE = 0.05
#: Visits, one after the other, that say how slow the machine is at their middle.
WINDOW = 21


@dataclass(frozen=True)
class Timing:
    """Seconds of one model: the median over its visits and where the true one lies at 95 % (as near as visits allow).

    `outliers` of the visits are far off the others and `drifted` ones were made while the clock was another; these are
    not counted in. `interrupted` is the share of runs during which the system gave the processor to others.
    """

    median_s: float
    low_s: float
    high_s: float
    visits: int
    runs: int
    outliers: int
    drifted: int
    interrupted: float

    @property
    def half(self) -> float:
        """Half the width of the interval, relative to the median."""
        return 0.5 * (self.high_s - self.low_s) / self.median_s if self.median_s > 0 else math.nan


@dataclass(frozen=True)
class Quality:
    """What is to be said of a whole measurement.

    `clock_low` and `clock_high`: the reference kernel's greatest slowness and speed relative to its median, as
    fractions; `interrupted`: share of runs; `substituted`: visits with too few uninterrupted runs; `stolen`: share of
    the machine's time that a hypervisor gave to others, if it says so; `common`: the most that all models were slower
    or faster together, as a fraction, which is divided out.
    """

    clock_low: float
    clock_high: float
    references: int
    drifted: int
    outliers: int
    visits: int
    interrupted: float
    substituted: int
    stolen: float
    common: float = 0.0

    def notes(self) -> list[str]:
        """What a reader must know, in sentences; nothing when all is well."""
        out = []
        if max(self.clock_low, self.clock_high) > CHANGE:
            out.append(
                f"the clock changed, or the processor was shared: a fixed computation took up to "
                f"{100 * self.clock_low:.0f} % more and {100 * self.clock_high:.0f} % less time than usual; "
                f"{self.drifted} of {self.visits} visits are left out for it"
            )
        if self.common > CHANGE:
            out.append(f"all models were up to {100 * self.common:.0f} % slower or faster together: divided out")
        if self.outliers:
            out.append(f"{self.outliers} of {self.visits} visits are outliers")
        if self.interrupted > 0.05:
            out.append(
                f"{100 * self.interrupted:.0f} % of the runs were interrupted by other work on the machine and are "
                f"left out; {self.substituted} of {self.visits} visits had too few others and count by processor time"
            )
        if self.stolen > 0.01:
            out.append(f"{100 * self.stolen:.0f} % of the machine's time went to other virtual machines")
        return out


def interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """The order statistics between which the median lies with probability `level`; all of the range if too few."""
    ordered, n = np.sort(values), len(values)
    k, below = 0, 0.5**n  # of so many coins at most k fall one way
    while k + 1 < n // 2 and below + math.comb(n, k + 1) * 0.5**n <= (1 - level) / 2:
        k += 1
        below += math.comb(n, k) * 0.5**n
    return float(ordered[k]), float(ordered[n - 1 - k])


def timings(lines: Sequence[dict[str, Any]]) -> tuple[dict[str, Timing], Quality]:
    """Timing by item, and the quality of the whole, from the lines of a journal in their order."""
    lines, common = _steadied(lines)
    references = np.array([line["s"] for line in lines if "ref" in line], float)
    usual = float(np.median(references)) if len(references) else 1.0
    visits: dict[str, list[dict[str, Any]]] = defaultdict(list)
    pace = 1.0
    drifted: dict[str, list[bool]] = defaultdict(list)
    for line in lines:
        if "ref" in line:
            pace = line["s"] / usual
        elif "visit" in line:
            visits[line["visit"]].append(line)
            drifted[line["visit"]].append(abs(pace - 1) > CHANGE)
    found = {item: _timing(rows, np.array(drifted[item])) for item, rows in visits.items()}
    each = list(found.values())
    runs = sum(t.runs for t in each)
    quality = Quality(
        clock_low=float(references.max() / usual - 1) if len(references) else 0.0,
        clock_high=float(1 - references.min() / usual) if len(references) else 0.0,
        references=len(references),
        drifted=sum(t.drifted for t in each),
        outliers=sum(t.outliers for t in each),
        visits=sum(t.visits for t in each),
        interrupted=sum(t.interrupted * t.runs for t in each) / max(runs, 1),
        substituted=sum(r["by"] != "wall" for rows in visits.values() for r in rows),
        common=common,
        stolen=max((line.get("stolen", 0.0) for line in lines if "done" in line), default=0.0),
    )
    return found, quality


def _steadied(lines: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
    """The lines with what slowed all models alike divided out of their seconds, and the most that was, as a fraction.

    Models take turns: how much longer than their own medians the visits around a moment took says how slow the machine
    was then. Running medians follow minutes and seconds, not single visits, and their median is 1.
    """
    rows = [i for i, line in enumerate(lines) if "visit" in line]
    names = np.array([lines[i]["visit"] for i in rows])
    if len(rows) < 4 * WINDOW or len(set(names)) < WINDOW // 2:
        return list(lines), 0.0  # too few models to tell a slow moment from a slow visit
    log = np.log(np.array([lines[i]["s"] for i in rows], float))
    items = [np.flatnonzero(names == name) for name in dict.fromkeys(names)]
    slow = np.zeros(len(rows))
    for _ in range(2):
        rest = log - slow
        usual = np.zeros(len(rows))
        for mine in items:
            usual[mine] = np.median(rest[mine])
        padded = np.pad(log - usual, WINDOW // 2, mode="reflect")
        slow = np.median(np.lib.stride_tricks.sliding_window_view(padded, WINDOW), axis=1)
    slow -= np.median(slow)
    out = list(lines)
    for i, factor in zip(rows, np.exp(slow), strict=True):
        out[i] = {**lines[i], "s": lines[i]["s"] / float(factor)}
    return out, float(np.expm1(np.abs(slow).max()))


def _timing(rows: list[dict[str, Any]], drifted: NDArray[np.bool_]) -> Timing:
    values = np.array([r["s"] for r in rows], float)
    steady = values[~drifted] if (~drifted).sum() * 2 >= len(values) else values
    middle = float(np.median(steady))
    spread = 1.4826 * float(np.median(np.abs(steady - middle)))
    far = np.abs(steady - middle) > max(FAR * spread, 0.02 * middle)
    runs = sum(r["runs"] for r in rows)
    return Timing(
        median_s=middle,
        low_s=interval(steady)[0],
        high_s=interval(steady)[1],
        visits=len(values),
        runs=runs,
        outliers=int(far.sum()),
        drifted=len(values) - len(steady),
        interrupted=sum(r["interrupted"] for r in rows) / max(runs, 1),
    )
