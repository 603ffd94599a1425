"""Runs a search of the chosen method and puts its front into a document."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.api.accuracy import Measured
from cofront.api.choosing import rising
from cofront.api.costing import limits_of
from cofront.api.limits import budget_limits
from cofront.api.request import SearchRequest
from cofront.errors import CofrontError
from cofront.study.documents import Design, SearchDocument, Step, clean

if TYPE_CHECKING:
    from cofront import front
    from cofront.device import Device


def solve(
    request: SearchRequest,
    measured: Measured,
    checkpoint: Path | None,
    report: Callable[..., None],
    should_stop: Callable[[], bool],
) -> tuple[front.Front, list[float]]:
    """The search itself, and the budgets of a third objective.

    NSGA-II keeps its population in `checkpoint` and goes on from there.
    """
    problem = measured.problem
    if request.method == "exact":
        from cofront.api.joint import exact_front
        from cofront.api.thirds import third_front

        def hear(stage: str, designs: int, gap: float) -> None:
            report("searching", designs, gap, stage)

        how: dict[str, Any] = {
            "on_progress": hear, "should_stop": should_stop, "time_limit_s": request.time_limit_s,
        }  # fmt: skip
        if request.third is not None:
            return third_front(problem, request.third, **how)
        return exact_front(problem, **how), []
    from cofront.search.budget import Budget

    budget = Budget(evaluations=request.evaluations, time_s=request.time_limit_s, should_stop=should_stop)

    def heard(evaluations: int, seconds: float, kept: int) -> None:
        report("searching", kept, None, f"{evaluations:,} designs tried")

    if request.method == "nsga2":
        from cofront.search.evolution import nsga2

        return nsga2(problem, budget=budget, seed=request.seed, checkpoint=checkpoint, on_progress=heard), []
    from cofront.search.random import random_search

    return random_search(problem, budget=budget, seed=request.seed, on_progress=heard), []


def make_document(
    request: SearchRequest, device: Device, measured: Measured, found: front.Front, levels: list[float]
) -> SearchDocument:
    exact = request.method == "exact"
    designs = []
    for d in found.designs:
        choices = measured.space.describe(as_point(d.point))
        config = {**d.config, "clock_hz": measured.problem.clock_hz}
        designs.append(
            Design(
                accuracy=d.accuracy, latency_s=d.latency_s, fps=d.fps, cycles=d.cycles, resources=dict(d.resources),
                config=config, point=list(d.point), choices=clean(choices), energy_j=d.energy_j,
            )
        )  # fmt: skip
    knee = replace(found, designs=rising(found.designs)).knee()
    why = limits_of(found.infeasible)
    if found.status == "infeasible" and not why:
        why = budget_limits(device, measured.lay)
    return SearchDocument(
        status=found.status, space=measured.space.name, device=device.name, precisions=list(measured.precisions),
        clock_hz=measured.problem.clock_hz, method=request.method, grid=request.grid, budget=device.budget,
        front=designs, gap=found.gap if exact and math.isfinite(found.gap) else None, designs=found.n_designs,
        solve_s=found.solve_s,
        bound=[Step(latency_s=t if math.isfinite(t) else None, accuracy=a) for t, a in found.bound],
        knee=None if knee is None else found.designs.index(knee), third=request.third,
        third_levels=levels,
        accuracy_source=Path(measured.source).name, accuracy_note=measured.note,
        infeasible=why, stats=clean(found.stats),
    )  # fmt: skip


def as_point(point: Sequence[int]) -> Any:
    """A point of a space as an array (d,)."""
    import numpy as np

    return np.array(list(point), dtype=np.int64)


def covers(measured: Measured, found: front.Front, tolerance: float) -> list[dict[str, Any]]:
    """For 1, 2, ... accelerators: the least worst loss of accuracy over the front, until it is within `tolerance`."""
    from cofront.search.cover import accelerators_of, accuracy_losses, cover, smallest_tolerance

    problem = measured.problem
    candidates = accelerators_of(problem, found)
    losses = accuracy_losses(problem, found, candidates)
    needed = cover(losses, 100 * tolerance)
    out = []
    for k in range(1, len(needed.chosen) + 1):
        try:
            loss, best = smallest_tolerance(losses, k)
        except CofrontError:  # no k of them reach every design of the front, however much accuracy is given up
            continue
        configs = [problem.engines[candidates[i][0]].config(candidates[i][1]) for i in best.chosen]
        out.append(
            {
                "accelerators": k, "max_loss": loss / 100, "proven": best.proven, "configs": configs,
                "tolerance": tolerance, "candidates": len(candidates),
            }
        )  # fmt: skip
    cleaned: list[dict[str, Any]] = clean(out)
    return cleaned


def same_cover(document: SearchDocument, tolerance: float) -> bool:
    return bool(document.cover) and document.cover[0].get("tolerance") == tolerance
