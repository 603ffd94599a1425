"""The best accelerator for each multiplier, proven: branch and bound on the Lagrangian alone.

This is not needed for exactness. But a box only has to beat the best known accelerator at one multiplier here, not the
front over a whole window, so it is far cheaper than the search proper, and with these accelerators' fronts known the
search proper has an order of magnitude fewer boxes to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cofront.search.exact.joint.boxes import BoxEngine, Boxes
from cofront.search.exact.joint.lagrange import CLOSED, NEG, Coarse
from cofront.search.exact.joint.seeds import beam, no_fine

I64 = NDArray[np.int64]
#: How many boxes per multiplier a beam follows, and after how many levels of splitting there is another one.
_WIDTH, _PERIOD = 8, 4


@dataclass
class Tangents:
    """Per multiplier (c,) the greatest bound of any accelerator so far, and that accelerator."""

    alpha: I64
    lam: I64
    need: I64  # (1, c): what the next one must reach
    best: list[tuple[int, I64] | None] = field(default_factory=list)  # (engine, entry)
    boxes: int = 0

    def coarse(self) -> Coarse:
        return Coarse(self.alpha, self.lam, self.need)

    def offer(self, number: int, engine: BoxEngine, entries: I64) -> None:
        """Accelerators (m, K) of engine `number`; of equally good ones the first stays."""
        if len(entries) == 0:
            return
        every = Coarse(self.alpha, self.lam, np.full_like(self.need, NEG + 1))
        _, _, values = engine.bound(Boxes.whole(entries), every, no_fine(every), values=True)
        top = values.argmax(axis=0)
        for w, i in enumerate(top.tolist()):
            if values[i, w] >= self.need[0, w]:
                self.need[0, w] = values[i, w] + 1
                self.best[w] = (number, entries[i])


def tangents(engines: Sequence[BoxEngine], coarse: Coarse, should_stop: Callable[[], bool]) -> Tangents:
    """The best accelerators for the multipliers of `coarse` whose window is not closed; as far as time allows."""
    need = np.where(coarse.threshold == CLOSED, CLOSED, NEG + 1)
    state = Tangents(coarse.alpha, coarse.lam, need, [None] * len(coarse.alpha))
    for i, engine in enumerate(engines):
        state.offer(i, engine, beam(engine, state.coarse(), _WIDTH))
    pending = [(i, e.root()) for i, e in enumerate(engines)]
    level = 0
    while pending and not should_stop():
        level += 1
        fresh = []
        for i, boxes in pending:
            engine = engines[i]
            single = engine.singles(boxes)
            state.offer(i, engine, boxes.entries[single])
            children = engine.children(boxes[~single])
            state.boxes += len(children)
            children, _, _ = engine.bound(children, state.coarse(), no_fine(state.coarse()))
            children = children[children.alive != 0]
            if len(children):
                fresh.append((i, children))
        pending = fresh
        if level % _PERIOD == 0:
            for i, boxes in pending:
                if len(boxes) > 8 * _WIDTH:
                    state.offer(i, engines[i], beam(engines[i], state.coarse(), _WIDTH, boxes))
    return state
