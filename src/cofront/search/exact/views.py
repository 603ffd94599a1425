"""One engine prepared for enumeration: configurations that fit, rows by weight, trees of what is worth trying."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.problem import INFEASIBLE, Engine, IntArray, KernelTable
from cofront.search.exact import branch
from cofront.search.exact.rows import FitTask

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """Configurations of one kernel as a tree (see `branch`); `index` into the table (j,)."""

    box: IntArray
    res: IntArray
    child: IntArray
    item: IntArray
    size: IntArray
    index: IntArray

    def configuration(self, node: int) -> int:
        return int(self.index[self.item[node]])


@dataclass(frozen=True)
class Choices:
    """Configurations of one kernel: `a` (j, u, 4), `res` (j, R), `index` into the table (j,)."""

    a: IntArray
    res: IntArray
    index: IntArray

    def take(self, keep: IntArray) -> Choices:
        return Choices(np.ascontiguousarray(self.a[keep]), np.ascontiguousarray(self.res[keep]), self.index[keep])

    @property
    def low(self) -> IntArray:
        """Column minima (1, u, 4)."""
        return np.ascontiguousarray(self.a.min(axis=0, keepdims=True))


@dataclass(frozen=True)
class View:
    """One engine. Rows are sorted by weight, so that sums grow fast and hopeless configurations show early."""

    engine: int
    kernels: tuple[Choices, Choices, Choices]
    left: IntArray  # (R,) the budget; the engine's base is paid by the first kernel
    memory: IntArray
    overhead: IntArray
    counts: IntArray
    rest: IntArray  # (u,) least cycles of all later rows
    root: int  # bound on the latency of every configuration

    @property
    def rows(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        return self.memory, self.overhead, self.counts, self.rest

    def within(self, cut: int) -> View | None:
        """Without the configurations that take more than `cut` cycles whatever the other kernels are."""
        kernels = list(self.kernels)
        for k in range(3):
            others = [c.low if i != k else c.a for i, c in enumerate(kernels)]
            bounds = np.empty(len(kernels[k].a), dtype=np.int64)
            branch.single_bounds(*others, k, *self.rows, cut, np.zeros(3, dtype=np.int64), bounds)
            keep = np.flatnonzero(bounds <= cut)
            if len(keep) == 0:
                return None
            kernels[k] = kernels[k].take(keep)
        return replace(self, kernels=(kernels[0], kernels[1], kernels[2]))

    def undominated(self) -> View:
        kernels = [c.take(undominated(c.a, c.res)) for c in self.kernels]
        return replace(self, kernels=(kernels[0], kernels[1], kernels[2]))

    def trees(self) -> tuple[Tree, Tree, Tree]:
        """Columns are compared as shares: cycles of the least total, resources of the budget."""
        cycles = np.repeat(self.counts / max(self.root, 1), 4)
        weights = np.concatenate([cycles, 1.0 / np.maximum(self.left, 1)])
        x, y, z = (self._tree(c, weights) for c in self.kernels)
        return x, y, z

    def _tree(self, c: Choices, weights: Weights) -> Tree:
        n, u, _ = c.a.shape
        columns = np.concatenate([c.a.reshape(n, 4 * u), c.res], axis=1)
        low, child, item, size = _build(np.ascontiguousarray(columns), weights)
        box = np.ascontiguousarray(low[:, : 4 * u]).reshape(len(low), u, 4)
        return Tree(box, np.ascontiguousarray(low[:, 4 * u :]), child, item, size, c.index)


def _stack(table: KernelTable) -> IntArray:
    return np.ascontiguousarray(np.stack([table.cycles, table.head, table.tail, table.solo], axis=-1))


def _pad(engine: Engine, n_rows: int) -> list[tuple[IntArray, IntArray]]:
    """(a, res) of three kernels: missing ones get one free configuration that can never be the slowest."""
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
    low, child, item, _ = _build(telling, 1.0 / np.maximum(spread, 1))
    keep = np.ones(len(a), dtype=np.int64)
    branch.undominated(low, child, item, np.empty(len(item), dtype=np.int64), keep)
    return np.flatnonzero(keep)


def _build(columns: IntArray, weights: Weights) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """The tree over the rows of `columns` (j, c): minima (m, c), child (m, 2), item (m,), size (m,)."""
    n, width = columns.shape
    low = np.empty((2 * n - 1, width), dtype=np.int64)
    child = np.full((2 * n - 1, 2), -1, dtype=np.int64)
    item = np.full(2 * n - 1, -1, dtype=np.int64)
    size = np.empty(2 * n - 1, dtype=np.int64)
    order, high = np.arange(n), np.empty(width, dtype=np.int64)
    todo = np.empty((n + 1, 3), dtype=np.int64)
    branch.build_tree(columns, weights, order, low, high, child, item, size, todo)
    return low, child, item, size


def view(task: FitTask, number: int) -> View | None:
    """None when the engine cannot run the rows within the budget at all."""
    engine = task.engines[number]
    left = task.budget
    tables = _pad(engine, len(task.counts))
    if any(len(res) == 0 for _, res in tables):
        return None
    least = [res.min(axis=0) for _, res in tables]
    fitted = []
    for k, (a, res) in enumerate(tables):
        others = np.sum([least[i] for i in range(3) if i != k], axis=0)
        index = np.flatnonzero(np.all(res + others <= left, axis=1))
        if len(index) == 0:
            return None
        fitted.append(Choices(a[index], res[index], index))
    row_low = _row_low(engine, fitted)
    if np.any(row_low >= INFEASIBLE):
        return None
    rows = np.argsort(-row_low * task.counts, kind="stable")
    weighted = (row_low * task.counts)[rows]
    kernels = [Choices(np.ascontiguousarray(c.a[:, rows]), c.res, c.index) for c in fitted]
    return View(
        number,
        (kernels[0], kernels[1], kernels[2]),
        left,
        engine.memory[rows],
        engine.overhead[rows],
        task.counts[rows],
        weighted.sum() - np.cumsum(weighted),
        int(weighted.sum()),
    )


def _row_low(engine: Engine, kernels: list[Choices]) -> IntArray:
    """Least latency (u,) of every row by itself, from the column minima of all kernels."""
    x, y, z = (c.low[0] for c in kernels)
    head, tail = x[:, 1] + y[:, 1], y[:, 2] + z[:, 2]
    fused = np.maximum(np.maximum(x[:, 0] + tail, x[:, 1] + y[:, 0] + z[:, 2]), head + z[:, 0])
    fused = np.maximum(fused, engine.memory) + engine.overhead
    return np.asarray(np.minimum(fused, x[:, 3] + y[:, 3] + z[:, 3]))
