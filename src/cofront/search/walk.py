"""Paths of a trellis: the exact non-dominated ones for given edge costs, and the path of a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofront.errors import InputError
from cofront.problem import INFEASIBLE, IntArray, Trellis
from cofront.search.archive import non_dominated


@dataclass(frozen=True)
class PathFront:
    """Non-dominated paths, cheapest first: cost (n,), score (n,), both strictly rising."""

    cost: IntArray
    score: IntArray
    _edges: tuple[IntArray, ...]
    _parents: tuple[IntArray, ...]
    _edge_from: IntArray

    def __len__(self) -> int:
        return len(self.cost)

    def path(self, i: int) -> IntArray:
        """Edges (s,) of path i, from source to sink."""
        node, state = len(self._edges) - 1, i
        out = []
        while node != 0:
            edge = int(self._edges[node][state])
            state = int(self._parents[node][state])
            out.append(edge)
            node = int(self._edge_from[edge])
        return np.array(out[::-1], dtype=np.int64)


def best_paths(trellis: Trellis, edge_cost: IntArray, edge_score: IntArray, limit: int = INFEASIBLE - 1) -> PathFront:
    """All non-dominated (least cost, greatest score) paths of cost <= limit, exactly; of equals one.

    `edge_cost` (e,), from 0, INFEASIBLE or more for edges that cannot be taken. Dynamic programming node by node; a
    state is dropped when the cheapest way on exceeds the limit.
    """
    n = trellis.n_nodes
    by_target = np.argsort(trellis.edge_to, kind="stable")
    first = np.searchsorted(trellis.edge_to[by_target], np.arange(n + 1))
    to_go = np.full(n, INFEASIBLE, dtype=np.int64)
    to_go[-1] = 0
    for i in np.argsort(-trellis.edge_from, kind="stable"):
        u, v = trellis.edge_from[i], trellis.edge_to[i]
        to_go[u] = min(to_go[u], edge_cost[i] + to_go[v], INFEASIBLE)
    empty = np.zeros(0, dtype=np.int64)
    zero = np.zeros(1, dtype=np.int64)
    cost, score, edges, parents = ([zero] + [empty] * (n - 1) for _ in range(4))
    for v in range(1, n):
        parts: list[tuple[IntArray, IntArray, IntArray, IntArray]] = []
        for i in by_target[first[v] : first[v + 1]]:
            u = trellis.edge_from[i]
            c = cost[u] + edge_cost[i]
            ok = np.flatnonzero((c + to_go[v] <= limit) & (c < INFEASIBLE))
            if len(ok):
                parts.append((c[ok], score[u][ok] + edge_score[i], np.full(len(ok), i, dtype=np.int64), ok))
        if parts:
            c, s, e, p = (np.concatenate([part[k] for part in parts]) for k in range(4))
            keep = non_dominated(c, s)
            cost[v], score[v], edges[v], parents[v] = c[keep], s[keep], e[keep], p[keep]
    return PathFront(cost[-1], score[-1], tuple(edges), tuple(parents), trellis.edge_from)


def path_of(trellis: Trellis, point: IntArray) -> IntArray:
    """Edges (s,) of the path whose choices all agree with a canonical point (d,)."""
    agrees = np.array([all(point[v] == x for v, x in c) for c in trellis.choices], dtype=bool)
    alive = np.zeros(trellis.n_nodes, dtype=bool)
    alive[-1] = True
    for i in np.argsort(-trellis.edge_from, kind="stable"):
        alive[trellis.edge_from[i]] |= bool(agrees[i] and alive[trellis.edge_to[i]])
    if not alive[0]:
        raise InputError(f"no path of the trellis agrees with point {tuple(int(p) for p in point)}; is it canonical?")
    good = agrees & alive[trellis.edge_to]
    node, path = 0, []
    while node != trellis.n_nodes - 1:
        edge = int(np.flatnonzero(good & (trellis.edge_from == node))[0])
        path.append(edge)
        node = int(trellis.edge_to[edge])
    return np.array(path, dtype=np.int64)
