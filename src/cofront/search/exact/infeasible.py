"""Why nothing fits: which limit is exceeded by how much, and the smallest change that would help. All figures exact.

Every figure is the optimum of a relaxed problem, solved by the same enumeration that `fit` uses.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cofront.figures import accuracy, rate
from cofront.front import Front, Infeasible
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray
from cofront.search.exact.rows import LATENCY, UNLIMITED, FitTask, Outcome

if TYPE_CHECKING:
    from cofront.search.exact.joint import JointProgress

Solve = Callable[[FitTask], Outcome]
#: Whether a joint problem has any design.
Probe = Callable[[CodesignProblem], bool]


#: (resource, amount) -> words for what to do instead when the part has not as many; None when it has.
Beyond = Callable[[str, int], str | None]


def explain_fit(
    task: FitTask, names: tuple[str, ...], clock_hz: float, solve: Solve, beyond: Beyond | None = None
) -> tuple[Infeasible, ...]:
    """Entries for a task that has no solution, the most telling first.

    `beyond` knows which amounts no budget can give.
    """
    free, endless = np.full_like(task.budget, UNLIMITED), INFEASIBLE - 1
    fastest = solve(task.with_(budget=free, limit=endless, minimise=LATENCY))
    if fastest.engine < 0:
        return (_unsupported(task),)
    within = solve(task.with_(limit=endless, minimise=LATENCY))
    reach = f"at most {rate(clock_hz / within.value)} fps" if within.engine >= 0 else ""
    last: list[Infeasible] = []
    if fastest.value > task.limit:
        top = f"{rate(clock_hz / fastest.value)} fps"
        if reach:
            remedy = f"ask for {reach}, the most within the budget (with any resources: {top})"
            return (_latency(within.value, task.limit, clock_hz, remedy),)
        remedy = f"no configuration is faster, whatever its resources; ask for at most {top}"
        last = [_latency(fastest.value, task.limit, clock_hz, remedy)]
        task = task.with_(limit=endless)
    slower = ", at a lower frame rate" if last else ""
    entries = []
    if reach:
        entries.append(_latency(within.value, task.limit, clock_hz, f"ask for {reach}, the most within the budget"))
    for i, name in enumerate(names):
        raised = task.budget.copy()
        raised[i] = UNLIMITED
        kept = solve(task.with_(minimise=i, budget=raised))
        enough = kept.engine >= 0
        amount = (kept if enough else solve(task.with_(minimise=i, budget=free))).value
        if not enough and amount <= task.budget[i]:
            continue
        remedy = f"every configuration that meets the other limits needs {amount} {name} or more"
        if enough:
            remedy = f"a budget of {amount} {name} is enough with the other budgets as they are{slower}"
        if beyond is not None and (words := beyond(name, amount)):
            remedy = words + (f", or ask for {reach}" if reach else "")
        entries.append(Infeasible(name, float(amount), float(task.budget[i]), name, remedy))
    return tuple(entries + last) or (_conflict(names),)


def explain_joint(
    problem: CodesignProblem, found: Probe | None = None, beyond: Beyond | None = None
) -> tuple[Infeasible, ...]:
    """Entries for a joint problem in which no network runs on any accelerator: the least budget that would change it.

    The tables should not be cut to the budget, or larger budgets cannot be judged. `found` says whether a problem has
    any design; by default the exact joint search decides, stopping at its first one. `beyond` as for `explain_fit`.
    """
    found = found or has_design  # monotone in the budget: bisection is exact
    names, budget = problem.resource_names, problem.budget
    most = [
        max(
            (int(e.base[i] + sum(k.resources[:, i].max(initial=0) for k in e.kernels)) for e in problem.engines),
            default=0,
        )
        for i in range(len(names))
    ]

    def enough(i: int, amount: int, others: IntArray) -> bool:
        trial = others.copy()
        trial[i] = amount
        return found(replace(problem, budget=trial))

    def least(i: int, others: IntArray) -> int:
        """The smallest amount of resource i, above its budget, that lets a design be; `others` budget the rest."""
        low = max(0, int(budget[i])) + 1
        step = 1
        while low + step < most[i] and not enough(i, low + step, others):  # small problems are quick to judge
            low, step = low + step + 1, 2 * step
        high = min(low + step, most[i])
        return bisect_left(range(high), True, lo=low, key=lambda n: enough(i, n, others))

    def entry(i: int, others: IntArray, remedy: str) -> Infeasible:
        amount = least(i, others)
        words = beyond(names[i], amount) if beyond is not None else None
        words = words or remedy.format(f"{amount} {names[i]}")
        return Infeasible(names[i], float(amount), float(budget[i]), names[i], words)

    single = "a budget of {} is enough with the other budgets as they are"
    entries = [entry(i, budget, single) for i in range(len(names)) if enough(i, most[i], budget)]
    if entries:  # then no other resource is too small by itself
        return tuple(entries)
    everything = np.array(most, dtype=np.int64)
    if not found(replace(problem, budget=everything)):
        remedy = "another precision or a wider grid of configurations is needed"
        return (Infeasible("support", 1.0, 0.0, "networks that some accelerator can run", remedy),)
    single = "whatever the other budgets, {} or more are needed"
    few = [i for i in range(len(names)) if not enough(i, int(budget[i]), everything)]
    return tuple(entry(i, everything, single) for i in few) or (_conflict(names),)


def has_design(problem: CodesignProblem) -> bool:
    """Whether any network runs on any accelerator within the budget: the joint search up to its first design."""
    from cofront.search.exact.joint import joint_front

    points = 0

    def heard(p: JointProgress) -> None:
        nonlocal points
        points = max(points, p.points)

    return bool(joint_front(problem, on_progress=heard, should_stop=lambda: points > 0).points)


def explain_request(
    front: Front, *, min_accuracy: float | None = None, max_latency_s: float | None = None
) -> tuple[Infeasible, ...]:
    """Entries for a request that no design of a front meets; exact when the front's gap is 0."""
    if not front.designs or front.best(max_latency_s=max_latency_s, min_accuracy=min_accuracy) is not None:
        return front.infeasible
    entries = []
    fastest, top = front.designs[0], front.designs[-1]
    if max_latency_s is not None and fastest.latency_s > max_latency_s:
        remedy = f"the fastest design reaches {rate(fastest.fps)} fps"
        entries.append(Infeasible("latency", fastest.latency_s, max_latency_s, "s", remedy))
    if min_accuracy is not None and not top.reaches(min_accuracy):
        remedy = f"the most accurate design reaches {accuracy(top.accuracy)}"
        entries.append(Infeasible("accuracy", min_accuracy, top.accuracy, "of 1", remedy))
    if not entries and min_accuracy is not None and max_latency_s is not None:
        slow = front.best(min_accuracy=min_accuracy)
        weak = front.best(max_latency_s=max_latency_s)
        assert slow is not None and weak is not None
        remedy = (
            f"{100 * min_accuracy:g} % is reached at {rate(slow.fps)} fps; "
            f"the most accurate design that is fast enough reaches {accuracy(weak.accuracy)}"
        )
        entries.append(Infeasible("latency", slow.latency_s, max_latency_s, "s", remedy))
    return tuple(entries)


def _latency(cycles: int, limit: int, clock_hz: float, remedy: str) -> Infeasible:
    return Infeasible("latency", cycles / clock_hz, limit / clock_hz, "s", remedy)


def _unsupported(task: FitTask) -> Infeasible:
    fewest, where = None, ""
    for engine in task.engines:
        low = [np.minimum.reduce([k.cycles, k.solo]).min(axis=0, initial=INFEASIBLE) for k in engine.kernels]
        rows = np.flatnonzero(np.max(low, axis=0) >= INFEASIBLE) if low else np.zeros(0)
        if fewest is None or len(rows) < fewest:
            fewest, where = len(rows), engine.name
    remedy = "another precision, engine or wider grid of configurations is needed"
    if not task.engines:
        return Infeasible("support", 1.0, 0.0, "engines with a configuration of every kernel", remedy)
    return Infeasible("support", float(max(1, fewest or 1)), 0.0, f"calls that engine {where} cannot run", remedy)


def _conflict(names: tuple[str, ...]) -> Infeasible:
    """Each resource alone would do and no single raise helps: the limits conflict with each other."""
    return Infeasible("budget", 1.0, 0.0, "conflict", f"raise at least two of {', '.join(names)} together")
