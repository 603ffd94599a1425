"""Front: the designs found, what can still exist beyond them, and how the search got there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cofront.figures import limit_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: "feasible": found, with a certified gap; "heuristic": found by a method that certifies nothing.
Status = Literal["optimal", "feasible", "infeasible", "heuristic"]


#: A design has an accuracy when it has this share of it: sums of the same figures differ in their last bits.
ENOUGH = 1 - 1e-12


@dataclass(frozen=True)
class Design:
    """One (network, precision, accelerator) choice. `accuracy` is a fraction; `point` a point of the space."""

    accuracy: float
    latency_s: float
    cycles: int
    resources: dict[str, int]
    config: dict[str, Any]
    point: tuple[int, ...] = ()
    energy_j: float | None = None
    space: str = ""
    device: str = ""

    @property
    def fps(self) -> float:
        return 1.0 / self.latency_s if self.latency_s > 0 else math.inf

    def reaches(self, accuracy: float) -> bool:
        """Whether the design has an accuracy (fraction), give or take the last bits of a sum."""
        return self.accuracy >= accuracy * ENOUGH


@dataclass(frozen=True)
class Infeasible:
    """Why nothing fits: one entry per violated limit, with what would help."""

    limit: str
    needed: float
    available: float
    unit: str
    remedy: str

    @property
    def excess(self) -> float:
        return self.needed - self.available

    def __str__(self) -> str:
        return limit_words(self.limit, self.needed, self.available, self.unit, self.remedy)


@dataclass(frozen=True)
class Front:
    """Non-dominated designs, fastest first (latency and accuracy both rise along the list).

    `gap` is a certified bound, in accuracy (fraction): no design can exceed the front's accuracy at any latency by
    more than it. 0 means the front is exact. `bound` holds (latency_s, accuracy upper bound) steps when gap > 0.
    A heuristic's gap is 1, accuracy being a fraction. `notes` are remarks on how the designs were found.
    """

    designs: tuple[Design, ...]
    gap: float
    n_designs: int
    solve_s: float
    status: Status = "optimal"
    bound: tuple[tuple[float, float], ...] = ()
    infeasible: tuple[Infeasible, ...] = ()
    stats: dict[str, float] = field(default_factory=dict)
    method: str = "exact"
    notes: tuple[str, ...] = ()

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(latency_s, accuracy), each (n,)."""
        import numpy as np

        return (
            np.array([d.latency_s for d in self.designs]),
            np.array([d.accuracy for d in self.designs]),
        )

    def best(self, *, max_latency_s: float | None = None, min_accuracy: float | None = None) -> Design | None:
        """The most accurate design within a latency, or the fastest of at least an accuracy; the knee by default."""
        if max_latency_s is not None:
            fit = [d for d in self.designs if d.latency_s <= max_latency_s]
            fit = [d for d in fit if min_accuracy is None or d.reaches(min_accuracy)]
            return fit[-1] if fit else None
        if min_accuracy is not None:
            return next((d for d in self.designs if d.reaches(min_accuracy)), None)
        return self.knee()

    def knee(self) -> Design | None:
        """The design farthest above the chord between the ends, in (latency, accuracy).

        Not in logarithmic latency: there a front over a wide range of networks can be convex, and its farthest point
        would lie beside its least accurate design.
        """
        if not self.designs:
            return None
        x, y = self.arrays()
        if len(x) < 3:
            return self.designs[-1]
        u = (x - x[0]) / max(x[-1] - x[0], 1e-12)
        v = (y - y[0]) / max(y[-1] - y[0], 1e-12)
        return self.designs[int((v - u).argmax())]

    def hypervolume(self, ref_latency_s: float, ref_accuracy: float) -> float:
        """Area dominated, against a reference point: seconds x accuracy fraction."""
        area, floor = 0.0, ref_accuracy
        for d in self.designs:
            if d.latency_s < ref_latency_s and d.accuracy > floor:
                area += (ref_latency_s - d.latency_s) * (d.accuracy - floor)
                floor = d.accuracy
        return area
