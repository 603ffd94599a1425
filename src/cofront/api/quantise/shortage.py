"""Budgets that nothing meets: the least there is, in figures that are enough when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

import numpy as np

from cofront.api.budgets import Budget, parse_budgets
from cofront.front import Infeasible

if TYPE_CHECKING:
    from cofront.api.quantise.costs import BitCosts

#: Units of `--budget`, largest first, and the unit that documents have.
_UNITS = {
    "latency": (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)),
    "energy": (("J", 1.0), ("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9)),
    "size": (("MB", 1e6), ("kB", 1e3), ("B", 1.0)),
}
SI = {"latency": "s", "energy": "J", "size": "bytes"}
#: Digits that are shown at least, and as many as a float has.
_FEWEST, _MOST = 4, 17
#: A value and one a little above it, where no decimal of the first is read as a float that is enough.
_TRIED = 1.0, 1 + 1e-9


def impossible(costs: BitCosts, budgets: tuple[Budget, ...]) -> tuple[Infeasible, ...]:
    """Why no allocation is within all budgets, where that is proven: the costs alone say so, whatever bits hurt."""
    from cofront.search.allocation import allocate
    from cofront.search.allocation.problem import Problem

    problem = Problem(np.zeros(costs.allowed.shape), dict(costs.costs), costs.allowed)
    left = {b.quantity: b.of(costs.now[b.quantity]) - costs.fixed.get(b.quantity, 0.0) for b in budgets}
    return tuple(whole(why, costs, budgets) for why in allocate(problem, left, time_limit_s=10).infeasible)


def whole(why: Infeasible, costs: BitCosts, budgets: tuple[Budget, ...]) -> Infeasible:
    """A limit of what has bits that nothing meets, as one of the network, with the budget that would be enough."""
    budget = next((b for b in budgets if b.quantity == why.limit), None)
    if budget is None:
        return why
    more = costs.fixed.get(why.limit, 0.0)
    return short(budget, why.needed + more, why.available + more, costs.now[why.limit])


def short(budget: Budget, needed: float, available: float, now: float) -> Infeasible:
    """A budget below the least there is; `now` is what shares are of."""
    words = enough(budget.quantity, needed) if budget.share is None else _share(budget.quantity, needed, now)
    return Infeasible(budget.quantity, needed, available, SI[budget.quantity], f"give at least {words}")


def enough(quantity: str, value: float, digits: int = _FEWEST) -> str:
    """A figure (s, J, bytes) as `--budget` reads it, rounded up: asked for, it is at least the value."""
    texts = (_figure(quantity, value * f, n, ROUND_CEILING) for f in _TRIED for n in range(digits, _MOST + 1))
    return _first(texts, value, 1.0)


def least_and_asked(quantity: str, needed: float, available: float) -> tuple[str, str]:
    """Both with as many digits as it takes until they differ, the first rounded up."""
    for n in range(_FEWEST, _MOST + 1):
        both = enough(quantity, needed, n), _figure(quantity, available, n, ROUND_HALF_EVEN)
        if both[0] != both[1]:
            break
    return both


def _share(quantity: str, needed: float, now: float) -> str:
    rounded = (
        Context(prec=n, rounding=ROUND_CEILING).create_decimal(Decimal(f * needed / now))
        for f in _TRIED for n in range(3, _MOST)
    )  # fmt: skip
    return _first((f"{d:f}x {quantity}" for d in rounded), needed, now)


def _figure(quantity: str, value: float, digits: int, rounding: str) -> str:
    units = _UNITS[quantity]
    unit, scale = next((u for u in units if value >= u[1]), units[-1])
    exact = Decimal(value) / Decimal(str(scale))
    text = f"{Context(prec=digits, rounding=rounding).create_decimal(exact):f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def _first(texts: Iterator[str], needed: float, now: float) -> str:
    """The first that is read as enough: a decimal rounded up may be a float below."""
    text = ""
    for text in texts:
        if parse_budgets(text)[0].of(now) >= needed:
            break
    return text
