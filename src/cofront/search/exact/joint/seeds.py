"""First good designs: a beam search over the boxes, guided by the same bounds that later prove optimality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cofront.search.exact.joint.boxes import BoxEngine, Boxes
from cofront.search.exact.joint.incumbent import Candidate
from cofront.search.exact.joint.lagrange import NEG, Coarse, Fine
from cofront.search.exact.joint.paths import accelerator_costs, supported
from cofront.search.exact.joint.vectors import NEVER

I64 = NDArray[np.int64]


def beam(engine: BoxEngine, coarse: Coarse, width: int, start: Boxes | None = None) -> I64:
    """Accelerators (m, K) with high bounds for some multiplier: the best `width` boxes of each are followed down."""
    fine = no_fine(coarse)
    pool, _, values = engine.bound(start or engine.root(), coarse, fine, values=True)
    found: list[I64] = []
    while len(pool):
        keep = np.union1d(_best(values, pool.alive, width), _leanest(engine, pool, width))
        pool, values = pool[keep], values[keep]
        single = engine.singles(pool)
        if single.all():
            found.append(pool.entries)
            break
        # singles stay in the pool, so that they compete with what is still to be split
        nexts = engine.children(pool[~single])
        nexts, _, new = engine.bound(nexts, coarse, fine, values=True)
        values = np.concatenate([values[single], new])
        pool = Boxes.join([pool[single], nexts])
    return found[0] if found else np.empty((0, len(engine.forest.roots)), np.int64)


def no_fine(coarse: Coarse) -> Fine:
    """No fine windows beside the given coarse ones."""
    empty = np.empty((len(coarse.alpha), 0), np.int64)
    return Fine(empty, empty, empty)


def _leanest(engine: BoxEngine, pool: Boxes, width: int) -> I64:
    """Positions of boxes that leave most of the scarcest resource: with them something feasible is found."""
    rows = np.flatnonzero(pool.alive != 0)
    used = engine.forest.resources[pool.entries[rows]].sum(axis=1)
    share = (used / np.maximum(engine.room, 1)).max(axis=1)
    return np.asarray(rows[np.argsort(share, kind="stable")[:width]])


def _best(values: I64, alive: NDArray[np.uint64], width: int) -> I64:
    """Positions of the best `width` rows of every column, among rows with an open window; rising, without repeats."""
    rows = np.flatnonzero(alive != 0)
    v = values[rows]
    if len(rows) > width:
        top = np.argpartition(-v, width - 1, axis=0)[:width]
        threshold = np.take_along_axis(v, top, axis=0).min(axis=0)
        # ties at the edge by position, so that the result does not depend on argpartition
        chosen: set[int] = set()
        for w in range(v.shape[1]):
            if threshold[w] <= NEG // 2:
                continue
            above = np.flatnonzero(v[:, w] > threshold[w])
            equal = np.flatnonzero(v[:, w] == threshold[w])
            chosen.update(above.tolist())
            chosen.update(equal[: width - len(above)].tolist())
        rows = rows[sorted(chosen)]
    return rows


def supported_designs(engine: BoxEngine, entries: I64, alpha: I64, lam: I64) -> list[Candidate]:
    """The designs that the multipliers (w,) find on each accelerator."""
    found: list[Candidate] = []
    for entry in entries:
        cost = accelerator_costs(engine.tables, engine.compact.classes, entry)
        c, s, path = supported(engine.compact.graph, cost, alpha, lam)
        configs = engine.configs(entry)
        for i in range(len(c)):
            if c[i] < NEVER:
                edges = tuple(int(e) for e in path[i] if e >= 0)
                found.append(Candidate(int(c[i]), int(s[i]), engine.compact.index, configs, edges))
    return found
