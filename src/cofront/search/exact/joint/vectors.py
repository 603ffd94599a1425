"""Compiled: the cost of every edge class on a tuple of kernel entries (configurations, or clusters of them).

Every function here is monotone in the tables, so entries that are column minima over a cluster of configurations
give lower bounds of the cost on each of its members; single configurations give the cost itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]
#: A class that cannot run. Far above any sum of feasible costs (checked when the tables are built).
NEVER = 1 << 60


class Tables(NamedTuple):
    """Entries of all kernels of an engine below each other, (n, r); int32 where the numbers allow it."""

    cycles: NDArray[np.integer]
    head: NDArray[np.integer]
    tail: NDArray[np.integer]
    solo: NDArray[np.integer]
    memory: NDArray[np.integer]  # (r,)
    overhead: NDArray[np.integer]  # (r,)
    infeasible: int  # row latencies from here on mean that the row cannot run


class Classes(NamedTuple):
    """Distinct row multisets. Class c < r is row c alone, cost = scale * cycles + offset[c]; the others are sums:

    class r + i runs rows[ptr[i]:ptr[i + 1]], possibly none.
    """

    ptr: I64
    rows: I64
    offset: I64  # (r,)
    scale: int


@njit(cache=True, nogil=True, error_model="numpy")
def row_latencies(t, entry, total, path, split, lead):  # type: ignore[no-untyped-def]
    """Latency (r,) of one tuple `entry` (K,) of table rows, into `total`; the others are scratch of the same shape."""
    k_count = entry.shape[0]
    r_count = total.shape[0]
    for r in range(r_count):
        total[r] = t.memory[r]
        lead[r] = 0
        split[r] = 0
    for k in range(1, k_count):
        row = t.tail[entry[k]]
        for r in range(r_count):
            lead[r] += row[r]
    for k in range(k_count):
        cycles = t.cycles[entry[k]]
        solo = t.solo[entry[k]]
        for r in range(r_count):
            path[r] = cycles[r] + lead[r]
            split[r] += solo[r]
        for r in range(r_count):
            total[r] = max(total[r], path[r])
        if k + 1 < k_count:
            head = t.head[entry[k]]
            tail = t.tail[entry[k + 1]]
            for r in range(r_count):
                lead[r] += head[r] - tail[r]
    for r in range(r_count):
        total[r] += t.overhead[r]
    for r in range(r_count):
        total[r] = min(total[r], split[r])


@njit(cache=True, nogil=True, error_model="numpy")
def class_costs(t, classes, total, cost):  # type: ignore[no-untyped-def]
    """Cost of every class from the row latencies `total`, into `cost`; NEVER where a row cannot run."""
    n = total.shape[0]
    for r in range(n):
        v = np.int64(total[r])
        cost[r] = v * classes.scale + classes.offset[r] if v < t.infeasible else NEVER
    for c in range(cost.shape[0] - n):
        s = np.int64(0)
        feasible = True
        for i in range(classes.ptr[c], classes.ptr[c + 1]):
            v = cost[classes.rows[i]]
            s += v if v < NEVER else np.int64(0)
            feasible &= v < NEVER
        cost[n + c] = s if feasible else NEVER


@njit(cache=True, nogil=True)
def n_classes(classes):  # type: ignore[no-untyped-def]
    return classes.offset.shape[0] + classes.ptr.shape[0] - 1


@njit(cache=True, nogil=True)
def totals(t, entries):  # type: ignore[no-untyped-def]
    """Row latencies (n, r) of entry tuples (n, K)."""
    n, rows = entries.shape[0], t.memory.shape[0]
    dtype = t.cycles.dtype
    out = np.empty((n, rows), dtype)
    path, split, lead = np.empty(rows, dtype), np.empty(rows, dtype), np.empty(rows, dtype)
    for i in range(n):
        row_latencies(t, entries[i], out[i], path, split, lead)
        for r in range(rows):
            out[i, r] = min(out[i, r], t.infeasible)
    return out
