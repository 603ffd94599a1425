"""Specialised enumeration: exact dominance per kernel, bounds for pairs of kernels, best-first completion.

An engine has up to three kernels with up to thousands of configurations each. Dominated configurations go first
(another needs no more of any resource and no more cycles on any row). The two smaller tables form pairs; a pair's bound
takes, for the third kernel, column minima over what still fits, and whole boxes of similar pairs are bounded before
single ones. Pairs are then completed in the order of their bounds, over all engines at once, until the next bound
reaches the best value: the proof.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cofront.problem import IntArray
from cofront.search.exact import branch
from cofront.search.exact.rows import LATENCY, FitTask, Outcome
from cofront.search.exact.views import Tree, View, view

#: Between two looks at the clock: pairs completed, pairs bounded, and how many of them can be kept.
_CHUNK, _STEPS, _ROWS = 64, 200_000, 50_000
#: Coordinate descents that look for a first solution.
_SEEDS = 6

OnProgress = Callable[[float, float], None]


@dataclass(frozen=True)
class _Open:
    """One engine under enumeration: its view, its trees, and the order of the kernels with the largest last."""

    view: View
    trees: tuple[Tree, Tree, Tree]
    order: tuple[int, int, int]


class _Enumeration:
    """State of one run: the best found, and per engine the pairs still to complete, sorted by bound."""

    def __init__(self, task: FitTask, deadline: float, on_progress: OnProgress | None) -> None:
        self.task, self.deadline, self.on_progress = task, deadline, on_progress
        self.best, self.second = branch.BIG, branch.BIG
        self.engine, self.chosen = -1, (0, 0, 0)
        largest = max((len(k.params) for e in task.engines for k in e.kernels), default=0)
        self.stack = np.empty(largest + 2, dtype=np.int64)
        self.boxes = self.pairs = self.triples = self.configs = 0
        views = [v for i in range(len(task.engines)) if (v := view(task, i)) is not None]
        self.views = sorted(views, key=lambda v: v.root)

    @property
    def _cut(self) -> int:
        """Cycles beyond which a configuration cannot matter."""
        return min(self.task.limit, self.best - 1) if self.task.minimise == LATENCY else self.task.limit

    def open(self, v: View, seeds: bool) -> _Open | None:
        """The engine without what cannot matter; None if nothing is left. `seeds` looks for a first solution before."""
        smaller = v.within(self._cut)
        if smaller is not None and seeds:
            self.seed(_Open(smaller, smaller.trees(), (0, 1, 2)))
            smaller = smaller.within(self._cut)
        if smaller is None:
            return None
        pruned = smaller.undominated()
        third = max(range(3), key=lambda k: len(pruned.kernels[k].index))
        x, y = (k for k in range(3) if k != third)
        self.configs += sum(len(c.index) for c in pruned.kernels)
        return _Open(pruned, pruned.trees(), (x, y, third))

    def _complete(self, o: _Open, order: tuple[int, int, int], pairs: IntArray) -> tuple[int, ...] | None:
        """Completes pairs (n, 3) of nodes of the first two kernels of `order`; the nodes of an improvement."""
        x, y, z = (o.trees[k] for k in order)
        boxes = (k.box for k in o.trees)
        nodes, scratch = np.full(3, -1, dtype=np.int64), np.zeros(3, dtype=np.int64)
        best, second, visited = branch.complete(
            pairs, *boxes, *order, x.res, y.res, z.res, z.child, o.view.left, *o.view.rows,
            self.task.limit, self.task.minimise, self.best, self.second, self.stack, scratch, nodes,
        )  # fmt: skip
        self.triples += visited
        if nodes[0] < 0:
            return None
        self.best, self.second, self.engine = int(best), int(second), o.view.engine
        found = tuple(int(n) for n in nodes)
        self.chosen = tuple(k.configuration(n) for k, n in zip(o.trees, found, strict=True))  # type: ignore[assignment]
        return found

    def seed(self, o: _Open) -> None:
        """A good first solution: coordinate descent, each step exact, from a few configurations."""
        rng = np.random.default_rng(0)
        leaves = [np.flatnonzero(k.size == 1) for k in o.trees]
        for _ in range(_SEEDS):
            at = [int(rng.choice(nodes)) for nodes in leaves]
            since = 0
            for step in range(30):
                z = (step + 2) % 3
                x, y = (k for k in range(3) if k != z)
                found = self._complete(o, (x, y, z), np.array([[at[x], at[y], 0]]))
                since = 0 if found else since + 1
                if found:
                    at = list(found)
                if since == 3:
                    break

    def bounds(self, o: _Open) -> IntArray | None:
        """The engine's pairs (n, 3) that can matter, sorted by bound; None when time runs out."""
        x, y = (o.trees[k] for k in o.order[:2])
        third = o.view.kernels[o.order[2]]
        amounts, minima = branch.prefix_minima(third.a, third.res)
        buffer = np.zeros((1, len(o.view.counts), 4), dtype=np.int64)
        boxes = [buffer if k == o.order[2] else o.trees[k].box for k in range(3)]
        depth = len(x.size) + len(y.size)  # more than any path down both trees can leave waiting
        todo, waiting = np.zeros((depth, 2), dtype=np.int64), 1
        out = np.empty((_ROWS, 3), dtype=np.int64)
        at, last = np.zeros(3, dtype=np.int64), np.zeros(len(o.view.left), dtype=np.int64)
        parts = [out[:0]]
        while waiting:
            if time.monotonic() > self.deadline:
                return None
            waiting, rows, visited = branch.pair_bounds(
                *boxes, *o.order[:2], buffer, x.res, x.child, x.size, y.res, y.child, y.size, amounts, minima,
                o.view.left, *o.view.rows, self._cut, self.task.minimise, _STEPS, todo, waiting, at, last, out,
            )  # fmt: skip
            parts.append(out[:rows].copy())
            self.boxes += visited
        pairs = np.concatenate(parts)
        self.pairs += len(pairs)
        return pairs[np.argsort(pairs[:, 2], kind="stable")]

    def run(self) -> Outcome:
        queues: list[tuple[_Open, IntArray]] = []
        for i, v in enumerate(self.views):
            opened = self.open(v, seeds=i == 0)
            if opened is None:
                continue
            if i > 0:
                self.seed(opened)
            if (pairs := self.bounds(opened)) is None:
                return self._outcome(min(v.root for v in self.views) if self.task.minimise == LATENCY else 0, False)
            queues.append((opened, pairs))
        at = [0] * len(queues)
        while True:
            live = [i for i, q in enumerate(queues) if at[i] < len(q[1]) and self._matters(int(q[1][at[i], 2]))]
            if not live:
                return self._outcome(self.best, True)
            i = min(live, key=lambda i: int(queues[i][1][at[i], 2]))
            opened, pairs = queues[i]
            bound = int(pairs[at[i], 2])
            if self.on_progress is not None:
                self.on_progress(float(self.best) if self.engine >= 0 else float("inf"), float(bound))
            if time.monotonic() > self.deadline:
                return self._outcome(bound, False)
            self._complete(opened, opened.order, pairs[at[i] : at[i] + _CHUNK])
            at[i] += _CHUNK

    def _matters(self, bound: int) -> bool:
        return bound < self.best or (self.task.minimise != LATENCY and bound == self.best)

    def _outcome(self, bound: int, proven: bool) -> Outcome:
        stats = {
            "boxes": float(self.boxes),
            "pairs": float(self.pairs),
            "triples": float(self.triples),
            "undominated": float(self.configs),
        }
        value = self.best if self.engine >= 0 else 0
        chosen = self.chosen[: len(self.task.engines[self.engine].kernels)] if self.engine >= 0 else ()
        return Outcome(self.engine, chosen, value, min(bound, value) if self.engine >= 0 else bound, proven, stats)


def solve(task: FitTask, deadline: float = float("inf"), on_progress: OnProgress | None = None) -> Outcome:
    """The provably best configuration, or the best until `deadline` (time.monotonic) with a bound."""
    return _Enumeration(task, deadline, on_progress).run()
