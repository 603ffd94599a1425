"""What the exact allocation is measured against: greedy, evolutionary, random. None of them proves anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from cofront.errors import UsageError
from cofront.search.allocation.improve import change
from cofront.search.allocation.problem import FloatArray, IntArray, Problem
from cofront.search.allocation.result import Allocation, found, too_tight

#: Allocations of one generation.
POPULATION = 64
#: A change wins something when it wins more than this share of the limits: less is rounding, of no change at all.
GAIN = 1e-12


def greedy(problem: Problem, limits: Mapping[str, float | None]) -> Allocation:
    """From each unit's best option down: always the change that loses least per share of the limits that it wins."""
    started = time.perf_counter()
    asked = problem.check_limits(limits)
    units = np.arange(problem.shape[0])
    choice = np.where(problem.allowed, problem.loss, np.inf).argmin(axis=1)
    cost, limit = _tables(problem, asked)
    for _ in range(problem.loss.size):
        miss = _miss(cost[:, units, choice].sum(axis=1), limit)
        if problem.within(choice, asked)[0]:
            return found(problem, choice, -np.inf, "heuristic", "greedy", time.perf_counter() - started)
        moved = cost[:, units, choice].sum(axis=1)[:, None, None] + cost - cost[:, units, choice][:, :, None]
        won = miss.sum() - _miss(moved, limit[:, None, None]).sum(axis=0)
        per = np.where(problem.allowed & (won > GAIN), change(problem, choice) / np.maximum(won, 1e-300), np.inf)
        unit, option = np.unravel_index(int(per.argmin()), per.shape)
        if per[unit, option] == np.inf:
            break
        choice[unit] = option
    return _none(problem, asked, "greedy", started)


def random_search(
    problem: Problem, limits: Mapping[str, float | None], *, evaluations: int, seed: int = 0
) -> Allocation:
    """The best of so many uniform draws, each brought within the limits by cheaper options of random units."""
    started = time.perf_counter()
    asked = problem.check_limits(limits)
    rng = np.random.default_rng(seed)
    choices = _repaired(problem, asked, _draw(problem, rng, evaluations), rng)
    ok = problem.within(choices, asked)
    if not ok.any():
        return _none(problem, asked, "random", started)
    best = choices[ok][problem.losses(choices[ok]).argmin()]
    return found(problem, best, -np.inf, "heuristic", "random", time.perf_counter() - started, evaluations)


def evolutionary(
    problem: Problem,
    limits: Mapping[str, float | None],
    *,
    evaluations: int,
    seed: int = 0,
    on_progress: Callable[[int, float], None] | None = None,
) -> Allocation:
    """A steady population: parents by tournament, uniform crossover, one mutation on average, repair, the best stay.

    `on_progress` hears evaluations so far and the least loss.
    """
    started = time.perf_counter()
    asked = problem.check_limits(limits)
    if evaluations < 2:
        raise UsageError(f"evolutionary allocation: expected at least 2 evaluations, got {evaluations}")
    rng = np.random.default_rng(seed)
    size = min(POPULATION, evaluations)
    people = _repaired(problem, asked, _draw(problem, rng, size), rng)
    value = _value(problem, asked, people)
    done = size
    while done < evaluations:
        n = min(size, evaluations - done)
        duel = rng.integers(size, size=(2, n, 2))
        parents = np.where(value[duel[..., 0]] <= value[duel[..., 1]], duel[..., 0], duel[..., 1])
        mixed = rng.random((n, problem.shape[0])) < 0.5
        young = np.where(mixed, people[parents[0]], people[parents[1]])
        young = np.where(rng.random(young.shape) < 1 / young.shape[1], _draw(problem, rng, n), young)
        young = _repaired(problem, asked, young, rng)
        people = np.concatenate([people, young])
        value = np.concatenate([value, _value(problem, asked, young)])
        _, first = np.unique(people, axis=0, return_index=True)
        first = first[np.argsort(value[first], kind="stable")]
        spare = np.setdiff1d(np.arange(len(people)), first)
        stay = np.concatenate([first, spare])[:size]
        people, value = people[stay], value[stay]
        done += n
        if on_progress is not None:
            on_progress(done, float(value.min()))
    best = int(value.argmin())
    if value[best] == np.inf:
        return _none(problem, asked, "evolutionary", started)
    return found(
        problem, people[best], -np.inf, "heuristic", "evolutionary", time.perf_counter() - started, evaluations
    )  # fmt: skip


def _tables(problem: Problem, asked: Mapping[str, float]) -> tuple[FloatArray, FloatArray]:
    """(k, l, o) costs in shares of their limits' sizes, and the limits (k,) likewise."""
    limit = np.array(list(asked.values()), float)
    size = np.maximum(np.abs(limit), 1e-300)
    cost = np.array([np.where(problem.allowed, problem.cost(n), 0.0) for n in asked]).reshape(-1, *problem.shape)
    return cost / size[:, None, None], limit / size


def _miss(total: FloatArray, limit: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(total - limit, 0.0), float)


def _draw(problem: Problem, rng: np.random.Generator, n: int) -> IntArray:
    """(n, l) uniform over what the mask leaves."""
    return np.stack([rng.choice(np.flatnonzero(m), n) for m in problem.allowed], axis=1).astype(np.int64)


def _repaired(problem: Problem, asked: Mapping[str, float], choices: IntArray, rng: np.random.Generator) -> IntArray:
    """(n, l) with units, in random order, at their cheapest option of a limit that is missed, until all are met."""
    choices = choices.copy()
    for name, limit in asked.items():
        cheapest = np.where(problem.allowed, problem.cost(name), np.inf).argmin(axis=1)
        for row in np.flatnonzero(~problem.within(choices, {name: limit})):
            order = rng.permutation(problem.shape[0])
            cost = problem.cost(name)
            spend = cost[order, choices[row, order]]
            total = spend.sum() - np.cumsum(spend - cost[order, cheapest[order]])
            n = min(int(np.searchsorted(-total, -limit)) + 1, len(order))
            choices[row, order[:n]] = cheapest[order[:n]]
    return choices


def _value(problem: Problem, asked: Mapping[str, float], choices: IntArray) -> FloatArray:
    return np.where(problem.within(choices, asked), problem.losses(choices), np.inf)


def _none(problem: Problem, asked: Mapping[str, float], method: str, started: float) -> Allocation:
    """Nothing within the limits: infeasible where one of them proves it, unknown otherwise."""
    why = too_tight(problem, asked, ())
    none = {name: float("nan") for name in problem.costs}
    status = "infeasible" if why else "unknown"
    bound = np.inf if why else -np.inf
    return Allocation((), np.inf, none, bound, status, method, time.perf_counter() - started, why)  # type: ignore[arg-type]
