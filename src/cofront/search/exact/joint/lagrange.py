"""Compiled: Lagrangian bounds of accelerators over the trellis, eight multipliers at a time.

For a pair of integers (alpha, lam) >= 0 and an accelerator A,  L_A = max over paths of alpha * score - lam * cost.
All in int64, so that every comparison a certificate rests on is exact; `multipliers.py` checks the headroom.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from cofront.search.exact.joint.vectors import NEVER, Classes, Tables, class_costs, row_latencies

I64 = NDArray[np.int64]
LANES = 8
NEG = -(1 << 61)


class Graph(NamedTuple):
    """The trellis as one engine sees it: per node its incoming arcs, per arc its edges by falling score."""

    node_arcs: I64  # (n + 1,)
    arc_from: I64  # (a,)
    arc_edges: I64  # (a + 1,)
    edge_class: I64  # (e,)
    edge_score: I64  # (e,)
    edge_id: I64  # (e,) number in the problem's trellis


class Scratch(NamedTuple):
    """Working space of one thread: used arcs and, per arc, the edges that are Pareto-optimal on one accelerator."""

    arc_from: I64
    arc_to: I64
    arc_ptr: I64
    cost: I64
    score: I64
    edge: I64
    reached: NDArray[np.bool_]
    value: I64  # (n, LANES)
    best: I64  # (LANES,)


@njit(cache=True, nogil=True)
def make_scratch(g):  # type: ignore[no-untyped-def]
    arcs, edges, nodes = g.arc_from.shape[0], g.edge_class.shape[0], g.node_arcs.shape[0] - 1
    return Scratch(
        np.empty(arcs, np.int64),
        np.empty(arcs, np.int64),
        np.empty(arcs + 1, np.int64),
        np.empty(edges, np.int64),
        np.empty(edges, np.int64),
        np.empty(edges, np.int64),
        np.empty(nodes, np.bool_),
        np.empty((nodes, LANES), np.int64),
        np.empty(LANES, np.int64),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def filter_edges(g, cost, s):  # type: ignore[no-untyped-def]
    """Keep per arc the edges that no other of the arc matches in score at the same or lower cost; count the arcs."""
    nodes = g.node_arcs.shape[0] - 1
    n_arcs = 0
    n_edges = 0
    s.arc_ptr[0] = 0
    s.reached[0] = True
    for v in range(1, nodes):
        s.reached[v] = False
        for a in range(g.node_arcs[v], g.node_arcs[v + 1]):
            u = g.arc_from[a]
            if not s.reached[u]:
                continue
            lowest = NEVER
            for e in range(g.arc_edges[a], g.arc_edges[a + 1]):
                c = cost[g.edge_class[e]]
                if c < lowest:
                    lowest = c
                    s.cost[n_edges] = c
                    s.score[n_edges] = g.edge_score[e]
                    s.edge[n_edges] = e
                    n_edges += 1
            if lowest < NEVER:
                s.reached[v] = True
                s.arc_from[n_arcs] = u
                s.arc_to[n_arcs] = v
                n_arcs += 1
                s.arc_ptr[n_arcs] = n_edges
    if not s.reached[nodes - 1]:
        return 0
    return n_arcs


@njit(cache=True, nogil=True, error_model="numpy")
def bound_lanes(s, n_arcs, alpha, lam):  # type: ignore[no-untyped-def]
    """L for LANES multipliers: the longest paths; the result is the last row of `s.value`."""
    nodes = s.value.shape[0]
    for i in range(LANES):
        s.value[0, i] = 0
    for v in range(1, nodes):
        for i in range(LANES):
            s.value[v, i] = NEG
    best = s.best
    for a in range(n_arcs):
        u, v = s.arc_from[a], s.arc_to[a]
        for i in range(LANES):
            best[i] = NEG
        for e in range(s.arc_ptr[a], s.arc_ptr[a + 1]):
            c, sc = s.cost[e], s.score[e]
            for i in range(LANES):
                best[i] = max(best[i], alpha[i] * sc - lam[i] * c)
        for i in range(LANES):
            s.value[v, i] = max(s.value[v, i], s.value[u, i] + best[i])


def _evaluate(tables, classes, g, entries, alive, level, alpha, lam, threshold, n_blocks, values):  # type: ignore[no-untyped-def]
    """Bounds of n entry tuples (n, K): which windows stay alive, (n,) bit masks, and the greatest bound per window.

    `alive` (n,) uint64 says which windows to look at, `level` (n,) which row of `threshold` (levels, w) applies;
    `alpha`, `lam` are (w / LANES, LANES). The bounds themselves go to `values` (n, w) if it has n rows.
    """
    n = entries.shape[0]
    chunks = alpha.shape[0]
    width = chunks * LANES
    rows = tables.memory.shape[0]
    n_classes = classes.ptr.shape[0] - 1
    out = np.zeros(n, np.uint64)
    greatest = np.full((n_blocks, width), NEG, np.int64)
    keep_values = values.shape[0] == n
    if keep_values:
        values[:] = NEG
    for b in prange(n_blocks):
        total = np.empty(rows, tables.cycles.dtype)
        path = np.empty(rows, tables.cycles.dtype)
        split = np.empty(rows, tables.cycles.dtype)
        lead = np.empty(rows, tables.cycles.dtype)
        cost = np.empty(n_classes, np.int64)
        s = make_scratch(g)
        last = g.node_arcs.shape[0] - 2
        for i in range(b * n // n_blocks, (b + 1) * n // n_blocks):
            row_latencies(tables, entries[i], total, path, split, lead)
            class_costs(tables, classes, total, cost)
            n_arcs = filter_edges(g, cost, s)
            if n_arcs == 0:
                continue
            mask = np.uint64(0)
            for c in range(chunks):
                bits = (alive[i] >> np.uint64(c * LANES)) & np.uint64(255)
                if bits == 0:
                    continue
                bound_lanes(s, n_arcs, alpha[c], lam[c])
                for j in range(LANES):
                    w = c * LANES + j
                    v = s.value[last, j]
                    if keep_values:
                        values[i, w] = v
                    if (bits >> np.uint64(j)) & np.uint64(1) and v >= threshold[level[i], w]:
                        mask |= np.uint64(1) << np.uint64(w)
                        greatest[b, w] = max(greatest[b, w], v)
            out[i] = mask
    return out, greatest


_parallel = njit(cache=True, parallel=True, nogil=True, error_model="numpy")(_evaluate)
_serial = njit(cache=True, nogil=True, error_model="numpy")(_evaluate)
#: From so many tuples on, a second thread is worth its start.
_WORTH_THREADS = 4096


def evaluate(
    tables: Tables,
    classes: Classes,
    g: Graph,
    entries: I64,
    alive: NDArray[np.uint64],
    level: I64,
    alpha: I64,
    lam: I64,
    threshold: I64,
    values: I64,
) -> tuple[NDArray[np.uint64], I64]:
    """`_evaluate` on one thread or on all, by size; the result is the same."""
    n = len(entries)
    run, blocks = (_parallel, 64) if n >= _WORTH_THREADS else (_serial, 1)
    out: tuple[NDArray[np.uint64], I64] = run(
        tables, classes, g, entries, alive, level, alpha, lam, threshold, blocks, values
    )
    return out
