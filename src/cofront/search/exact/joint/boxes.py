"""Branch and bound over boxes of accelerators: one cluster of configurations per kernel.

A box is dropped when its minimal resources exceed the budget, or when its Lagrangian bound, on column minima, cannot
improve the front in any window. The rest is split at the kernel whose cluster is loosest. Survivors of single
configurations are accelerators that deserve the exact dynamic programme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.search.exact.joint.clusters import Forest, build, surrogates
from cofront.search.exact.joint.compact import CompactEngine
from cofront.search.exact.joint.lagrange import Coarse, Fine, evaluate, margins
from cofront.search.exact.joint.prune import undominated
from cofront.search.exact.joint.vectors import Tables, totals

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
#: Single accelerators compared at once.
_COMPARED = 4096


@dataclass(frozen=True)
class Boxes:
    """n boxes of one engine: an entry per kernel (n, K) and the windows still open, (n,) bit masks."""

    entries: I64
    alive: U64

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, pick: NDArray[np.generic] | slice) -> Boxes:
        return Boxes(self.entries[pick], self.alive[pick])

    @staticmethod
    def whole(entries: I64) -> Boxes:
        """Boxes with every window open."""
        return Boxes(entries, np.full(len(entries), ~np.uint64(0)))

    @staticmethod
    def join(parts: list[Boxes]) -> Boxes:
        return Boxes(np.concatenate([p.entries for p in parts]), np.concatenate([p.alive for p in parts]))


@njit(cache=True, nogil=True, error_model="numpy")
def _children(forest, room, entries, alive):  # type: ignore[no-untyped-def]
    """Both halves of every box along its loosest kernel, those that can fit; (n', K), (n',)."""
    n, k_count = entries.shape
    resources = room.shape[0]
    out = np.empty((2 * n, k_count), np.int64)
    out_alive = np.empty(2 * n, np.uint64)
    m = 0
    for i in range(n):
        pick = 0
        for k in range(1, k_count):
            if forest.loose[entries[i, k]] > forest.loose[entries[i, pick]]:
                pick = k
        parent = entries[i, pick]
        for child in (forest.left[parent], forest.right[parent]):
            fits = True
            for r in range(resources):
                used = forest.resources[child, r]
                for k in range(k_count):
                    if k != pick:
                        used += forest.resources[entries[i, k], r]
                fits &= used <= room[r]
            if fits:
                out[m] = entries[i]
                out[m, pick] = child
                out_alive[m] = alive[i]
                m += 1
    return out[:m].copy(), out_alive[:m].copy()


class BoxEngine:
    """One engine's boxes: its root, their children, their bounds."""

    def __init__(self, compact: CompactEngine) -> None:
        self.compact = compact
        self.forest: Forest
        self.tables: Tables
        self.weights = surrogates(compact.room)
        self.forest, self.tables = build(compact, self.weights)
        self.room = compact.room @ self.weights

    def limit(self, resource: int, budget: int) -> None:
        """Narrow the budget of one resource, the engine's base included; never beyond the problem's own."""
        room = self.compact.room.copy()
        room[resource] = min(budget - self.compact.base[resource], room[resource])
        self.room = room @ self.weights

    def root(self) -> Boxes:
        fits = (self.forest.resources[self.forest.roots].sum(axis=0) <= self.room).all()
        n = 1 if fits else 0
        return Boxes.whole(self.forest.roots[None, :][:n].copy())

    def singles(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Which boxes hold exactly one accelerator, (n,)."""
        return np.asarray((self.forest.left[boxes.entries] < 0).all(axis=1))

    def children(self, boxes: Boxes) -> Boxes:
        entries, alive = _children(self.forest, self.room, boxes.entries, boxes.alive)
        return Boxes(entries, alive)

    def bound(self, boxes: Boxes, coarse: Coarse, fine: Fine, *, values: bool = False) -> tuple[Boxes, I64, I64]:
        """Boxes with updated masks (0: drop), the greatest bound of an open window (c,), all bounds (n, c) if asked."""
        out = np.empty((len(boxes) if values else 0, len(coarse.alpha)), np.int64)
        c = self.compact
        alive, greatest = evaluate(self.tables, c.classes, c.graph, boxes.entries, boxes.alive, coarse, fine, out)
        return Boxes(boxes.entries, alive), greatest.max(axis=0), out

    def margins(self, boxes: Boxes, fine: Fine) -> tuple[NDArray[np.float64], I64]:
        """By how much each single accelerator may improve, (n,), and the greatest open bound of each fine window."""
        c = self.compact
        best, greatest = margins(self.tables, c.classes, c.graph, boxes.entries, boxes.alive, fine)
        return best, greatest

    def maximal(self, boxes: Boxes) -> Boxes:
        """Of single accelerators those that no other is at least as fast as on every row; of equal ones the first."""
        kept = boxes[slice(0)]
        for i in range(0, len(boxes), _COMPARED):
            kept = Boxes.join([kept, boxes[slice(i, i + _COMPARED)]])
            kept = kept[undominated([totals(self.tables, kept.entries)])]
        return kept

    def configs(self, entry: I64) -> tuple[int, ...]:
        """Original configuration of every kernel of a single accelerator."""
        local = self.forest.config[entry]
        return tuple(int(kept[j]) for kept, j in zip(self.compact.configs, local, strict=True))
