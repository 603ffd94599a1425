"""Costs of many networks on many configurations at once.

Letters: n configurations, r rows, m networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.problem import INFEASIBLE, Engine

IntArray = NDArray[np.int64]

#: Elements per temporary array: small enough to stay in the cache.
CHUNK = 1 << 15


def row_latencies(engine: Engine, chosen: IntArray) -> IntArray:
    """(n, r) cycles of every row on configurations `chosen` (n, 3) of an engine: `Engine.row_latency`, vectorised."""
    n, rows = len(chosen), len(engine.memory)
    out = np.empty((n, rows), dtype=np.int64)
    step = max(CHUNK // max(rows, 1), 1)
    first, second, third = engine.kernels
    for start in range(0, n, step):
        a, b, c = np.asarray(chosen[start : start + step]).T
        head_a, head_b = first.head[a], second.head[b]
        tail_b, tail_c = second.tail[b], third.tail[c]
        latency = first.cycles[a]
        latency += tail_b
        latency += tail_c
        path = second.cycles[b]
        path += head_a
        path += tail_c
        np.maximum(latency, path, out=latency)
        path = third.cycles[c]
        path += head_a
        path += head_b
        np.maximum(latency, path, out=latency)
        np.maximum(latency, engine.memory, out=latency)
        latency += engine.overhead
        split = first.solo[a]
        split += second.solo[b]
        split += third.solo[c]
        np.minimum(latency, split, out=latency)
        np.minimum(latency, INFEASIBLE, out=out[start : start + step])
    return out


def network_latencies(engine: Engine, chosen: IntArray, counts: IntArray) -> IntArray:
    """(m, n) cycles of networks, given how often each runs each row (m, r), on configurations (n, 3).

    Floating point matrix products are exact here: all sums stay below 2**53.
    """
    counts = np.asarray(counts)
    if counts.sum(axis=1).max(initial=0) >= 1 << 12:
        raise InputError("batch costs: a network has 4096 calls or more; cost it alone")
    total = counts.astype(np.float64) @ row_latencies(engine, chosen).T.astype(np.float64)
    return np.minimum(total, INFEASIBLE).astype(np.int64)


def feasible(engine: Engine, chosen: IntArray, budget: IntArray) -> NDArray[np.bool_]:
    """(n,) whether each configuration (n, 3) fits the budget (R,)."""
    used = engine.base + sum(k.resources[np.asarray(chosen)[:, i]] for i, k in enumerate(engine.kernels))
    return np.asarray(np.all(used <= budget, axis=1))
