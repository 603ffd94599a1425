"""The choice of bits where the costs of layers add up: exactly, with a bound, or by the baselines."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.quantise.costs import BitCosts, Pair, quantity_of
from cofront.api.quantise.shortage import impossible, whole
from cofront.errors import unknown_name
from cofront.front import Infeasible

if TYPE_CHECKING:
    from cofront.api.budgets import Budget
    from cofront.front import Design
    from cofront.search.allocation.problem import Problem
    from cofront.task.quantise.curvature import LossTables

METHODS = ("exact", "greedy", "evolution", "haq")
#: Allocations of the front that are shown.
SHOWN = 24
#: Allocations that evolution looks at.
EVALUATIONS = 20_000


@dataclass(frozen=True)
class Point:
    """An allocation: bits by layer, costs by quantity, and the rise of the loss that is expected."""

    bits: Mapping[str, Pair]
    costs: Mapping[str, float]
    rise: float
    design: Design | None = None


@dataclass(frozen=True)
class Chosen:
    """What was chosen (None: infeasible), what bounds it, and the front and uniform allocations around it.

    `now` are the costs at 8 bits, `limits` what is allowed, `units` the layers that get bits together, by name.
    """

    point: Point | None
    status: str
    bound: float | None
    now: Mapping[str, float]
    limits: Mapping[str, float]
    units: Mapping[str, tuple[str, ...]]
    front: tuple[Point, ...] = ()
    uniform: Mapping[str, Point] = field(default_factory=dict)
    unit_costs: Callable[[str, Pair], dict[str, float]] = lambda _name, _pair: {}
    infeasible: tuple[Infeasible, ...] = ()
    note: str = ""
    accelerator: Mapping[str, Any] = field(default_factory=dict)


def problem_of(costs: BitCosts, tables: LossTables) -> Problem:
    """The allocation problem of layers whose costs add up."""
    from cofront.search.allocation.problem import Problem

    loss = np.array([[tables.rise(n, w, a) for w, a in costs.pairs] for n in costs.layers])
    return Problem(loss, dict(costs.costs), costs.allowed)


def hopeless(costs: BitCosts, budgets: tuple[Budget, ...]) -> Chosen | None:
    """The answer where costs alone prove that nothing is within the budgets; None where they do not."""
    why = impossible(costs, budgets)
    if not why:
        return None
    limits = {b.quantity: b.of(costs.now[b.quantity]) for b in budgets}
    units = {n: (n,) for n in costs.layers}
    return Chosen(None, "infeasible", None, costs.now, limits, units, infeasible=why, note=costs.note)


def on_layers(costs: BitCosts, tables: LossTables, budgets: tuple[Budget, ...], method: str, seed: int) -> Chosen:
    """Least expected rise within the budgets: proven with "exact"; the others are bounded by what is proven by it."""
    from cofront.search.allocation import allocate, evolutionary, greedy

    problem, now = problem_of(costs, tables), costs.now
    limits = {quantity_of(costs, b.quantity): b.of(now[b.quantity]) for b in budgets}
    left = {q: limit - costs.fixed.get(q, 0.0) for q, limit in limits.items()}
    exact = allocate(problem, left, seed=seed)
    if method == "exact":
        found = exact
    elif method == "greedy":
        found = greedy(problem, left)
    elif method == "evolution":
        found = evolutionary(problem, left, evaluations=EVALUATIONS, seed=seed)
    else:
        raise unknown_name("method", method, METHODS)

    def point(choice: Any) -> Point:
        bits = {n: costs.pairs[o] for n, o in zip(costs.layers, choice, strict=True)}
        return Point(bits, {q: costs.of(q, bits) for q in costs.costs}, float(problem.losses(choice)[0]))

    first = budgets[0].quantity
    uniform = {}
    for w, a in itertools.product({w for w, _ in costs.pairs}, {a for _, a in costs.pairs}):
        if w == a:
            o = costs.pairs.index((w, a))
            at = costs.pairs.index((8, 8))
            uniform[f"W{w}A{a}"] = point([_allowed(ok, o, at) for ok in costs.allowed])
    return Chosen(
        point(found.array) if found.choice else None, found.status, exact.bound if np.isfinite(exact.bound) else None,
        now, limits, {n: (n,) for n in costs.layers}, _front(problem, first, left[first], point),
        dict(sorted(uniform.items())),
        costs.of_layer, tuple(whole(e, costs, budgets) for e in found.infeasible), costs.note,
    )  # fmt: skip


def _allowed(may: Any, *wanted: int) -> int:
    """The first of the wanted options that a layer may have; the one that it is held at, otherwise."""
    return next((o for o in wanted if may[o]), int(np.flatnonzero(may)[0]))


def _front(problem: Problem, quantity: str, asked: float, point: Callable[[Any], Point]) -> tuple[Point, ...]:
    """The optima at evenly spaced limits of one cost, and at the one asked for: each exact, those that repeat once."""
    from cofront.search.allocation import allocate

    cost = problem.cost(quantity)
    least = float(np.where(problem.allowed, cost, np.inf).min(axis=1).sum())
    most = float(np.where(problem.allowed, cost, -np.inf).max(axis=1).sum())
    limits = np.sort(np.append(np.linspace(least, most, SHOWN), min(asked, most)))
    found = {allocate(problem, {quantity: limit}).choice: None for limit in limits.tolist()}
    return tuple(point(np.array(choice)) for choice in found if choice)
