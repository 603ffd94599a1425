"""All allocations that matter for one cost: the whole front of (cost, loss), exact or to a stated tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cofront.errors import UsageError
from cofront.search.allocation.allocate import allocate
from cofront.search.allocation.problem import FloatArray, IntArray, Problem, slack
from cofront.search.allocation.result import Allocation

#: Partial allocations that one unit may make.
MOST = 20_000_000


@dataclass(frozen=True)
class AllocationFront:
    """cost (n,) rising, loss (n,) falling. No allocation has less loss at most at a cost by more than `tolerance`."""

    cost: FloatArray
    loss: FloatArray
    tolerance: float
    _trail: tuple[tuple[IntArray, IntArray], ...]

    def __len__(self) -> int:
        return len(self.cost)

    def choice(self, i: int) -> IntArray:
        """(l,) options of the i-th."""
        choice = np.zeros(len(self._trail), np.int64)
        state = int(i)
        for unit in reversed(range(len(self._trail))):
            parents, options = self._trail[unit]
            choice[unit], state = options[state], int(parents[state])
        return choice

    def within(self, limit: float) -> int:
        """Number of the best one at a cost of at most `limit`, give or take rounding (1e-12); UsageError if none is."""
        i = int(np.searchsorted(self.cost, limit + 1e-12 * abs(limit), side="right")) - 1
        if i < 0:
            raise UsageError(f"no allocation costs at most {limit:.6g}: the cheapest costs {self.cost[0]:.6g}")
        return i


def front(
    problem: Problem, name: str, *, limit: float | None = None, tolerance: float = 0.0, max_states: int = MOST
) -> AllocationFront:
    """The front of loss against the cost `name`, up to `limit`; pair terms between neighbours at most.

    With `tolerance` 0 it is exact, to the last bits of sums. Otherwise of partial allocations whose losses differ by
    less than tolerance / l the cheapest stays, which adds up to less than the tolerance. UsageError when more than
    `max_states` partial allocations would be needed at once.
    """
    cost = problem.cost(name)
    if not problem.is_chain:
        raise UsageError("allocation front: pair terms must be between neighbours; allocate() takes any")
    if not (tolerance >= 0 and np.isfinite(tolerance)):
        raise UsageError(f"allocation front: the tolerance must be a number from 0, got {tolerance}")
    l, mask = problem.shape[0], problem.allowed
    room = np.inf if limit is None else limit + slack(cost[mask], limit)
    cheapest = np.where(mask, cost, np.inf).min(axis=1)
    to_go = np.append(np.cumsum(cheapest[::-1])[::-1][1:], 0.0)
    total, loss, last = np.zeros(1), np.zeros(1), np.zeros(1, np.int64)
    trail = []
    for unit in range(l):
        options = np.flatnonzero(mask[unit])
        if len(total) * len(options) > max_states:
            raise UsageError(
                f"allocation front: unit {unit} makes {len(total) * len(options):,} partial allocations, more than "
                f"{max_states:,}; give a limit or a tolerance above {tolerance:g}"
            )
        c = (total[:, None] + cost[unit, options]).ravel()
        own = np.broadcast_to(problem.loss[unit, options], (len(last), len(options)))
        if (pair := problem.pairs.get((unit - 1, unit))) is not None:
            own = own + pair[np.ix_(last, options)]
        z = (loss[:, None] + own).ravel()
        fits = np.flatnonzero(c + to_go[unit] <= room)
        meets = (unit, unit + 1) in problem.pairs
        group = options[fits % len(options)] if meets else np.zeros(len(fits), np.int64)
        stay = fits[_stairs(c[fits], z[fits], group, tolerance / l)]
        parents, option = stay // len(options), options[stay % len(options)]
        trail.append((parents, option))
        total, loss, last = c[stay], z[stay], option
    return AllocationFront(total, loss, tolerance, tuple(trail))


def _stairs(cost: FloatArray, loss: FloatArray, group: IntArray, grain: float) -> IntArray:
    """Indices, cheapest first in each group, of those that have less loss (by whole grains) than any cheaper one."""
    order = np.lexsort((loss, cost))
    out = []
    for g in np.unique(group):
        mine = order[group[order] == g]
        level = np.floor(loss[mine] / grain) if grain else loss[mine]
        best = np.minimum.accumulate(level)
        first = np.ones(len(mine), bool)
        first[1:] = best[1:] < best[:-1]
        out.append(mine[first])
    return np.concatenate(out) if out else np.zeros(0, np.int64)


def sweep(problem: Problem, name: str, limits: Sequence[float], *, time_limit_s: float = 60.0) -> list[Allocation]:
    """The exact allocation at each limit of one cost: points of the front of a problem too large for all of it."""
    return [allocate(problem, {name: limit}, time_limit_s=time_limit_s) for limit in limits]
