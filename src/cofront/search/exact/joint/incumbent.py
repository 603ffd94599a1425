"""The best designs known so far: a step function of cost, with the accelerator and the path behind every step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cofront.search.dominance import non_dominated

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """A design as the search keeps it: engine, kept configuration per kernel, edges of the path."""

    cost: int
    score: int
    engine: int
    configs: tuple[int, ...]
    edges: tuple[int, ...]


@dataclass
class Incumbent:
    """Non-dominated candidates by rising cost and score. Of equal ones the first found stays."""

    cost: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    score: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    designs: list[Candidate] = field(default_factory=list)

    def improving(self, cost: I64, score: I64) -> I64:
        """Positions of the points (n,) that beat the front as it is."""
        if len(self.cost) == 0:
            return np.arange(len(cost))
        j = np.searchsorted(self.cost, cost, side="right") - 1
        return np.flatnonzero((j < 0) | (score > self.score[np.maximum(j, 0)]))

    def add(self, found: list[Candidate]) -> None:
        """Merge candidates."""
        if not found:
            return
        every = self.designs + found
        cost = np.array([d.cost for d in every], dtype=np.int64)
        score = np.array([d.score for d in every], dtype=np.int64)
        keep = non_dominated(cost, score)
        self.designs = [every[i] for i in keep]
        self.cost, self.score = cost[keep], score[keep]
