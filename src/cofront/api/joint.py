"""The exact joint search as a Front: designs with accuracies in place of integer scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from cofront.front import Design, Front
    from cofront.problem import CodesignProblem
    from cofront.search.exact.joint import JointFront, JointProgress


def exact_front(
    problem: CodesignProblem,
    *,
    objective: str = "cycles",
    third: str | None = None,
    third_budgets: Sequence[int] | None = None,
    on_progress: Callable[[str, int, float | None], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    time_limit_s: float | None = None,
) -> Front:
    """`joint_front` with its result in accuracies. `on_progress` hears (stage, designs, gap as a fraction).

    That gap is None until there is a proven one below 1. With `objective` "energy" the front is that of energy and
    accuracy; with `third`, a resource, every design that is on the front of one of `third_budgets`.
    """
    from cofront.front import Front
    from cofront.problem import INFEASIBLE
    from cofront.search.exact.joint import joint_front

    steepest = _steepest(problem)

    def heard(p: JointProgress) -> None:
        assert on_progress is not None
        gap = 1.0 if p.gap_micro is None else p.gap_micro * steepest
        on_progress(p.stage if gap < 1.0 else f"{p.stage}, nothing proven yet", p.points, gap if gap < 1.0 else None)

    found = joint_front(
        problem, objective=cast(Any, objective), third=third, third_budgets=third_budgets,
        on_progress=heard if on_progress else None, should_stop=should_stop, time_limit_s=time_limit_s,
    )  # fmt: skip
    scores = np.array([p.score for p in found.points], dtype=np.int64)
    designs = _designs(problem, found, problem.accuracy(scores).tolist())
    gap = 0.0
    if found.gap_micro and len(scores):
        gap = float(np.max(problem.accuracy(scores + found.gap_micro) - problem.accuracy(scores)))
    elif not found.complete:
        gap = 1.0
    bound: tuple[tuple[float, float], ...] = ()
    if gap and objective == "cycles":
        bound = tuple(
            (cycles / problem.clock_hz if cycles < INFEASIBLE else np.inf, float(problem.accuracy(np.array(score))))
            for cycles, score in found.bound
        )
    counts = {**found.counts, **({} if third is None else {"budgets_done": len(found.levels)})}
    return Front(
        designs=tuple(designs), gap=gap, n_designs=found.n_designs, solve_s=found.seconds["total"],
        status=found.status, bound=bound, stats={k: float(v) for k, v in {**counts, **found.seconds}.items()},
    )  # fmt: skip


def _designs(problem: CodesignProblem, found: JointFront, accuracies: list[float]) -> list[Design]:
    """The points as designs; of those beyond the clip of the accuracy model, which share one accuracy, the fastest.

    (The fastest of every budget, when there is a third resource.)
    """
    from cofront.front import Design
    from cofront.search.evaluator import Evaluator
    from cofront.search.exact.joint.api import static_pj

    evaluator, per_cycle = Evaluator(problem), static_pj(problem)
    configs: dict[tuple[int, tuple[int, ...]], dict[str, Any]] = {}
    designs: list[Design] = []
    best: dict[int | None, float] = {}
    for p, accuracy in zip(found.points, accuracies, strict=True):
        if accuracy <= best.get(p.level, -1.0):
            continue
        best[p.level] = accuracy
        key = p.engine, p.configs
        if key not in configs:
            configs[key] = problem.engines[p.engine].config(p.configs)
        energy = None
        if p.energy_pj is not None:
            dynamic = p.energy_pj - per_cycle * p.cycles
            energy = dynamic * 1e-12 + problem.static_power_w * p.cycles / problem.clock_hz
        designs.append(
            Design(
                accuracy=accuracy, latency_s=p.cycles / problem.clock_hz, cycles=p.cycles,
                resources=dict(zip(problem.resource_names, p.resources, strict=True)), config=configs[key],
                point=evaluator.point(np.array(p.edges, dtype=np.int64)), energy_j=energy,
                space=problem.meta.get("space", ""), device=problem.meta.get("device", ""),
            )
        )  # fmt: skip
    return designs


def _steepest(problem: CodesignProblem, points: int = 64) -> float:
    """Most accuracy per unit of score anywhere on the link: turns a gap in scores into one in accuracy."""
    low, high = problem.score_range
    if not (np.isfinite(low) and np.isfinite(high)):
        return abs(problem.link[1]) / problem.micro if len(problem.link) == 2 else 1.0 / problem.micro
    x = np.linspace(low, high, points)
    slope = np.polynomial.Polynomial(problem.link).deriv()(x)
    return float(np.max(slope)) / problem.micro
