"""Which partial allocations are beaten in loss and two costs: a sweep by loss with a tree of least costs."""

from __future__ import annotations

import numba
import numpy as np

from cofront.search.allocation.problem import BoolArray, FloatArray, IntArray


@numba.njit(cache=True)
def _sweep(rank: IntArray, other: FloatArray, ranks: int) -> BoolArray:
    """In order of loss: (s,) whether nobody before has at most this rank of one cost and at most this other cost."""
    least = np.full(ranks + 1, np.inf)
    keep = np.zeros(len(rank), np.bool_)
    for i in range(len(rank)):
        beaten, at = False, rank[i] + 1
        while at > 0 and not beaten:
            beaten = least[at] <= other[i]
            at -= at & -at
        if not beaten:
            keep[i] = True
            at = rank[i] + 1
            while at <= ranks:
                if other[i] < least[at]:
                    least[at] = other[i]
                at += at & -at
    return keep


def undominated_in_three(loss: FloatArray, cost: FloatArray) -> IntArray:
    """Indices, by rising loss, of loss (s,), cost (s, 2) that no other equals or beats in all three; of equals one."""
    order = np.lexsort((cost[:, 1], cost[:, 0], loss))
    values, rank = np.unique(cost[order, 0], return_inverse=True)
    keep = _sweep(rank.astype(np.int64), np.ascontiguousarray(cost[order, 1]), len(values))
    return np.asarray(order[keep], np.int64)
