"""The exact allocation: least loss within limits, with a proven bound; infeasible is an answer.

One limit, with pair terms between neighbours at most: `states`. Several limits, overlap cuts or pairs of any units:
`labels`. Both in floats as given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from cofront.errors import UsageError
from cofront.search.allocation.labels import Labels
from cofront.search.allocation.multipliers import Rows
from cofront.search.allocation.problem import Cut, Problem, slack
from cofront.search.allocation.result import Allocation, Status, conflict, found, too_tight
from cofront.search.allocation.states import MOST, Search


def allocate(
    problem: Problem,
    limits: Mapping[str, float | None],
    *,
    cuts: Sequence[Cut] = (),
    method: str = "auto",
    time_limit_s: float = 60.0,
    max_states: int = MOST,
    seed: int = 0,
) -> Allocation:
    """The allocation of least loss whose costs are at most their limits (None: no limit), and a proven lower bound.

    `method` is "states", "labels", or "auto" for the one that fits; both are exact to the last bits of a sum. When time
    or `max_states` runs out the best allocation comes with the gap that is proven then. "integer" asks CP-SAT, without
    a bound, for comparison. The same problem and seed give the same answer unless time runs out.
    """
    started = time.perf_counter()
    asked = problem.check_limits(limits)
    given = tuple(_checked(problem, cut, i) for i, cut in enumerate(cuts))
    simple = len(asked) <= 1 and not given and problem.is_chain
    if method not in ("auto", "states", "labels", "integer"):
        raise UsageError(f"allocation: method is auto, states, labels or integer, got '{method}'")
    if method == "states" and not simple:
        raise UsageError(
            "allocation: 'states' takes one limit, no cuts, and pairs of neighbours only; use 'labels' or 'auto'"
        )
    none = {name: float("nan") for name in problem.costs}
    if bad := too_tight(problem, asked, given):
        return Allocation((), np.inf, none, np.inf, "infeasible", "minima", time.perf_counter() - started, bad)
    if simple and method in ("auto", "states"):
        name, limit = next(iter(asked.items()), ("", np.inf))
        if not asked:
            problem, name, limit = _unlimited(problem)
        run = Search(problem, name, limit, max_states, started + time_limit_s)
        bound = run.run()
        status: Status = "optimal" if run.value <= bound else "feasible"
        assert run.best is not None  # the least cost is within the limit
        if not asked:
            problem = Problem(problem.loss, {k: v for k, v in problem.costs.items() if k}, problem.mask, problem.pairs)
        return found(problem, run.best, bound, status, "states", time.perf_counter() - started, run.work)
    rows = rows_of(problem, asked, given)
    if method == "integer":
        from cofront.search.allocation.integer import by_integers

        choice = by_integers(problem, rows, problem.allowed, time_limit_s=time_limit_s, seed=seed)
        spent = time.perf_counter() - started
        if choice is None:
            return Allocation((), np.inf, none, -np.inf, "unknown", method, spent)
        return found(problem, choice, -np.inf, "heuristic", method, spent)
    got = Labels(problem, rows, asked, max_states, started + time_limit_s, seed).run()
    spent = time.perf_counter() - started
    if got.choice is None:
        proven = got.bound == np.inf
        names = (*asked, *(f"cut {i}" for i in range(len(given))))
        status = "infeasible" if proven else "unknown"
        return Allocation((), np.inf, none, got.bound, status, "labels", spent, conflict(names, proven), got.work)
    status = "optimal" if got.value <= got.bound + 1e-12 * abs(got.value) else "feasible"
    return found(problem, got.choice, got.bound, status, "labels", spent, got.work)


def diverse(
    problem: Problem,
    limits: Mapping[str, float | None],
    count: int,
    overlap: float = 0.7,
    *,
    cuts: Sequence[Cut] = (),
    time_limit_s: float = 10.0,
    seed: int = 0,
) -> list[Allocation]:
    """Up to `count` allocations, best first, each equal to any earlier one in at most that share of units [LANA21].

    Fewer when nothing is left. `time_limit_s` is for each.
    """
    if not 0 <= overlap <= 1 or count < 1:
        raise UsageError(f"allocation: expected an overlap of 0 to 1 and a count from 1, got {overlap} and {count}")
    out: list[Allocation] = []
    told = list(cuts)
    for _ in range(count):
        got = allocate(problem, limits, cuts=told, time_limit_s=time_limit_s, seed=seed)
        if not got.choice:
            break
        out.append(got)
        told.append(Cut(got.array, int(overlap * problem.shape[0] + 1e-9)))
    return out


def rows_of(problem: Problem, limits: Mapping[str, float], cuts: Sequence[Cut] = ()) -> Rows:
    """Limits, with their slack, and cuts as rows of one kind."""
    cost = [np.where(problem.allowed, problem.cost(name), 0.0) for name in limits]
    limit = [v + slack(problem.cost(name)[problem.allowed], v) for name, v in limits.items()]
    for cut in cuts:
        same = np.zeros(problem.shape)
        same[np.arange(len(same)), cut.choice] = 1.0
        cost.append(same)
        limit.append(float(cut.most))
    return Rows(np.stack(cost) if cost else np.zeros((0, *problem.shape)), np.array(limit, float))


def _unlimited(problem: Problem) -> tuple[Problem, str, float]:
    """Without a limit: the same with a cost of nothing."""
    costs = {**problem.costs, "": np.zeros(problem.shape)}
    return Problem(problem.loss, costs, problem.mask, problem.pairs), "", 0.0


def _checked(problem: Problem, cut: Cut, number: int) -> Cut:
    choice = np.asarray(cut.choice, np.int64)
    if choice.shape != (problem.shape[0],) or choice.min() < 0 or choice.max() >= problem.shape[1]:
        raise UsageError(
            f"allocation: cut {number} needs one option of each of {problem.shape[0]} units, got {choice.tolist()}"
        )
    return Cut(choice, int(cut.most))
