"""Method: what registers under `cofront.searches` and can be named by `--method`; Job: what it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.front import Front
from cofront.problem import CodesignProblem, IntArray
from cofront.search.budget import Budget
from cofront.space.base import Points, Space

#: Points (n, d) -> predicted or measured accuracy (n,), a fraction.
Accuracy = Callable[[Points], NDArray[np.float64]]
#: Called with (designs on the front so far, certified gap as a fraction or None, how far in words).
OnProgress = Callable[[int, float | None, str], None]


@dataclass(frozen=True)
class Job:
    """One search. Every method sees the same problem; some use more than its arrays.

    `accuracy` is what a design of a point scores: the problem's own model, unless another predictor was asked for.
    `edge_operations()` (e,) are bit operations (MACs x weight bits x activation bits), a designer's proxy of cost.
    """

    problem: CodesignProblem
    space: Space
    accuracy: Accuracy
    edge_operations: Callable[[], IntArray]
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    checkpoint: Path | None = None
    on_progress: OnProgress | None = None

    def heard(self, designs: int, gap: float | None, words: str) -> None:
        if self.on_progress is not None:
            self.on_progress(designs, gap, words)


@dataclass(frozen=True)
class Method:
    """A search by name. `certifies`: its gap is a proof; otherwise its front has status "heuristic".

    `counts` says what a budget of evaluations counts ("" when it cannot be limited that way), and `evaluations` how
    many there are when neither they nor the time are limited. `additive`: it searches the problem's own accuracy model
    and no other.
    """

    name: str
    run: Callable[[Job], Front]
    what: str
    certifies: bool = False
    counts: str = ""
    evaluations: int | None = None
    additive: bool = True
