"""`fit`: the provably best accelerator configuration for one network on one device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from cofront.errors import CofrontError, UsageError, unknown_name
from cofront.front import Infeasible, Status
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray
from cofront.search.exact.facade import BACKENDS
from cofront.search.exact.infeasible import Beyond, explain_fit
from cofront.search.exact.rows import FitTask, Outcome, fit_task, path_counts

Method = Literal["enumerate", "cpsat", "milp", "scipy"]
METHODS: tuple[Method, ...] = ("enumerate", "cpsat", "milp", "scipy")

#: Called with (best value so far, bound), in the solver's integer units; infinity before the first solution.
OnProgress = Callable[[float, float], None]


@dataclass(frozen=True)
class FitResult:
    """The best configuration and the proof. `value` and `bound` are in seconds, joules or resource units.

    `bound` is what no configuration can be better than; equal to `value` when `status` is "optimal". `engine` is ""
    and `chosen` empty when infeasible; `infeasible` then says why.
    """

    status: Status
    objective: str
    value: float
    bound: float
    cycles: int
    latency_s: float
    resources: dict[str, int]
    config: dict[str, Any]
    engine: str
    chosen: tuple[int, ...]
    energy_j: float | None
    n_configs: int
    solve_s: float
    method: str
    infeasible: tuple[Infeasible, ...] = ()
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        return 1.0 / self.latency_s if self.latency_s > 0 else math.inf

    @property
    def bound_s(self) -> float | None:
        """The proven lower bound on latency, when latency was the objective."""
        return self.bound if self.objective == "latency" else None


def fit(
    problem: CodesignProblem,
    *,
    objective: str = "latency",
    min_fps: float | None = None,
    max_latency_cycles: int | None = None,
    max_resource: Mapping[str, int] | None = None,
    method: Method = "enumerate",
    time_limit_s: float | None = None,
    on_progress: OnProgress | None = None,
    wider: Callable[[], CodesignProblem] | None = None,
    beyond: Beyond | None = None,
) -> FitResult:
    """The provably best configuration, over all engines, for a problem whose trellis is a single path.

    `objective` is "latency", "energy" or "resource:<name>" (among equals, the fastest). `min_fps` and
    `max_latency_cycles` limit the latency, `max_resource` tightens budgets by name. When the time limit strikes, the
    status is "feasible" and `bound` still holds. Tables are often cut to what fits the budget by itself; `wider` makes
    the same problem with more, so that what is said when nothing fits is exact for larger budgets too; `beyond` has the
    words for amounts that no budget can give.
    """
    budget, limit = _budget(problem, max_resource), _limit(problem, min_fps, max_latency_cycles)

    def task(of: CodesignProblem) -> FitTask:
        return fit_task(of.engines, *path_counts(of), budget).with_(limit=limit)

    result = fit_rows(problem, task(problem), objective, method, time_limit_s, on_progress, explain=False)
    if result.status != "infeasible":
        return result
    return replace(result, infeasible=_why(problem, task(problem if wider is None else wider()), beyond))


def fit_rows(
    problem: CodesignProblem,
    task: FitTask,
    objective: str = "latency",
    method: Method = "enumerate",
    time_limit_s: float | None = None,
    on_progress: OnProgress | None = None,
    explain: bool = True,
) -> FitResult:
    """`fit` for a task already made: what a search calls for many networks of one problem."""
    started = time.perf_counter()
    deadline = time.monotonic() + (math.inf if time_limit_s is None else time_limit_s)
    solve = _solver(method)
    names = problem.resource_names
    if objective == "energy":
        outcome, value, bound = _least_energy(problem, task, solve, deadline, on_progress)
    elif objective == "latency":
        outcome = solve(task, deadline, on_progress)
        value, bound = outcome.value / problem.clock_hz, outcome.bound / problem.clock_hz
    else:
        task = task.with_(minimise=_resource_index(objective, names))
        outcome = solve(task, deadline, on_progress)
        value, bound = float(outcome.value), float(outcome.bound)
    common: dict[str, Any] = {
        "objective": objective,
        "n_configs": problem.n_accelerators(),
        "method": method,
        "stats": outcome.stats,
    }
    if outcome.engine < 0:
        if not outcome.proven:
            raise CofrontError(
                f"fit: no configuration found within {time_limit_s} s and none excluded; "
                "allow more time or use method 'enumerate'"
            )
        return FitResult(
            status="infeasible", value=math.inf, bound=math.inf, cycles=INFEASIBLE, latency_s=math.inf,
            resources={}, config={}, engine="", chosen=(), energy_j=None,
            infeasible=_why(problem, task) if explain else (), solve_s=time.perf_counter() - started, **common,
        )  # fmt: skip
    engine = problem.engines[outcome.engine]
    cycles = task.cycles(outcome.engine, outcome.chosen)
    return FitResult(
        status="optimal" if outcome.proven else "feasible", value=value, bound=min(bound, value), cycles=cycles,
        latency_s=cycles / problem.clock_hz,
        resources=dict(zip(names, (int(v) for v in engine.resources(outcome.chosen)), strict=True)),
        config=engine.config(outcome.chosen), engine=engine.name, chosen=outcome.chosen,
        energy_j=energy_j(problem, task, outcome.engine, cycles),
        solve_s=time.perf_counter() - started, **common,
    )  # fmt: skip


def energy_j(problem: CodesignProblem, task: FitTask, engine: int, cycles: int) -> float | None:
    """Dynamic energy of the rows plus static power times latency; None if the engine has no energy figures."""
    dynamic = task.engines[engine].energy
    if dynamic is None:
        return None
    return float(dynamic @ task.counts) * 1e-12 + problem.static_power_w * cycles / problem.clock_hz


def _least_energy(
    problem: CodesignProblem, task: FitTask, solve: _Solve, deadline: float, on_progress: OnProgress | None
) -> tuple[Outcome, float, float]:
    """A row's dynamic energy depends on the engine alone, so the fastest configuration of each engine is its best."""
    best, best_j, bound_j, proven = Outcome(-1, (), 0, 0, True, {}), math.inf, math.inf, True
    stats: dict[str, float] = {}
    for i in range(len(task.engines)):
        if energy_j(problem, task, i, 0) is None:
            raise UsageError(f"engine '{task.engines[i].name}' has no energy figures; choose another objective")
        found = solve(task.with_(engines=task.engines[i : i + 1]), deadline, on_progress)
        proven &= found.proven
        stats |= found.stats
        if not found.proven or found.engine >= 0:
            bound_j = min(bound_j, energy_j(problem, task, i, found.bound) or 0.0)
        if found.engine < 0:
            continue
        joules = energy_j(problem, task, i, found.value) or 0.0
        if joules < best_j:
            best, best_j = Outcome(i, found.chosen, found.value, found.bound, True, found.stats), joules
    return Outcome(best.engine, best.chosen, best.value, best.bound, proven, {**stats, **best.stats}), best_j, bound_j


