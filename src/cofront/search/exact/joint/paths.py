"""Compiled: exact dynamic programming over the trellis for one accelerator, pruned by completion bounds.

Forward, a node holds the Pareto-optimal (cost, score) of all ways to reach it. A state at node v is dropped when for
every open window  alpha * score - lam * cost + rest_v < threshold:  no completion of it can improve the front. `rest_v`
is the exact Lagrangian of the remaining path, so the test is as sharp as the multipliers allow. Nothing is rounded.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.search.exact.joint.lagrange import NEG, filter_edges, make_scratch
from cofront.search.exact.joint.vectors import NEVER, class_costs, n_classes, row_latencies

I64 = NDArray[np.int64]


@njit(cache=True, nogil=True)
def accelerator_costs(tables, classes, entry):  # type: ignore[no-untyped-def]
    """Cost (c,) of every class on the accelerator with table rows `entry` (K,)."""
    rows = tables.memory.shape[0]
    dtype = tables.cycles.dtype
    total = np.empty(rows, dtype)
    path, split, lead = np.empty(rows, dtype), np.empty(rows, dtype), np.empty(rows, dtype)
    cost = np.empty(n_classes(classes), np.int64)
    row_latencies(tables, entry, total, path, split, lead)
    class_costs(tables, classes, total, cost)
    return cost


@njit(cache=True, nogil=True, error_model="numpy")
def supported(g, cost, alpha, lam):  # type: ignore[no-untyped-def]
    """For each multiplier (w,) the best path on one accelerator: its cost, score (w,) and edges (w, n), -1 padded."""
    s = make_scratch(g)
    n_arcs = filter_edges(g, cost, s)
    nodes = g.node_arcs.shape[0] - 1
    w_count = alpha.shape[0]
    out_cost = np.full(w_count, NEVER, np.int64)
    out_score = np.zeros(w_count, np.int64)
    out_path = np.full((w_count, nodes), -1, np.int64)
    if n_arcs == 0:
        return out_cost, out_score, out_path
    value = np.empty(nodes, np.int64)
    score = np.empty(nodes, np.int64)
    length = np.empty(nodes, np.int64)
    via = np.empty(nodes, np.int64)
    origin = np.empty(nodes, np.int64)
    for w in range(w_count):
        value[:] = NEG
        value[0] = score[0] = length[0] = 0
        for a in range(n_arcs):
            u, v = s.arc_from[a], s.arc_to[a]
            for e in range(s.arc_ptr[a], s.arc_ptr[a + 1]):
                x = value[u] + alpha[w] * s.score[e] - lam[w] * s.cost[e]
                y = score[u] + s.score[e]
                z = length[u] + s.cost[e]
                better = x > value[v] or (x == value[v] and (y > score[v] or (y == score[v] and z < length[v])))
                if value[v] == NEG or better:
                    value[v], score[v], length[v], via[v], origin[v] = x, y, z, e, u
        out_cost[w], out_score[w] = length[nodes - 1], score[nodes - 1]
        v = nodes - 1
        n = 0
        while v > 0:
            out_path[w, n] = g.edge_id[s.edge[via[v]]]
            n += 1
            v = origin[v]
        out_path[w, :n] = out_path[w, :n][::-1].copy()
    return out_cost, out_score, out_path


@njit(cache=True, nogil=True, error_model="numpy")
def _rest(s, n_arcs, nodes, alpha, lam):  # type: ignore[no-untyped-def]
    """Lagrangian of the best way from every node to the sink, (nodes, w), and its least cost, (nodes,)."""
    w_count = alpha.shape[0]
    rest = np.full((nodes, w_count), NEG, np.int64)
    least = np.full(nodes, NEVER, np.int64)
    rest[nodes - 1, :] = 0
    least[nodes - 1] = 0
    best = np.empty(w_count, np.int64)
    for a in range(n_arcs - 1, -1, -1):
        u, v = s.arc_from[a], s.arc_to[a]
        if least[v] == NEVER:
            continue
        best[:] = NEG
        cheapest = NEVER
        for e in range(s.arc_ptr[a], s.arc_ptr[a + 1]):
            c, sc = s.cost[e], s.score[e]
            cheapest = min(cheapest, c)
            for w in range(w_count):
                best[w] = max(best[w], alpha[w] * sc - lam[w] * c)
        least[u] = min(least[u], cheapest + least[v])
        for w in range(w_count):
            rest[u, w] = max(rest[u, w], best[w] + rest[v, w])
    return rest, least


@njit(cache=True, nogil=True, error_model="numpy")
def improving_paths(g, cost, alpha, lam, threshold, max_cost, capacity):  # type: ignore[no-untyped-def]
    """Pareto states of all nodes that may still improve the front, for one accelerator.

    Returns state arrays (cost, score, parent, edge), the range of the sink's states, and the greatest number of states
    at one node; that number is -1 when `capacity` was too small.
    """
    s = make_scratch(g)
    n_arcs = filter_edges(g, cost, s)
    nodes = g.node_arcs.shape[0] - 1
    rest, least = _rest(s, n_arcs, nodes, alpha, lam)
    open_count = 0
    opened = np.empty(alpha.shape[0], np.int64)
    for w in range(alpha.shape[0]):
        if n_arcs > 0 and rest[0, w] >= threshold[w]:
            opened[open_count] = w
            open_count += 1
    st_cost, st_score = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    st_parent, st_edge = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    if open_count == 0 or least[0] > max_cost:
        return st_cost, st_score, st_parent, st_edge, 0, 0, 0
    oa, ol = np.empty(open_count, np.int64), np.empty(open_count, np.int64)
    need = np.empty((nodes, open_count), np.int64)
    for i in range(open_count):
        w = opened[i]
        oa[i], ol[i] = alpha[w], lam[w]
        for v in range(nodes):
            need[v, i] = threshold[w] - rest[v, w]
    start, end = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    now, new = np.empty((4, capacity), np.int64), np.empty((4, capacity), np.int64)
    st_cost[0] = st_score[0] = 0
    st_parent[0] = st_edge[0] = -1
    end[0] = 1
    used = 1
    peak = 1
    a = 0
    for v in range(1, nodes):
        n_now = 0
        while a < n_arcs and s.arc_to[a] == v:
            u = s.arc_from[a]
            hit = 0
            for e in range(s.arc_ptr[a], s.arc_ptr[a + 1]):
                if least[v] == NEVER:
                    break
                i = 0
                n_new = 0
                top = NEG  # greatest score so far: only a higher one is worth a higher cost
                for j in range(start[u], end[u]):
                    c, sc = st_cost[j] + s.cost[e], st_score[j] + s.score[e]
                    if c + least[v] > max_cost:
                        break
                    passes = oa[hit] * sc - ol[hit] * c >= need[v, hit]
                    if not passes:
                        for w in range(open_count):
                            if oa[w] * sc - ol[w] * c >= need[v, w]:
                                hit = w
                                passes = True
                                break
                    if not passes:
                        continue
                    while i < n_now and (now[0, i] < c or (now[0, i] == c and now[1, i] >= sc)):
                        if now[1, i] > top:
                            if n_new >= capacity:
                                return st_cost, st_score, st_parent, st_edge, 0, 0, -1
                            top = now[1, i]
                            for f in range(4):
                                new[f, n_new] = now[f, i]
                            n_new += 1
                        i += 1
                    if sc > top:
                        if n_new >= capacity:
                            return st_cost, st_score, st_parent, st_edge, 0, 0, -1
                        top = sc
                        new[0, n_new], new[1, n_new], new[2, n_new], new[3, n_new] = c, sc, j, s.edge[e]
                        n_new += 1
                while i < n_now:
                    if now[1, i] > top:
                        if n_new >= capacity:
                            return st_cost, st_score, st_parent, st_edge, 0, 0, -1
                        top = now[1, i]
                        for f in range(4):
                            new[f, n_new] = now[f, i]
                        n_new += 1
                    i += 1
                now, new = new, now
                n_now = n_new
            a += 1
        start[v] = used
        if used + n_now > capacity:
            return st_cost, st_score, st_parent, st_edge, 0, 0, -1
        for i in range(n_now):
            st_cost[used], st_score[used] = now[0, i], now[1, i]
            st_parent[used], st_edge[used] = now[2, i], now[3, i]
            used += 1
        end[v] = used
        peak = max(peak, n_now)
    return st_cost, st_score, st_parent, st_edge, start[nodes - 1], end[nodes - 1], peak


@njit(cache=True, nogil=True)
def trace(g, st_parent, st_edge, state):  # type: ignore[no-untyped-def]
    """The edges (problem numbering) of the path that ends in a state, first to last."""
    n = 0
    i = state
    while st_parent[i] >= 0:
        n += 1
        i = st_parent[i]
    out = np.empty(n, np.int64)
    i = state
    while st_parent[i] >= 0:
        n -= 1
        out[n] = g.edge_id[st_edge[i]]
        i = st_parent[i]
    return out
