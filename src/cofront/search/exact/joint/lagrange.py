"""Compiled: Lagrangian bounds of accelerators over the trellis.

For a pair of integers (alpha, lam) >= 0 and an accelerator A,  L_A = max over paths of alpha * score - lam * cost.
All in int64, so that every comparison a certificate rests on is exact; `multipliers.py` checks the headroom.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from cofront.search.exact.joint.vectors import NEVER, Classes, Tables, class_costs, n_classes, row_latencies

I64 = NDArray[np.int64]
NEG = -(1 << 61)
#: A threshold that no bound reaches: the window is empty.
CLOSED = 1 << 62


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
    value: I64  # (n,)


class Coarse(NamedTuple):
    """One multiplier for each of c windows, and its threshold."""

    alpha: I64  # (c,)
    lam: I64  # (c,)
    threshold: I64  # (c,)


class Fine(NamedTuple):
    """f multipliers within each of the c windows; f may be 0."""

    alpha: I64  # (c, f)
    lam: I64  # (c, f)
    threshold: I64  # (c, f)


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
        np.empty(nodes, np.int64),
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
def bound(s, n_arcs, alpha, lam):  # type: ignore[no-untyped-def]
    """L for one multiplier: the longest path over the edges that `filter_edges` left."""
    value = s.value
    value[1:] = NEG
    value[0] = 0
    for a in range(n_arcs):
        best = NEG
        for e in range(s.arc_ptr[a], s.arc_ptr[a + 1]):
            best = max(best, alpha * s.score[e] - lam * s.cost[e])
        v = s.arc_to[a]
        value[v] = max(value[v], value[s.arc_from[a]] + best)
    return value[value.shape[0] - 1]


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(tables, classes, g, entries, alive, coarse, fine, start, end, out, greatest, values):  # type: ignore[no-untyped-def]
    """Bounds of the entry tuples (n, K) from `start` to `end`: which windows stay alive, to `out` (n,) as bit masks.

    `alive` (n,) uint64 says which windows to look at. A window stays alive if its own bound reaches its threshold, and
    one of its fine windows does (unless `fine` has none). `greatest` (c,) are raised to the bounds of those that stay;
    the coarse bounds themselves go to `values` (n, c) if it has n rows.
    """
    count = coarse.alpha.shape[0]
    lanes = fine.alpha.shape[1]
    rows = tables.memory.shape[0]
    keep_values = values.shape[0] == entries.shape[0]
    total = np.empty(rows, tables.cycles.dtype)
    path = np.empty(rows, tables.cycles.dtype)
    split = np.empty(rows, tables.cycles.dtype)
    lead = np.empty(rows, tables.cycles.dtype)
    cost = np.empty(n_classes(classes), np.int64)
    s = make_scratch(g)
    for i in range(start, end):
        row_latencies(tables, entries[i], total, path, split, lead)
        class_costs(tables, classes, total, cost)
        n_arcs = filter_edges(g, cost, s)
        if n_arcs == 0:
            continue
        mask = np.uint64(0)
        for w in range(count):
            if not (alive[i] >> np.uint64(w)) & np.uint64(1):
                continue
            v = bound(s, n_arcs, coarse.alpha[w], coarse.lam[w])
            if keep_values:
                values[i, w] = v
            if v < coarse.threshold[w]:
                continue
            stays = lanes == 0
            for j in range(lanes):
                need = fine.threshold[w, j]
                if need < CLOSED and bound(s, n_arcs, fine.alpha[w, j], fine.lam[w, j]) >= need:
                    stays = True
                    break
            if stays:
                mask |= np.uint64(1) << np.uint64(w)
                greatest[w] = max(greatest[w], v)
        out[i] = mask


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def _parallel(tables, classes, g, entries, alive, coarse, fine, out, greatest, values):  # type: ignore[no-untyped-def]
    """`_evaluate` of all entries, in as many parts as `greatest` (parts, c) has rows."""
    n, parts = entries.shape[0], greatest.shape[0]
    for b in prange(parts):
        first, last = b * n // parts, (b + 1) * n // parts
        _evaluate(tables, classes, g, entries, alive, coarse, fine, first, last, out, greatest[b], values)


#: From so many tuples on, a second thread is worth its start.
_WORTH_THREADS = 4096


def evaluate(
    tables: Tables,
    classes: Classes,
    g: Graph,
    entries: I64,
    alive: NDArray[np.uint64],
    coarse: Coarse,
    fine: Fine,
    values: I64,
) -> tuple[NDArray[np.uint64], I64]:
    """Masks (n,) and greatest bounds (parts, c) of all entries, on one thread or on all: the result is the same."""
    n = len(entries)
    out = np.zeros(n, np.uint64)
    if len(values):
        values[:] = NEG
    if n >= _WORTH_THREADS:
        greatest = np.full((64, len(coarse.alpha)), NEG, np.int64)
        _parallel(tables, classes, g, entries, alive, coarse, fine, out, greatest, values)
    else:
        greatest = np.full((1, len(coarse.alpha)), NEG, np.int64)
        _evaluate(tables, classes, g, entries, alive, coarse, fine, 0, n, out, greatest[0], values)
    return out, greatest


@njit(cache=True, nogil=True, error_model="numpy")
def margins(tables, classes, g, entries, alive, fine):  # type: ignore[no-untyped-def]
    """For single accelerators (n, K): by how much in score each may at most improve, (n,), negative: not at all.

    And the greatest bound that reaches its threshold in every fine window, (c, f).
    """
    n = entries.shape[0]
    count, lanes = fine.alpha.shape
    rows = tables.memory.shape[0]
    total = np.empty(rows, tables.cycles.dtype)
    path = np.empty(rows, tables.cycles.dtype)
    split = np.empty(rows, tables.cycles.dtype)
    lead = np.empty(rows, tables.cycles.dtype)
    cost = np.empty(n_classes(classes), np.int64)
    s = make_scratch(g)
    best = np.full(n, -1.0)
    greatest = np.full((count, lanes), NEG, np.int64)
    for i in range(n):
        row_latencies(tables, entries[i], total, path, split, lead)
        class_costs(tables, classes, total, cost)
        n_arcs = filter_edges(g, cost, s)
        if n_arcs == 0:
            continue
        for w in range(count):
            if not (alive[i] >> np.uint64(w)) & np.uint64(1):
                continue
            for j in range(lanes):
                need = fine.threshold[w, j]
                if need == CLOSED:
                    continue
                v = bound(s, n_arcs, fine.alpha[w, j], fine.lam[w, j])
                if v >= need:
                    best[i] = max(best[i], (v - need) / max(fine.alpha[w, j], 1))
                    greatest[w, j] = max(greatest[w, j], v)
    return best, greatest