def _why(problem: CodesignProblem, task: FitTask, beyond: Beyond | None = None) -> tuple[Infeasible, ...]:
    exact = "enumerate" if all(len(e.kernels) <= 3 for e in task.engines) else "cpsat"
    return explain_fit(task, problem.resource_names, problem.clock_hz, _solver(exact), beyond)


_Solve = Callable[[FitTask, float, OnProgress | None], Outcome]


def _solver(method: str) -> Any:
    if method == "enumerate":
        from cofront.search.exact.enumerate import solve as enumerate_

        return enumerate_
    if method in BACKENDS:
        from cofront.search.exact.program import solver

        return solver(method)
    raise unknown_name("fit method", method, METHODS)


def _resource_index(objective: str, names: tuple[str, ...]) -> int:
    kind, _, name = objective.partition(":")
    if kind != "resource":
        raise unknown_name("objective", objective, ("latency", "energy", *(f"resource:{n}" for n in names)))
    if name not in names:
        raise unknown_name("resource", name, names)
    return names.index(name)


def _budget(problem: CodesignProblem, tighter: Mapping[str, int] | None) -> IntArray:
    budget = np.array(problem.budget, dtype=np.int64)
    for name, amount in (tighter or {}).items():
        if name not in problem.resource_names:
            raise unknown_name("resource", name, problem.resource_names)
        if not amount >= 0:
            raise UsageError(f"budget of {name}: expected a number from 0, got {amount}")
        i = problem.resource_names.index(name)
        budget[i] = min(int(budget[i]), int(amount))
    return budget


def _limit(problem: CodesignProblem, min_fps: float | None, max_latency_cycles: int | None) -> int:
    limit = INFEASIBLE - 1
    if min_fps is not None:
        if not (math.isfinite(min_fps) and min_fps > 0):
            raise UsageError(f"frame rate: expected a positive number, got {min_fps}")
        cycles = problem.clock_hz / min_fps * (1 + 1e-12)  # without end for the smallest of rates
        limit = math.floor(cycles) if cycles < limit else limit
    if max_latency_cycles is not None:
        if max_latency_cycles < 0:
            raise UsageError(f"latency limit: expected a number of cycles from 0, got {max_latency_cycles}")
        limit = min(limit, int(max_latency_cycles))
    return limit
