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
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.problem import INFEASIBLE, Engine, IntArray, KernelTable
from cofront.search.exact import branch
from cofront.search.exact.rows import LATENCY, FitTask, Outcome

#: Pairs completed between two looks at the clock; parts into which the bounding of one engine's pairs is cut.
_CHUNK, _PARTS = 64, 16
#: Coordinate descents that look for a first solution.
_SEEDS = 6

OnProgress = Callable[[float, float], None]


@dataclass(frozen=True)
class _Kernel:
    """Undominated configurations of one kernel as a tree (see `branch`); `index` into the table (j,)."""

    box: IntArray
    res: IntArray
    child: IntArray
    item: IntArray
    size: IntArray
    index: IntArray

    def configuration(self, node: int) -> int:
        return int(self.index[self.item[node]])


@dataclass(frozen=True)
class _View:
    """One engine, ready to enumerate; `order` puts the largest kernel last. Rows are sorted by weight."""

    engine: int
    kernels: tuple[_Kernel, _Kernel, _Kernel]
    order: tuple[int, int, int]
    left: IntArray  # (R,) the budget
    memory: IntArray
    overhead: IntArray
    counts: IntArray
    rest: IntArray  # (u,) least cycles of all later rows
    root: int  # bound on the latency of every configuration

    @property
    def rows(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        return self.memory, self.overhead, self.counts, self.rest


def _stack(table: KernelTable) -> IntArray:
    return np.ascontiguousarray(np.stack([table.cycles, table.head, table.tail, table.solo], axis=-1))


def _pad(engine: Engine, n_rows: int) -> list[tuple[IntArray, IntArray]]:
    """(a, res) of three kernels: missing ones get one free configuration that can never be the slowest.

    The engine's base is paid by the first kernel.
    """
    if len(engine.kernels) > 3:
        raise UsageError(
            f"engine '{engine.name}' has {len(engine.kernels)} kernels, enumeration takes up to 3; use method cpsat"
        )
    out = [(_stack(k), np.asarray(k.resources, dtype=np.int64)) for k in engine.kernels]
    none = np.zeros((1, n_rows, 4), dtype=np.int64)
    none[..., 0] = -4 * INFEASIBLE
    while len(out) < 3:
        out.append((none, np.zeros((1, len(engine.base)), dtype=np.int64)))
    out[0] = (out[0][0], out[0][1] + engine.base)
    return out


def undominated(a: IntArray, res: IntArray) -> IntArray:
    """Indices (j',), ascending, of the configurations that no other replaces at no loss. Ties keep the first."""
    if len(a) == 0:
        return np.zeros(0, dtype=np.int64)
    columns = np.concatenate([res, a.reshape(len(a), -1)], axis=1)
    telling = np.ascontiguousarray(columns[:, np.any(columns != columns[:1], axis=0)])
    spread = telling.max(axis=0) - telling.min(axis=0)
    low, child, item, _ = branch.build_tree(telling, 1.0 / np.maximum(spread, 1))
    return np.asarray(branch.undominated(low, child, item))


def _view(task: FitTask, number: int) -> _View | None:
    """None when the engine cannot run the rows within the budget at all."""
    engine = task.engines[number]
    left = task.budget
    tables = _pad(engine, len(task.counts))
    least = [res.min(axis=0) if len(res) else left + 1 for _, res in tables]
    fitted = []
    for k, (a, res) in enumerate(tables):
        others = np.sum([least[i] for i in range(3) if i != k], axis=0)
        index = np.flatnonzero(np.all(res + others <= left, axis=1))
        if len(index) == 0:
            return None
        fitted.append((a[index], res[index], index))
    low = [a.min(axis=0, keepdims=True) for a, _, _ in fitted]
    zero = np.zeros(1, dtype=np.int64)
    row_low = np.array(
        [
            branch.triple_cycles(
                *(x for v in low for x in (np.ascontiguousarray(v[:, r : r + 1]), 0)),
                engine.memory[r : r + 1],
                engine.overhead[r : r + 1],
                np.ones(1, dtype=np.int64),
                zero,
                branch.BIG - 1,
            )
            for r in range(len(task.counts))
        ],
        dtype=np.int64,
    )
    if np.any(row_low >= INFEASIBLE):
        return None
    rows = np.argsort(-row_low * task.counts, kind="stable")
    weighted = (row_low * task.counts)[rows]
    total = float(weighted.sum())
    kernels = []
    for a, res, index in fitted:
        a = np.ascontiguousarray(a[:, rows])
        keep = undominated(a, res)
        kernels.append(_tree(a[keep], res[keep], index[keep], task.counts[rows] / max(total, 1.0), left))
    third = max(range(3), key=lambda k: len(kernels[k].index))
    x, y = (k for k in range(3) if k != third)
    return _View(
        number,
        (kernels[0], kernels[1], kernels[2]),
        (x, y, third),
        left,
        engine.memory[rows],
        engine.overhead[rows],
        task.counts[rows],
        weighted.sum() - np.cumsum(weighted),
        int(total),
    )


def _tree(a: IntArray, res: IntArray, index: IntArray, weight: NDArray[np.float64], budget: IntArray) -> _Kernel:
    """Columns are compared as shares: cycles of the least total, resources of the budget."""
    n, u, _ = a.shape
    columns = np.concatenate([a.reshape(n, 4 * u), res], axis=1)
    weights = np.concatenate([np.repeat(weight, 4), 1.0 / np.maximum(budget, 1)])
    low, child, item, size = branch.build_tree(np.ascontiguousarray(columns), weights)
    box = np.ascontiguousarray(low[:, : 4 * u]).reshape(len(low), u, 4)
    return _Kernel(box, np.ascontiguousarray(low[:, 4 * u :]), child, item, size, index)


class _Enumeration:
    """State of one run: the best found, and per engine the pairs still to complete, sorted by bound."""

    def __init__(self, task: FitTask, deadline: float, on_progress: OnProgress | None) -> None:
        self.task, self.deadline, self.on_progress = task, deadline, on_progress
        self.best, self.second = branch.BIG, branch.BIG
        self.engine, self.chosen = -1, (0, 0, 0)
        self.boxes = self.pairs = self.triples = 0
        views = [v for i in range(len(task.engines)) if (v := _view(task, i)) is not None]
        self.views = sorted(views, key=lambda v: v.root)

    def _complete(
        self, view: _View, order: tuple[int, int, int], xs: IntArray, ys: IntArray, bounds: IntArray
    ) -> tuple[int, ...] | None:
        """Completes pairs of nodes of the first two kernels of `order`; the nodes of an improvement."""
        x, y, z = (view.kernels[k] for k in order)
        boxes = (k.box for k in view.kernels)
        best, second, nodes, visited = branch.complete(
            xs, ys, bounds, *boxes, *order, x.res, y.res, z.res, z.child, view.left, *view.rows,
            self.task.limit, self.task.minimise, self.best, self.second,
        )  # fmt: skip
        self.triples += visited
        if nodes[0] < 0:
            return None
        self.best, self.second, self.engine = int(best), int(second), view.engine
        found = tuple(int(n) for n in nodes)
        self.chosen = tuple(k.configuration(n) for k, n in zip(view.kernels, found, strict=True))  # type: ignore[assignment]
        return found

    def seed(self, view: _View) -> None:
        """A good first solution: coordinate descent, each step exact, from a few configurations."""
        rng = np.random.default_rng(0)
        leaves = [np.flatnonzero(k.size == 1) for k in view.kernels]
        zero = np.zeros(1, dtype=np.int64)
        for _ in range(_SEEDS):
            at = [int(rng.choice(nodes)) for nodes in leaves]
            since = 0
            for step in range(30):
                z = (step + 2) % 3
                x, y = (k for k in range(3) if k != z)
                found = self._complete(view, (x, y, z), zero + at[x], zero + at[y], zero)
                since = 0 if found else since + 1
                if found:
                    at = list(found)
                if since == 3:
                    break

    def bounds(self, view: _View) -> tuple[IntArray, IntArray, IntArray] | None:
        """The engine's pairs that can matter, sorted by bound; None when time runs out."""
        x, y, z = (view.kernels[k] for k in view.order)
        leaf = np.flatnonzero(z.size == 1)
        amounts, minima = branch.prefix_minima(np.ascontiguousarray(z.box[leaf]), np.ascontiguousarray(z.res[leaf]))
        buffer = np.zeros((1, len(view.counts), 4), dtype=np.int64)
        boxes = [buffer if k == view.order[2] else view.kernels[k].box for k in range(3)]
        parts = []
        for start in _frontier(x):
            if time.monotonic() > self.deadline:
                return None
            cut = self.task.limit if self.task.minimise != LATENCY else min(self.task.limit, self.best - 1)
            *part, visited = branch.pair_bounds(
                *boxes, *view.order, buffer, x.res, x.child, x.size, y.res, y.child, y.size, amounts, minima,
                view.left, *view.rows, cut, self.task.minimise, start,
            )  # fmt: skip
            parts.append(part)
            self.boxes += visited
        xs, ys, bounds = (np.concatenate([p[i] for p in parts]) for i in range(3))
        by = np.argsort(bounds, kind="stable")
        self.pairs += len(by)
        return xs[by], ys[by], bounds[by]

    def run(self) -> Outcome:
        for view in self.views:
            self.seed(view)
        queues: list[tuple[_View, IntArray, IntArray, IntArray]] = []
        for view in self.views:
            if (pairs := self.bounds(view)) is None:
                return self._outcome(min(v.root for v in self.views) if self.task.minimise == LATENCY else 0, False)
            queues.append((view, *pairs))
        at = [0] * len(queues)
        while True:
            live = [i for i, q in enumerate(queues) if at[i] < len(q[3]) and self._matters(int(q[3][at[i]]))]
            if not live:
                return self._outcome(self.best, True)
            i = min(live, key=lambda i: int(queues[i][3][at[i]]))
            view, xs, ys, bounds = queues[i]
            bound = int(bounds[at[i]])
            if self.on_progress is not None:
                self.on_progress(float(self.best) if self.engine >= 0 else float("inf"), float(bound))
            if time.monotonic() > self.deadline:
                return self._outcome(bound, False)
            part = slice(at[i], at[i] + _CHUNK)
            self._complete(view, view.order, xs[part], ys[part], bounds[part])
            at[i] += _CHUNK

    def _matters(self, bound: int) -> bool:
        return bound < self.best or (self.task.minimise != LATENCY and bound == self.best)

    def _outcome(self, bound: int, proven: bool) -> Outcome:
        stats = {
            "boxes": float(self.boxes),
            "pairs": float(self.pairs),
            "triples": float(self.triples),
            "undominated": float(sum(len(k.index) for v in self.views for k in v.kernels)),
        }
        value = self.best if self.engine >= 0 else 0
        chosen = self.chosen[: len(self.task.engines[self.engine].kernels)] if self.engine >= 0 else ()
        return Outcome(self.engine, chosen, value, min(bound, value) if self.engine >= 0 else bound, proven, stats)


def _frontier(kernel: _Kernel) -> list[int]:
    """About _PARTS nodes that together hold every leaf."""
    nodes = [0]
    while len(nodes) < _PARTS and any(kernel.size[n] > 1 for n in nodes):
        nodes = [int(c) for n in nodes for c in (kernel.child[n] if kernel.size[n] > 1 else (n,))]
    return nodes


def solve(task: FitTask, deadline: float = float("inf"), on_progress: OnProgress | None = None) -> Outcome:
    """The provably best configuration, or the best until `deadline` (time.monotonic) with a bound."""
    return _Enumeration(task, deadline, on_progress).run()
