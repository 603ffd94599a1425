"""A third objective: a ladder of budgets of one resource, or latency and energy; every front of them exact.

For each budget of the ladder the designs that keep within it answer exactly which accuracy can be had at which latency.
Between two budgets they are a valid, not a complete, answer; so are the designs between the two ends for energy, where
the front of latency and that of energy are exact.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cofront.api.joint import exact_front
from cofront.errors import UsageError

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
    on_progress: Callable[[str, int, float | None], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    time_limit_s: float | None = None,
) -> tuple[Front, list[float]]:
    """The non-dominated designs, fastest first, and the budgets whose fronts are proven (none for energy).

    The time limit is that of the whole: the front of energy gets what that of latency leaves.
    """
    start = time.monotonic()
    if third == "energy":
        for engine in problem.engines:
            if engine.energy is None:
                raise UsageError(f"engine '{engine.name}' has no energy figures; choose another third objective")
    how: dict[str, Any] = {"on_progress": on_progress, "should_stop": should_stop, "time_limit_s": time_limit_s}
    if third != "energy":
        top = int(problem.budget[problem.resource_names.index(third)])
        budgets = sorted({-(-top * k // STEPS) for k in range(1, STEPS + 1)})
        found = exact_front(problem, third=third, third_budgets=budgets, **how)
        designs = _non_dominated(list(found.designs), third)
        done = budgets[: int(found.stats["budgets_done"])]
        return replace(found, designs=tuple(designs), bound=()), [float(b) for b in reversed(done)]
    parts = [exact_front(problem, objective="cycles", **how)]
    if parts[0].status != "feasible":
        if time_limit_s is not None:
            how["time_limit_s"] = max(0.0, time_limit_s - (time.monotonic() - start))
        parts.append(exact_front(problem, objective="energy", **how))
    whole = len(parts) == 2 and all(f.status != "feasible" for f in parts)
    designs = _non_dominated([d for f in parts for d in f.designs], third)
    status: Status = "feasible" if not whole else "optimal" if designs else "infeasible"
    return replace(
        parts[0], designs=tuple(designs), gap=max(f.gap for f in parts) if whole else 1.0, status=status, bound=(),
        solve_s=sum(f.solve_s for f in parts),
    ), []  # fmt: skip


def _non_dominated(designs: list[Design], third: str) -> list[Design]:
    """Those that no other beats or equals in latency, accuracy and the third objective; fastest first."""
    kept: list[Design] = []
    accuracies: list[float] = []  # rising, with the least third value at each or more, rising too
    values: list[float] = []
    for d in sorted(designs, key=lambda d: (d.cycles, -d.accuracy, third_value(d, third))):
        value = third_value(d, third)
        i = bisect_left(accuracies, d.accuracy)
        if i < len(values) and values[i] <= value:
            continue
        kept.append(d)
        low = i
        while low > 0 and values[low - 1] >= value:
            low -= 1
        high = i + 1 if i < len(accuracies) and accuracies[i] == d.accuracy else i
        accuracies[low:high], values[low:high] = [d.accuracy], [value]
    return kept
