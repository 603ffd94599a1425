"""The best accelerator for each multiplier: local search, then branch and bound on the Lagrangian alone.

This is not needed for exactness. But a box only has to beat the best known accelerator at one multiplier here, not the
front over a whole window, so it is far cheaper than the search proper, and with these accelerators' fronts known the
search proper has an order of magnitude fewer boxes to look at.

The local search frees all kernels but one of a good accelerator and searches that neighbourhood: resources move from
one kernel to another, which no change of a single kernel can do. Each engine climbs for itself, first with a beam, then
by branch and bound where it is not hopelessly behind the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cofront.search.exact.joint.boxes import BoxEngine, Boxes
from cofront.search.exact.joint.lagrange import CLOSED, NEG, Coarse
from cofront.search.exact.joint.seeds import beam, no_fine

I64 = NDArray[np.int64]
#: How many boxes per multiplier the first beam follows, and those within neighbourhoods; most rounds of local search.
_FIRST, _WIDTH, _ROUNDS = 4, 8, 8
#: An engine that is farther behind, as a share of the score range, is not searched thoroughly before the end.
_BEHIND = 0.05


class Tangents:
    """Per multiplier (c,) the greatest bound of any accelerator so far, and per engine its best accelerators."""

    def __init__(
        self, engines: Sequence[BoxEngine], coarse: Coarse, score_range: int, should_stop: Callable[[], bool]
    ) -> None:
        self.engines = engines
        self.score_range = score_range
        self.should_stop = should_stop
        self.alpha, self.lam = coarse.alpha, coarse.lam
        self.need = np.where(coarse.threshold == CLOSED, CLOSED, NEG + 1)  # (c,) what the next one must reach
        count = len(coarse.alpha)
        self.value = np.full((len(engines), count), NEG)  # (engines, c)
        self.entry: list[list[I64 | None]] = [[None] * count for _ in engines]
        self.boxes = 0

    def coarse(self) -> Coarse:
        return Coarse(self.alpha, self.lam, self.need)

    def offer(self, i: int, entries: I64) -> None:
        """Accelerators (m, K) of engine i; of equally good ones the first stays."""
        if len(entries) == 0:
            return
        every = Coarse(self.alpha, self.lam, np.full_like(self.need, NEG + 1))
        _, _, values = self.engines[i].bound(Boxes.whole(entries), every, no_fine(every), values=True)
        top = values.argmax(axis=0)
        for w, j in enumerate(top.tolist()):
            if values[j, w] > self.value[i, w]:
                self.value[i, w] = values[j, w]
                self.entry[i][w] = entries[j]
            if values[j, w] >= self.need[w]:
                self.need[w] = values[j, w] + 1

    def best(self) -> list[tuple[int, I64]]:
        """The best accelerator of every open multiplier as (engine, entry), without repeats."""
        found: dict[tuple[int, ...], tuple[int, I64]] = {}
        for w in np.flatnonzero(self.need != CLOSED):
            i = int(self.value[:, w].argmax())
            entry = self.entry[i][w]
            if entry is not None:
                found.setdefault((i, *entry.tolist()), (i, entry))
        return list(found.values())

    def own(self, i: int, behind: int | None = None) -> Coarse:
        """What engine i must reach to beat itself; at least what is `behind` (in score) the best of all."""
        need = self.value[i] + 1
        if behind is not None:
            need = np.maximum(need, self.need - self.alpha * behind)
        return Coarse(self.alpha, self.lam, np.where(self.need == CLOSED, CLOSED, need))

    def descend(self, i: int, boxes: Boxes, target: Callable[[], Coarse]) -> Boxes:
        """One level of branch and bound on boxes of engine i; `target` is what they must reach."""
        engine = self.engines[i]
        single = engine.singles(boxes)
        self.offer(i, boxes.entries[single])
        children = engine.children(boxes[~single])
        self.boxes += len(children)
        coarse = target()
        children, _, _ = engine.bound(children, coarse, no_fine(coarse))
        return children[children.alive != 0]

    def everywhere(self) -> None:
        """Branch and bound on all engines together, until nothing can beat the best known at any multiplier."""
        pending = [(i, e.root()) for i, e in enumerate(self.engines)]
        while pending and not self.should_stop():
            pending = [(i, self.descend(i, boxes, self.coarse)) for i, boxes in pending]
            pending = [(i, boxes) for i, boxes in pending if len(boxes)]

    def climb(self, thorough: bool) -> None:
        """Search the neighbourhoods of the best accelerators until they get no better."""
        behind = int(_BEHIND * self.score_range) if thorough else None
        done: list[dict[tuple[int, ...], int]] = [{} for _ in self.engines]
        for _ in range(_ROUNDS):
            before = self.value.copy()
            for i, engine in enumerate(self.engines):
                boxes = self.neighbourhoods(i, done[i], behind)
                while thorough and len(boxes) and not self.should_stop():
                    boxes = self.descend(i, boxes, lambda i=i: self.own(i, behind))  # type: ignore[misc]
                if len(boxes) and not self.should_stop():
                    self.offer(i, beam(engine, self.own(i), _WIDTH, boxes))
            if np.array_equal(before, self.value):
                return

    def neighbourhoods(self, i: int, done: dict[tuple[int, ...], int], behind: int | None) -> Boxes:
        """For engine i's best accelerators, boxes in which one kernel is fixed and the others are free; new ones."""
        engine = self.engines[i]
        masks: dict[tuple[int, ...], int] = {}
        for w in np.flatnonzero(self.need != CLOSED).tolist():
            entry = self.entry[i][w]
            for k in range(0 if entry is None else len(entry)):
                assert entry is not None
                box = engine.forest.roots.copy()
                box[k] = entry[k]
                key = tuple(box.tolist())
                if not done.get(key, 0) >> w & 1:
                    masks[key] = masks.get(key, 0) | (1 << w)
        for key, mask in masks.items():
            done[key] = done.get(key, 0) | mask
        boxes = Boxes(
            np.array(list(masks), dtype=np.int64).reshape(-1, len(engine.forest.roots)),
            np.array(list(masks.values()), dtype=np.uint64),
        )
        coarse = self.own(i, behind)
        boxes, _, _ = engine.bound(boxes, coarse, no_fine(coarse))
        return boxes[boxes.alive != 0]


def tangents(
    engines: Sequence[BoxEngine],
    coarse: Coarse,
    score_range: int,
    should_stop: Callable[[], bool],
    known: Mapping[int, I64],
) -> Tangents:
    """The best accelerators for the multipliers of `coarse` whose window is not closed; as far as time allows.

    `known` holds accelerators (m, K) per engine to start from, besides those of a beam.
    """
    state = Tangents(engines, coarse, score_range, should_stop)
    for i, entries in known.items():
        state.offer(i, entries)
    for i, engine in enumerate(engines):
        state.offer(i, beam(engine, state.own(i), _FIRST))
    state.climb(thorough=False)
    state.climb(thorough=True)
    state.everywhere()
    return state
