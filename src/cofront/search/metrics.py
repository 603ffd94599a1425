"""How far a front is from the exact one: hypervolume, certified loss, latency at equal accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.front import Design, Front

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A front against the exact one. Losses in accuracy points (percent) at each exact design's latency.

    `unreached` counts exact designs at whose latency the other front has nothing at all; they enter `loss_median` and
    `loss_max` as infinite, `loss_max_reached` leaves them out. `ratio_median` and `ratio_max` are latency at equal
    accuracy over the exact front's designs; `unmatched` counts those whose accuracy the other front never reaches
    (infinite ratios).
    """

    hypervolume_ratio: float
    loss_median: float
    loss_max: float
    loss_max_reached: float
    unreached: int
    ratio_median: float
    ratio_max: float
    unmatched: int
    points: int
    above: int


def accuracy_at(front: Front, latency_s: FloatArray) -> FloatArray:
    """Best accuracy of the front within each latency (n,); -inf where it has nothing."""
    x, y = front.arrays()
    return np.concatenate([[-math.inf], y])[np.searchsorted(x, latency_s, side="right")]


def latency_at(front: Front, accuracy: FloatArray) -> FloatArray:
    """Least latency of the front for at least each accuracy (n,); inf where it never reaches it."""
    x, y = front.arrays()
    return np.concatenate([x, [math.inf]])[np.searchsorted(y, accuracy, side="left")]


def merged(fronts: Sequence[Front], method: str) -> Front:
    """What several heuristic fronts know together: their non-dominated designs, evaluations and times added up."""
    designs: list[Design] = []
    for d in sorted((d for f in fronts for d in f.designs), key=lambda d: (d.latency_s, -d.accuracy)):
        if not designs or d.accuracy > designs[-1].accuracy:
            designs.append(d)
    return Front(
        designs=tuple(designs),
        gap=min((f.gap for f in fronts), default=1.0),
        n_designs=sum(f.n_designs for f in fronts),
        solve_s=sum(f.solve_s for f in fronts),
        status="heuristic",
        method=method,
    )


def reference_point(exact: Front, margin: float = 0.1, points: float = 1.0) -> tuple[float, float]:
    """(latency_s, accuracy): the slowest design's latency plus a margin, the lowest accuracy less some points."""
    if not exact.designs:
        raise UsageError("the exact front is empty: there is nothing to compare with")
    x, y = exact.arrays()
    return float(x[-1]) * (1.0 + margin), float(y[0]) - points / 100.0


def compare(front: Front, exact: Front) -> Comparison:
    """`above` counts designs better than the exact front allows: anything but 0 is a bug in one of the two."""
    reference = reference_point(exact)
    x, y = exact.arrays()
    whole = exact.hypervolume(*reference)
    loss = (y - accuracy_at(front, x)) * 100.0
    ratio = latency_at(front, y) / x
    fx, fy = front.arrays()
    return Comparison(
        hypervolume_ratio=front.hypervolume(*reference) / whole if whole > 0 else math.nan,
        loss_median=float(np.median(loss)),
        loss_max=float(loss.max()),
        loss_max_reached=float(loss[np.isfinite(loss)].max(initial=0.0)),
        unreached=int(np.isinf(loss).sum()),
        ratio_median=float(np.median(ratio)),
        ratio_max=float(ratio.max()),
        unmatched=int(np.isinf(ratio).sum()),
        points=len(x),
        above=int(np.sum(fy > accuracy_at(exact, fx) + 1e-12)),
    )
