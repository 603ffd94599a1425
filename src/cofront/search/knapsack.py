"""Multiple-choice knapsack, all budgets at once: one option per group, sums of integer cost and of loss traded off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Allocations:
    """All non-dominated allocations, cheapest first: cost (n,), loss (n,), option of each group (n, g)."""

    cost: IntArray
    loss: NDArray[np.float64]
    options: IntArray

    def within(self, budget: int) -> int | None:
        """Index of the least loss at a cost of at most `budget`, or None."""
        i = int(np.searchsorted(self.cost, budget, side="right")) - 1
        return i if i >= 0 else None


def allocate(cost: IntArray, loss: NDArray[np.float64], limit: int) -> Allocations:
    """The exact trade-off of group costs (g, o), integers, and losses (g, o).

    Options that cost `limit` or more, and sums above it, do not exist. Merging groups one by one, a state dominated in
    (cost, loss) can never be part of a better whole, so nothing is lost by dropping it.
    """
    total_cost, total_loss = np.zeros(1, dtype=np.int64), np.zeros(1)
    back: list[tuple[IntArray, IntArray]] = []
    for group_cost, group_loss in zip(cost, loss, strict=True):
        c = (total_cost[:, None] + group_cost[None, :]).ravel()
        v = (total_loss[:, None] + group_loss[None, :]).ravel()
        order = np.lexsort((v, c))
        order = order[c[order] < limit]
        least = np.minimum.accumulate(v[order]) if len(order) else v[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = v[order][1:] < least[:-1]
        kept = order[first]
        back.append((kept // len(group_cost), kept % len(group_cost)))
        total_cost, total_loss = c[kept], v[kept]
    options = np.zeros((len(total_cost), len(back)), dtype=np.int64)
    state = np.arange(len(total_cost))
    for g in range(len(back) - 1, -1, -1):
        parent, option = back[g]
        options[:, g] = option[state]
        state = parent[state]
    return Allocations(total_cost, total_loss, options)
