"""Paths of a trellis: the exact non-dominated ones for given edge costs, and the path of a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofront.errors import InputError
from cofront.problem import INFEASIBLE, IntArray, Trellis
from cofront.search.dominance import non_dominated


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


class Paths:
    """Finds the path of a point: the edges whose choices all agree with it."""

    def __init__(self, trellis: Trellis) -> None:
        self.trellis = trellis
        width = max((len(c) for c in trellis.choices), default=0)
        pairs = np.full((trellis.n_edges, width, 2), -1, dtype=np.int64)
        for i, c in enumerate(trellis.choices):
            pairs[i, : len(c)] = np.array(c, dtype=np.int64).reshape(-1, 2)
        self._variables, self._values = pairs[..., 0], pairs[..., 1]
        self._backwards = np.argsort(-trellis.edge_from, kind="stable")
        self._forwards = np.argsort(trellis.edge_from, kind="stable")
        self._start = np.searchsorted(trellis.edge_from[self._forwards], np.arange(trellis.n_nodes + 1))

    def find(self, point: IntArray) -> IntArray | None:
        """Edges (s,) of a canonical point (d,), or None when no path agrees with it."""
        trellis = self.trellis
        agrees = np.all((self._variables < 0) | (np.asarray(point)[self._variables] == self._values), axis=1)
        alive = np.zeros(trellis.n_nodes, dtype=bool)
        alive[-1] = True
        for i in self._backwards[agrees[self._backwards]]:
            alive[trellis.edge_from[i]] |= alive[trellis.edge_to[i]]
        if not alive[0]:
            return None
        node, path = 0, []
        while node != trellis.n_nodes - 1:
            here = self._forwards[self._start[node] : self._start[node + 1]]
            edge = int(here[agrees[here] & alive[trellis.edge_to[here]]][0])
            path.append(edge)
            node = int(trellis.edge_to[edge])
        return np.array(path, dtype=np.int64)

    def many(self, points: IntArray) -> IntArray:
        """Edges (n, s) of canonical points (n, d), padded with -1; a point without a path is an InputError."""
        trellis, n = self.trellis, len(points)
        agrees = np.ones((n, trellis.n_edges), dtype=bool)
        for variable, value in zip(self._variables.T, self._values.T, strict=True):
            agrees &= (variable < 0) | (points[:, variable] == value)
        alive = np.zeros((trellis.n_nodes, n), dtype=bool)
        alive[-1] = True
        for i in self._backwards:
            alive[trellis.edge_from[i]] |= agrees[:, i] & alive[trellis.edge_to[i]]
        if not alive[0].all():
            self(points[int(np.flatnonzero(~alive[0])[0])])
        steps: list[IntArray] = []
        node = np.zeros(n, dtype=np.int64)
        while np.any(node < trellis.n_nodes - 1):
            step = np.full(n, -1, dtype=np.int64)
            for here in np.unique(node):
                who = np.flatnonzero(node == here)
                edges = self._forwards[self._start[here] : self._start[here + 1]]
                if len(edges):
                    good = agrees[np.ix_(who, edges)] & alive[trellis.edge_to[edges]][:, who].T
                    step[who] = edges[good.argmax(axis=1)]
            steps.append(step)
            node = np.where(step >= 0, trellis.edge_to[step], node)
        return np.stack(steps, axis=1) if steps else np.zeros((n, 0), dtype=np.int64)

    def __call__(self, point: IntArray) -> IntArray:
        """The same; a point without a path is an InputError."""
        path = self.find(point)
        if path is None:
            raise InputError(
                f"no path of the trellis agrees with point {tuple(int(p) for p in point)}; is it canonical?"
            )
        return path


def path_of(trellis: Trellis, point: IntArray) -> IntArray:
    """Edges (s,) of the path whose choices all agree with a canonical point (d,)."""
    return Paths(trellis)(point)
