"""Which operators: scores and prices as an allocation problem [LANA21], and random networks to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cofront.search.allocation.problem import Problem
from cofront.systems.lana_prices import Prices

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
LATENCY = "latency_s"


def problem_of(change: FloatArray, prices: Prices) -> Problem:
    """The allocation problem of scores (l, o) and prices: what lacks either cannot be taken."""
    mask = np.isfinite(change) & np.isfinite(prices.seconds)
    return Problem(np.where(mask, change, 0.0), {LATENCY: np.where(mask, prices.seconds, 0.0)}, mask)


def random_feasible(problem: Problem, limit_s: float, count: int, rng: np.random.Generator) -> list[IntArray]:
    """`count` random allocations within the limit: units in random order take a random operator that still leaves the
    others room. Ours; empty when nothing meets the limit."""
    seconds, mask = problem.cost(LATENCY), problem.allowed
    least = np.where(mask, seconds, np.inf).min(axis=1)
    if least.sum() > limit_s:
        return []
    out = []
    for _ in range(count):
        choice, room = np.zeros(len(seconds), np.int64), limit_s - float(least.sum())
        for i in rng.permutation(len(seconds)):
            options = np.flatnonzero(mask[i] & (seconds[i] - least[i] <= room + 1e-15))
            choice[i] = rng.choice(options)
            room -= float(seconds[i, choice[i]] - least[i])
        out.append(choice)
    return out


def names_of(operators: Sequence[Mapping[str, object]], choice: IntArray) -> list[str]:
    """The operators' names of an allocation (l,)."""
    return [list(o)[int(j)] for o, j in zip(operators, choice, strict=True)]
