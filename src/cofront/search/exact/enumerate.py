"""Specialised enumeration: exact dominance per kernel, bounds for pairs of kernels, best-first completion.

An engine has up to three kernels with up to thousands of configurations each. Dominated configurations go first
(another needs no more of any resource and no more cycles on any row). The two smaller tables form pairs; a pair's bound
takes, for the third kernel, column minima over what still fits. Pairs are then completed in the order of their bounds,
over all engines at once, until the next bound reaches the best value: the proof.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cofront.errors import UsageError
from cofront.problem import INFEASIBLE, Engine, IntArray, KernelTable
from cofront.search.exact import branch
from cofront.search.exact.rows import LATENCY, FitTask, Outcome

#: Pairs bounded, or completed, between two looks at the clock.
_BLOCK, _CHUNK = 1 << 18, 64

OnProgress = Callable[[float, float], None]


@dataclass(frozen=True)
class _Kernel:
    """Undominated configurations of one kernel: `a` (j, u, 4), `res` (j, R), `index` into the table (j,)."""

    a: IntArray
    res: IntArray
    index: IntArray


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
    columns = np.concatenate([res, a.reshape(len(a), -1)], axis=1)
    columns = columns[:, np.any(columns != columns[:1], axis=0)]
    if columns.shape[1] == 0:
        return np.zeros(min(1, len(a)), dtype=np.int64)
    columns = np.concatenate([columns[:, : res.shape[1]], np.unique(columns[:, res.shape[1] :], axis=1)], axis=1)
    by = np.argsort(columns.sum(axis=1), kind="stable")
    return np.sort(by[branch.undominated(np.ascontiguousarray(columns[by]))])


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
    kernels = []
    for a, res, index in fitted:
        a = np.ascontiguousarray(a[:, rows])
        keep = undominated(a, res)
        kernels.append(_Kernel(a[keep], res[keep], index[keep]))
    by_size = sorted(range(3), key=lambda k: len(kernels[k].a))
    third = by_size[-1]
    pair = [k for k in range(3) if k != third]
    return _View(
        number,
        (kernels[0], kernels[1], kernels[2]),
        (pair[0], pair[1], third),
        left,
        engine.memory[rows],
        engine.overhead[rows],
        task.counts[rows],
        weighted.sum() - np.cumsum(weighted),
        int(weighted.sum()),
    )


class _Enumeration:
    """State of one run: the best found, and per engine the pairs still to complete, sorted by bound."""

    def __init__(self, task: FitTask, deadline: float, on_progress: OnProgress | None) -> None:
        self.task, self.deadline, self.on_progress = task, deadline, on_progress
        self.best, self.second = branch.BIG, branch.BIG
        self.engine, self.chosen = -1, (0, 0, 0)
        self.pairs = self.triples = self.kept = 0
        views = [v for i in range(len(task.engines)) if (v := _view(task, i)) is not None]
        self.views = sorted(views, key=lambda v: v.root)

    def _accept(self, view: _View, best: int, second: int, triple: tuple[int, ...]) -> None:
        self.best, self.second, self.engine = best, second, view.engine
        self.chosen = tuple(int(k.index[j]) for k, j in zip(view.kernels, triple, strict=True))  # type: ignore[assignment]

    def seed(self, view: _View) -> None:
        """A good first latency by coordinate descent from a few spread configurations of the first kernel."""
        k0, k1, k2 = view.kernels
        rng = np.random.default_rng(0)
        for _ in range(12):
            start = np.array([rng.integers(len(k.a)) for k in view.kernels])
            best, triple = branch.descend(
                k0.a, k0.res, k1.a, k1.res, k2.a, k2.res, start,
                view.left, view.memory, view.overhead, view.counts, view.rest, min(self.best, self.task.limit + 1),
            )  # fmt: skip
            if best < self.best and best <= self.task.limit:
                self._accept(view, int(best), branch.BIG, tuple(triple))

    def bounds(self, view: _View) -> tuple[IntArray, IntArray, IntArray] | None:
        """The engine's pairs that can matter, sorted by bound; None when time runs out."""
        x, y, b = (view.kernels[k] for k in view.order)
        amounts, minima = branch.prefix_minima(b.a, b.res)
        parts = []
        step = max(1, _BLOCK // max(1, len(y.a)))
        for first in range(0, len(x.a), step):
            if time.monotonic() > self.deadline:
                return None
            cut = self.task.limit if self.task.minimise != LATENCY else min(self.task.limit, self.best - 1)
            parts.append(
                branch.pair_bounds(
                    first, min(first + step, len(x.a)), view.order[2], x.a, x.res, y.a, y.res, amounts, minima,
                    view.left, view.memory, view.overhead, view.counts, view.rest, cut, self.task.minimise,
                )
            )  # fmt: skip
        xs, ys, bounds = (np.concatenate([p[i] for p in parts]) for i in range(3))
        by = np.argsort(bounds, kind="stable")
        self.pairs += len(x.a) * len(y.a)
        self.kept += len(by)
        return xs[by], ys[by], bounds[by]

    def complete(self, view: _View, xs: IntArray, ys: IntArray, bounds: IntArray) -> None:
        x, y, b = (view.kernels[k] for k in view.order)
        minimise = self.task.minimise
        by = np.arange(len(b.a)) if minimise == LATENCY else np.argsort(b.res[:, minimise], kind="stable")
        best, second, fx, fy, fb, triples = branch.leaves(
            xs, ys, bounds, view.order[2], x.a, x.res, y.a, y.res, b.a, b.res, by,
            view.left, view.memory, view.overhead, view.counts, view.rest,
            self.task.limit, minimise, self.best, self.second,
        )  # fmt: skip
        self.triples += triples
        if fx >= 0:
            triple = [0, 0, 0]
            for k, j in zip(view.order, (fx, fy, fb), strict=True):
                triple[k] = j
            self._accept(view, int(best), int(second), tuple(triple))

    def run(self) -> Outcome:
        if self.task.minimise == LATENCY:
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
            self.complete(view, xs[part], ys[part], bounds[part])
            at[i] += _CHUNK

    def _matters(self, bound: int) -> bool:
        return bound < self.best or (self.task.minimise != LATENCY and bound == self.best)

    def _outcome(self, bound: int, proven: bool) -> Outcome:
        stats = {
            "pairs": float(self.pairs),
            "pairs_kept": float(self.kept),
            "triples": float(self.triples),
            "undominated": float(sum(len(k.a) for v in self.views for k in v.kernels)),
        }
        value = self.best if self.engine >= 0 else 0
        chosen = self.chosen[: len(self.task.engines[self.engine].kernels)] if self.engine >= 0 else ()
        return Outcome(self.engine, chosen, value, min(bound, value) if self.engine >= 0 else bound, proven, stats)


def solve(task: FitTask, deadline: float = float("inf"), on_progress: OnProgress | None = None) -> Outcome:
    """The provably best configuration, or the best until `deadline` (time.monotonic) with a bound."""
    return _Enumeration(task, deadline, on_progress).run()
