"""One budget, exactly: dynamic programming over units with states cut by dominance and by the relaxation's bound.

A state is (cost, loss) of the units decided so far, and the last unit's option where neighbours have pair terms. It is
dropped when another one with the same future is no worse in both, or when its loss plus the relaxed optimum of what is
left cannot beat the best allocation known. Losses and costs are floats as given: nothing is rounded to a grid, and
"equal" is to the last bits of a sum (relative 1e-12).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cofront.search.allocation.hull import Segments, relaxed, undominated
from cofront.search.allocation.improve import improve
from cofront.search.allocation.problem import SLACK, BoolArray, FloatArray, IntArray, Problem, slack

#: States that one unit makes of those before it; beyond it the states with the best bounds go on, and there is a gap.
MOST = 2_000_000


@dataclass
class Search:
    """One run. `best` (l,) and `value`: the incumbent; `dropped`: the least bound of what was dropped for room."""

    problem: Problem
    name: str
    limit: float
    most: int = MOST
    deadline: float = np.inf
    best: IntArray | None = None
    value: float = np.inf
    dropped: float = np.inf
    work: int = 0
    _trail: list[tuple[IntArray, IntArray, int]] = field(default_factory=list)

    def run(self) -> float:
        """Searches; the proven bound."""
        p = self.problem
        self.loss, self.cost = _unary(p), p.cost(self.name)
        self.room = self.limit + slack(self.cost[p.allowed], self.limit)
        segments = Segments.of(self.loss, self.cost, p.allowed)
        everything = np.ones(p.shape[0], bool)
        curve = segments.curve(everything)
        root = float(relaxed(curve, np.array(self.room)))
        if root == np.inf:  # nothing fits, or the cheapest does up to the rounding of its sum
            self._offer(segments.start)
            return self.value
        vertex = segments.vertex(int(np.searchsorted(curve[0], self.room, side="right")) - 1, everything)
        self._offer(improve(p, vertex, {self.name: self.limit}))
        # whole losses add up to whole sums
        self.whole = all(np.array_equal(t, np.rint(t)) for t in (p.loss[p.allowed], *p.pairs.values()))
        root = float(self._up(root))
        if self.value <= root + SLACK * abs(root):
            return self.value
        mask = self._fixed(segments)
        order = np.arange(p.shape[0]) if p.pairs else _order(self.loss, self.cost, mask)
        self._forward(order, mask, Segments.of(self.loss, self.cost, mask), root)
        # nothing within the limit has less than the incumbent, but for what was dropped for room
        return min(self.value, max(root, self.dropped))

    def _up(self, bound: Any) -> Any:
        """A bound, rounded up where losses are whole; 1e-9 forgives the rounding of sums."""
        if not self.whole:
            return bound
        return np.where(
            np.isfinite(bound), np.ceil(bound - 1e-9 * np.maximum(1.0, np.abs(np.nan_to_num(bound)))), bound
        )

    def _offer(self, choice: IntArray) -> None:
        if self.problem.within(choice, {self.name: self.limit})[0]:
            value = float(self.problem.losses(choice)[0])
            if value < self.value:
                self.best, self.value = choice, value

    def _fixed(self, segments: Segments) -> BoolArray:
        """The options that could be part of something better than the incumbent, by the relaxation of all other units.

        Without pairs, of options that are dominated by others none is needed.
        """
        p = self.problem
        mask = p.allowed.copy() if p.pairs else undominated(self.loss, self.cost, p.allowed)
        others = np.ones(p.shape[0], bool)
        for i in range(p.shape[0]):
            others[i] = False
            o = np.flatnonzero(mask[i])
            bound = self.loss[i, o] + relaxed(segments.curve(others), self.room - self.cost[i, o])
            others[i] = True
            mask[i, o] = bound < self.value
        if self.best is not None:  # keeps every unit an option; nothing better is lost
            mask[np.arange(len(mask)), self.best] = True
        return mask

    def _forward(self, order: IntArray, mask: BoolArray, segments: Segments, root: float) -> None:
        cost, loss, last = np.zeros(1), np.zeros(1), np.full(1, -1, np.int64)
        ahead = np.ones(len(order), bool)
        widths = [*mask.sum(axis=1)[order[1:]].tolist(), 1]
        for unit, following in zip(order.tolist(), widths, strict=True):
            ahead[unit] = False
            options = np.flatnonzero(mask[unit])
            c = (cost[:, None] + self.cost[unit, options]).ravel()
            own = self._own(unit, options, last)
            z = (loss[:, None] + own).ravel()
            self.work += len(c)
            curve = segments.curve(ahead)
            bound = self._up(z + relaxed(curve, self.room - c))
            keep = np.flatnonzero(bound < self.value)
            parent, option = keep // len(options), options[keep % len(options)]
            c, z, bound = c[keep], z[keep], bound[keep]
            groups = option if self.problem.pairs else np.zeros(len(keep), np.int64)
            stay = self._crowded(_front(c, z, groups), bound, following)
            self._trail.append((parent[stay], option[stay], unit))
            cost, loss, last = c[stay], z[stay], option[stay]
            if not len(cost):
                return
            self._complete(cost, loss, curve, segments, ahead)
            if self.value <= root + SLACK * abs(root):
                return
        best = int(loss.argmin())
        self._offer(self._trace(best))

    def _own(self, unit: int, options: IntArray, last: IntArray) -> FloatArray:
        """(s, o) loss that the unit adds, with its pair terms: those with the unit before that the bound left out."""
        pair = self.problem.pairs.get((unit - 1, unit))
        if pair is None or last[0] < 0:
            return np.asarray(self.loss[unit, options][None, :], float)
        return np.asarray(self.problem.loss[unit, options] + pair[np.ix_(last, options)], float)

    def _crowded(self, stay: IntArray, bound: FloatArray, following: int) -> IntArray:
        """As many states, of the best bounds, as the next unit has room for; what goes bounds the answer.

        Out of time very few stay.
        """
        most = max(1, self.most // following) if time.perf_counter() <= self.deadline else 100
        if len(stay) <= most:
            return stay
        rank = np.argsort(bound[stay], kind="stable")
        self.dropped = min(self.dropped, float(bound[stay[rank[most]]]))
        return stay[rank[:most]]

    def _complete(
        self, cost: FloatArray, loss: FloatArray, curve: tuple[FloatArray, FloatArray], segments: Segments,
        ahead: BoolArray,
    ) -> None:  # fmt: skip
        """The best state's completion by whole hull segments, as an incumbent."""
        at = np.searchsorted(curve[0], self.room - cost, side="right") - 1
        value = loss + np.where(at >= 0, curve[1][np.maximum(at, 0)], np.inf)
        i = int(value.argmin())
        if value[i] < self.value:
            choice = segments.vertex(int(at[i]), ahead)
            done = self._trace(i)
            choice[~ahead] = done[~ahead]
            self._offer(improve(self.problem, choice, {self.name: self.limit}))

    def _trace(self, state: int) -> IntArray:
        choice = np.zeros(self.problem.shape[0], np.int64)
        for parents, options, unit in reversed(self._trail):
            choice[unit] = options[state]
            state = int(parents[state])
        return choice


def _unary(problem: Problem) -> FloatArray:
    """(l, o) losses that bound from below: each pair term's least, given the later unit's option, is added to it."""
    loss = np.where(problem.allowed, problem.loss, 0.0)
    for (i, j), p in problem.pairs.items():
        loss[j] += p[problem.allowed[i]].min(axis=0)
    return np.where(problem.allowed, loss, 0.0)


def _order(loss: FloatArray, cost: FloatArray, mask: BoolArray) -> IntArray:
    """Units with the widest spread of costs first: what is left then is fine-grained, and its relaxation is close."""
    low = np.where(mask, cost, np.inf).min(axis=1)
    return np.argsort(low - np.where(mask, cost, -np.inf).max(axis=1), kind="stable")


def _front(cost: FloatArray, loss: FloatArray, group: IntArray) -> IntArray:
    """Indices of the states that no other of their group equals or beats in both."""
    order = np.lexsort((loss, cost))
    out = []
    for g in np.unique(group):
        mine = order[group[order] == g]
        best = np.minimum.accumulate(loss[mine])
        first = np.ones(len(mine), bool)
        first[1:] = best[1:] < best[:-1]
        out.append(mine[first])
    return np.concatenate(out) if out else np.zeros(0, np.int64)
