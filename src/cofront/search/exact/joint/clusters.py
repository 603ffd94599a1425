"""A binary tree of clusters over the configurations of each kernel, with column minima: the boxes of branch and bound.

A node of the search is one cluster per kernel. Its entry tuple of column minima gives a bound for every combination
of the members; its minimal resources tell whether any can fit. A cluster of one configuration is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.search.exact.joint.compact import CompactEngine
from cofront.search.exact.joint.vectors import Tables

I64 = NDArray[np.int64]


class Forest(NamedTuple):
    """The cluster trees of all kernels of an engine in one numbering; roots first, `roots[k]` of kernel k."""

    roots: I64  # (K,)
    left: I64  # (m,) child, -1 for a single configuration
    right: I64  # (m,)
    config: I64  # (m,) position among the kernel's kept configurations, -1 for a cluster
    loose: NDArray[np.float64]  # (m,) how far the minima are from the members; 0 for a single one
    resources: I64  # (m, R + s) minima


@njit(cache=True, nogil=True, error_model="numpy")
def _split(features, order, left, right, low, high):  # type: ignore[no-untyped-def]
    """Median splits along the widest feature; fills children and the range [low, high) of `order` of each node."""
    n, n_features = features.shape
    low[0], high[0] = 0, n
    made = 1
    node = 0
    while node < made:
        a, b = low[node], high[node]
        left[node] = right[node] = -1
        if b - a > 1:
            widest, spread = 0, -1.0
            for f in range(n_features):
                smallest = largest = features[order[a], f]
                for i in range(a + 1, b):
                    v = features[order[i], f]
                    smallest = min(smallest, v)
                    largest = max(largest, v)
                if largest - smallest > spread:
                    widest, spread = f, largest - smallest
            members = order[a:b].copy()
            values = np.empty(b - a)
            for i in range(b - a):
                values[i] = features[members[i], widest]
            rank = np.argsort(values, kind="mergesort")
            for i in range(b - a):
                order[a + i] = members[rank[i]]
            middle = (a + b) // 2
            left[node], right[node] = made, made + 1
            low[made], high[made] = a, middle
            low[made + 1], high[made + 1] = middle, b
            made += 2
        node += 1


def surrogates(room: I64) -> I64:
    """Weights (R, R + s): every resource by itself, then sums of resources in shares of their room.

    A cluster of multipliers on DSP and on LUT has minima of nearly nothing of either; of a weighted sum it has a
    sensible minimum. What fits the budgets fits their weighted sums too.
    """
    share = (1 << 20) // np.maximum(room, 1) + 1
    n = len(room)
    columns = [np.eye(n, dtype=np.int64)]
    for a in range(n):
        for b in range(a + 1, n):
            for x, y in ((1, 1), (1, 3), (3, 1)):
                column = np.zeros((n, 1), np.int64)
                column[a], column[b] = x * share[a], y * share[b]
                columns.append(column)
    columns.append(share[:, None].astype(np.int64))
    return np.concatenate(columns, axis=1)


def build(engine: CompactEngine, weights: I64) -> tuple[Forest, Tables]:
    """Cluster trees of an engine's kernels, and one table with an entry (minima) for every cluster.

    Resources are taken in the combinations `weights` (R, R + s).
    """
    left, right, config, loose, resources, roots = [], [], [], [], [], []
    stacks: list[list[NDArray[np.integer]]] = [[], [], [], []]
    base = 0
    room = np.maximum(engine.room, 1)
    for table, used in zip(engine.tables, engine.resources, strict=True):
        n = len(used)
        m = 2 * n - 1
        order = np.arange(n)
        lo, hi = np.empty(m, np.int64), np.empty(m, np.int64)
        lc, rc = np.empty(m, np.int64), np.empty(m, np.int64)
        _split(_features(table, used / room), order, lc, rc, lo, hi)
        leaf = lc < 0
        cfg = np.where(leaf, order[lo], -1)
        entries = [_minima(a, lc, rc, cfg) for a in table[:4]]
        least = _minima(used @ weights, lc, rc, cfg)
        loose.append(_looseness(table, used, room, lo, hi, order, entries[0], least[:, : used.shape[1]]))
        for stack, e in zip(stacks, entries, strict=True):
            stack.append(e)
        resources.append(least)
        left.append(np.where(leaf, -1, lc + base))
        right.append(np.where(leaf, -1, rc + base))
        config.append(cfg)
        roots.append(base)
        base += m
    forest = Forest(
        np.array(roots, dtype=np.int64),
        np.concatenate(left),
        np.concatenate(right),
        np.concatenate(config),
        np.concatenate(loose),
        np.ascontiguousarray(np.concatenate(resources)),
    )
    first = engine.tables[0]
    merged = [np.ascontiguousarray(np.concatenate(s)) for s in stacks]
    return forest, Tables(merged[0], merged[1], merged[2], merged[3], first.memory, first.overhead, first.infeasible)


def _features(table: Tables, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to split by: log2 of a sample of cycle columns, and the share of the budget of each resource, (n, f)."""
    columns = table.cycles[:, (table.cycles != table.cycles[:1]).any(axis=0)]
    pick = np.unique(np.linspace(0, max(columns.shape[1] - 1, 0), 24).astype(np.int64))
    sample = columns[:, pick] if columns.shape[1] else np.zeros((len(share), 0))
    finite = np.where(sample < table.infeasible, sample, 0)
    top = finite.max(axis=0, initial=1)
    logs = np.log2(1.0 + np.where(sample < table.infeasible, sample, 4 * top))
    return np.ascontiguousarray(np.concatenate([logs, 4.0 * share], axis=1))


def _minima(values: NDArray[np.integer], left: I64, right: I64, config: I64) -> NDArray[np.integer]:
    """Column minima (m, c) of every cluster, children before parents."""
    out = np.empty((len(left), values.shape[1]), dtype=values.dtype)
    leaf = left < 0
    out[leaf] = values[config[leaf]]
    for node in np.flatnonzero(~leaf)[::-1]:
        np.minimum(out[left[node]], out[right[node]], out=out[node])
    return out


def _looseness(
    table: Tables,
    used: I64,
    room: I64,
    low: I64,
    high: I64,
    order: I64,
    minima: NDArray[np.integer],
    least: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Mean relative excess of the members over the minima, cycles and resources alike, (m,)."""
    top = np.where(table.cycles < table.infeasible, table.cycles, 0).max(axis=0, initial=0)
    cycles = np.minimum(table.cycles, 2 * top[None, :]).astype(np.float64)
    weight = 1.0 / np.maximum(np.median(cycles, axis=0), 1.0)
    running = np.concatenate([[0.0], np.cumsum((cycles * weight).mean(axis=1)[order])])
    count = high - low
    mean = (running[high] - running[low]) / count
    floor = (np.minimum(minima, 2 * top[None, :]) * weight).mean(axis=1)
    share = np.concatenate([[0.0], np.cumsum((used / room).mean(axis=1)[order])])
    excess = (share[high] - share[low]) / count - (least / room).mean(axis=1)
    loose = np.maximum(mean - floor, 0.0) + np.maximum(excess, 0.0) + 1e-9
    return np.asarray(np.where(count > 1, loose, 0.0))
