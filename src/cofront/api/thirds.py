"""A third objective: fronts at a ladder of budgets of one resource, or of latency and of energy, each exact.

Every front of the ladder is exact, so for each budget in `levels` the union answers exactly which accuracy can be had
at which latency. Between two levels it is a valid, not a complete, answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cofront.api.joint import exact_front

if TYPE_CHECKING:
    from cofront.front import Design, Front, Status
    from cofront.problem import CodesignProblem

#: Budgets per ladder: equal shares of the device's.
STEPS = 12


def third_value(design: Design, third: str) -> float:
    """The third objective of a design: a resource, or the energy of one image."""
    if third == "energy":
        return float("inf") if design.energy_j is None else design.energy_j
    return float(design.resources[third])


def third_front(
    problem: CodesignProblem,
    third: str,
    *,
    on_progress: Callable[[str, int, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    time_limit_s: float | None = None,
) -> tuple[Front, list[float]]:
    """The non-dominated union of the ladder's fronts, fastest first, and the ladder's budgets (none for energy)."""
    if third == "energy":
        levels: list[float] = []
        runs = [(problem, "cycles"), (problem, "energy")]
    else:
        index = problem.resource_names.index(third)
        top = int(problem.budget[index])
        steps = sorted({-(-top * k // STEPS) for k in range(1, STEPS + 1)}, reverse=True)
        levels, runs = [float(s) for s in steps], []
        for step in steps:
            budget = problem.budget.copy()
            budget[index] = step
            runs.append((replace(problem, budget=budget), "cycles"))
    found: list[Front] = []
    for number, (part, objective) in enumerate(runs):

        def heard(stage: str, designs: int, gap: float, number: int = number) -> None:
            if on_progress is not None:
                on_progress(f"{stage}, front {number + 1} of {len(runs)}", designs, gap)

        found.append(
            exact_front(
                part, objective=objective, on_progress=heard, should_stop=should_stop, time_limit_s=time_limit_s
            )
        )
        if should_stop is not None and should_stop():
            break
    whole = len(found) == len(runs) and all(f.status != "feasible" for f in found)
    designs = _non_dominated([d for f in found for d in f.designs], third)
    status: Status = "feasible" if not whole else "optimal" if designs else "infeasible"
    return replace(
        found[0], designs=tuple(designs), gap=max(f.gap for f in found) if whole else 1.0, status=status, bound=(),
        solve_s=sum(f.solve_s for f in found),
    ), levels  # fmt: skip


def _non_dominated(designs: list[Design], third: str) -> list[Design]:
    """Those that no other beats or equals in latency, accuracy and the third objective; fastest first."""
    ordered = sorted(designs, key=lambda d: (d.cycles, -d.accuracy, third_value(d, third)))
    kept: list[Design] = []
    for d in ordered:
        if not any(k.accuracy >= d.accuracy and third_value(k, third) <= third_value(d, third) for k in kept):
            kept.append(d)
    return kept
