"""Several budgets, overlap cuts, pairs of any units, exactly: partial allocations cut by many Lagrangian bounds.

Units are decided one after the other. A partial allocation is dropped when some cost cannot end within its limit, when
another one with the same future is no worse in loss and every cost, or when one of several Lagrangian bounds says that
nothing better than the best allocation known can come of it. Everything is in floats as given: nothing is rounded to a
grid. Pair terms keep the options of units that are still to meet a partner: exact for any pairs, quick when partners
are near each other in the order of units.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.search.allocation.improve import improve
from cofront.search.allocation.multipliers import Rows, mixed, multipliers
from cofront.search.allocation.pairs import split
from cofront.search.allocation.problem import BoolArray, FloatArray, IntArray, Problem

#: Options of partial allocations, of which there may be many.
SmallArray = NDArray[np.int16]
#: Partial allocations that one unit makes; beyond it those of the best bounds go on, and the answer has a gap.
MOST = 1_000_000
#: So many of least loss are compared with all others; from so many on a sweep compares all, where it can.
RIVALS, MANY = 256, 4000
#: From 10^ASK allocations CP-SAT is asked for one, for so many seconds at most.
ASK, ASK_S = 6.0, 10.0
#: Limits, times these, whose multipliers give further bounds.
NEAR = (1.0, 0.7, 0.85, 0.95, 1.05, 1.2, 1.5)


@dataclass
class Found:
    """`choice` is None when none was found; "infeasible" is then proven if `bound` is infinite."""

    choice: IntArray | None
    value: float
    bound: float
    work: int


class Labels:
    """One search; `run` does it."""

    def __init__(
        self, problem: Problem, rows: Rows, limits: Mapping[str, float], most: int = MOST, deadline: float = np.inf,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.problem, self.rows, self.limits, self.most, self.deadline = problem, rows, limits, most, deadline
        self.best: IntArray | None = None
        self.value, self.dropped, self.work = np.inf, np.inf, 0
        self.mask = problem.allowed.copy()
        self.unary, self.rest = split(problem)
        # no allocation loses more: a bound above it proves that there is none
        most_lost = np.where(self.mask, self.unary, -np.inf).max(axis=1).sum() + sum(
            p.max() for p in self.rest.values()
        )
        self.ceiling = float(most_lost) + 1e-9 * max(1.0, abs(float(most_lost)))

    def run(self) -> Found:
        """The least loss, with its bound."""
        nothing = np.zeros((1, len(self.rows.limit)))
        first, mix = multipliers(self.unary, self.mask, self.rows, NEAR[:1])
        self.weights = np.concatenate([nothing, first])
        self._offer(mixed(self.problem, self.unary, mix, self.rows))
        self._fix()
        more, mix = multipliers(self.unary, self.mask, self.rows, NEAR[1:])
        self.weights = np.concatenate([self.weights, more])
        self._offer(mixed(self.problem, self.unary, mix, self.rows))
        self._fix()
        root = self._root()
        if self._large():
            self._ask()
            self._fix()
        if root > self.ceiling:
            return Found(None, np.inf, np.inf, 0)
        if self.value > root + 1e-12 * max(1.0, abs(root)):
            self._forward()
        if self.best is None and self.dropped == np.inf:
            return Found(None, np.inf, np.inf, self.work)
        bound = min(self.value, max(root, self.dropped))
        return Found(self.best, self.value, bound, self.work)

    def _priced(self) -> FloatArray:
        """(m, l, o) losses with each multiplier's price; inf where masked."""
        price = self.unary + np.tensordot(self.weights, self.rows.cost, 1)
        return np.asarray(np.where(self.mask, price, np.inf), float)

    def _root(self) -> float:
        worth = self.weights @ self.rows.limit
        return float((self._priced().min(axis=2).sum(axis=1) - worth).max())

    def _large(self) -> bool:
        """Whether the search ahead may be long, so that a better incumbent is worth asking for."""
        return float(np.log10(self.mask.sum(axis=1)).sum()) > ASK

    def _ask(self) -> None:
        """CP-SAT's allocation as an incumbent; its bound is not used."""
        from cofront.search.allocation.integer import by_integers

        left = min(ASK_S, 0.3 * (self.deadline - time.perf_counter()))
        self._offer(by_integers(self.problem, self.rows, self.mask, time_limit_s=left, seed=self.seed))

    def _fix(self) -> None:
        """Rules options out that some multiplier proves to be no part of anything better than the incumbent."""
        if self.best is None:
            return
        price = self._priced()
        least = price.min(axis=2)
        bound = (least.sum(axis=1) - self.weights @ self.rows.limit)[:, None, None] + price - least[:, :, None]
        self.mask &= (bound < self.value).all(axis=0)
        self.mask[np.arange(len(self.mask)), self.best] = True

    def _offer(self, choice: IntArray | None) -> None:
        if choice is None or not self.rows.met(choice):
            return
        better = improve(self.problem, choice, self.limits)
        for c in (choice, better):
            value = float(self.problem.losses(c)[0])
            if value < self.value and self.rows.met(c):
                self.best, self.value = c, value

    def _forward(self) -> None:
        l, k = self.problem.shape[0], len(self.rows.limit)
        price = self._priced().min(axis=2)
        ahead = np.cumsum(price[:, ::-1], axis=1)[:, ::-1]  # (m, l) of units from here on
        ahead = np.concatenate([ahead[:, 1:], np.zeros((len(ahead), 1))], axis=1)
        cheapest = np.where(self.mask, self.rows.cost, np.inf).min(axis=2)
        room = self.rows.limit[:, None] - (cheapest.sum(axis=1)[:, None] - np.cumsum(cheapest, axis=1))
        room += 1e-12 * np.abs(cheapest).sum(axis=1)[:, None]
        last = {i: max((b for a, b in self.rest if a == i), default=-1) for i in range(l)}
        chosen: SmallArray = np.zeros((1, l), np.int16)
        cost, loss = np.zeros((1, k)), np.zeros(1)
        for unit in range(l):
            options = np.flatnonzero(self.mask[unit])
            chosen, cost, loss = self._room(chosen, cost, loss, len(options), unit, ahead)
            own = np.broadcast_to(self.unary[unit, options], (len(loss), len(options))).copy()
            for (i, j), p in self.rest.items():
                if j == unit:
                    own += p[np.ix_(chosen[:, i], options)]
            c = (cost[:, None, :] + self.rows.cost[:, unit, options].T).reshape(len(loss) * len(options), k)
            z = (loss[:, None] + own).ravel()
            self.work += len(z)
            keep = np.flatnonzero(
                (self._bound(z, c, unit, ahead) < min(self.value, self.ceiling)) & (c <= room[:, unit]).all(axis=1)
            )  # fmt: skip
            rows, picked = np.divmod(keep, len(options))
            chosen = chosen[rows]
            chosen[:, unit] = options[picked]
            cost, loss = c[keep], z[keep]
            open_units = [i for i in range(unit + 1) if last[i] > unit]
            stay = _undominated(cost, loss, chosen[:, open_units])
            chosen, cost, loss = chosen[stay], cost[stay], loss[stay]
            if not len(loss):
                return
        for i in np.argsort(loss, kind="stable"):  # the first that meets the limits in the rows' own order of adding
            if self.rows.met(chosen[i].astype(np.int64)):
                self._offer(chosen[i].astype(np.int64))
                return

    def _bound(self, loss: FloatArray, cost: FloatArray, unit: int, ahead: FloatArray) -> FloatArray:
        """(s,) the best of the Lagrangian bounds, units up to `unit` decided."""
        out = np.full(len(loss), -np.inf)
        for weight, rest in zip(self.weights, ahead[:, unit], strict=True):
            np.maximum(out, loss + (cost - self.rows.limit) @ weight + rest, out=out)
        return out

    def _room(
        self, chosen: SmallArray, cost: FloatArray, loss: FloatArray, width: int, unit: int, ahead: FloatArray
    ) -> tuple[SmallArray, FloatArray, FloatArray]:
        """As many as the unit's options leave room for, of the best bounds; what goes bounds the answer."""
        most = max(1, self.most // width) if time.perf_counter() <= self.deadline else 100
        if len(loss) <= most:
            return chosen, cost, loss
        bound = self._bound(loss, cost, unit - 1, ahead)
        rank = np.argsort(bound, kind="stable")
        self.dropped = min(self.dropped, float(bound[rank[most]]))
        return chosen[rank[:most]], cost[rank[:most]], loss[rank[:most]]


def _undominated(cost: FloatArray, loss: FloatArray, key: SmallArray) -> IntArray:
    """Indices, by rising loss, of those that no other of the same key beats or equals in loss and every cost.

    All of them where there are many, up to two costs and no keys; else what the `RIVALS` of least loss can tell.
    """
    if cost.shape[1] <= 2 and not key.shape[1] and len(loss) > MANY:
        from cofront.search.allocation.dominance import undominated_in_three  # compiled: slow to import

        return undominated_in_three(loss, np.pad(cost, ((0, 0), (0, 2 - cost.shape[1]))))
    order = np.lexsort((*cost.T, loss))
    cost, loss, key = cost[order], loss[order], key[order]
    bad: BoolArray = np.zeros(len(loss), bool)
    for r in range(min(RIVALS, len(loss))):
        if not bad[r]:
            worse = (cost[r + 1 :] >= cost[r]).all(axis=1)
            if key.shape[1]:
                worse &= (key[r + 1 :] == key[r]).all(axis=1)
            bad[r + 1 :] |= worse
    return np.asarray(order[~bad], np.int64)
