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
from cofront.api.request import SearchRequest
from cofront.errors import CofrontError
from cofront.study.documents import Design, Limit, SearchDocument, Step, clean

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
    """The search itself, by whatever is registered under its name, and the budgets of a third objective.

    Methods that keep their state on disk do it in `checkpoint` and go on from there.
    """
    if request.third is not None:
        from cofront.api.thirds import third_front

        return third_front(
            measured.problem, request.third, should_stop=should_stop, time_limit_s=request.time_limit_s,
            on_progress=lambda stage, designs, gap: report("searching", designs, gap, stage),
        )  # fmt: skip
    from cofront.search.budget import Budget
    from cofront.search.method import Job

    method = request.chosen_method()
    unlimited = request.evaluations is None and request.time_limit_s is None
    evaluations = method.evaluations if unlimited else request.evaluations
    job = Job(
        problem=measured.problem, space=measured.space, accuracy=measured.accuracy,
        edge_operations=measured.edge_operations,
        budget=Budget(evaluations=evaluations, time_s=request.time_limit_s, should_stop=should_stop),
        seed=request.seed, checkpoint=checkpoint,
        on_progress=lambda designs, gap, words: report("searching", designs, gap, words),
    )  # fmt: skip
    return method.run(job), []


def make_document(
    request: SearchRequest,
    device: Device,
    measured: Measured,
    found: front.Front,
    levels: list[float],
    explain: Callable[[], list[Limit]],
) -> SearchDocument:
    """`explain` says why nothing fits, where the search did not."""
    certified = request.chosen_method().certifies and math.isfinite(found.gap)
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
        why = explain()
    return SearchDocument(
        accelerator=request.accelerator, predictor=request.predictor,
        notes=[*found.notes, *extrapolated(found, device, measured.problem.clock_hz)],
        status=found.status, space=measured.space.name, device=device.name, precisions=list(measured.precisions),
        clock_hz=float(measured.problem.clock_hz), method=request.method, grid=request.grid, budget=device.budget,
        front=designs, gap=found.gap if certified else None, designs=found.n_designs,
        solve_s=found.solve_s,
        bound=[Step(latency_s=t if math.isfinite(t) else None, accuracy=a) for t, a in found.bound],
        knee=None if knee is None else found.designs.index(knee), third=request.third,
        third_levels=levels,
        accuracy_source=Path(measured.source).name, accuracy_note=measured.note,
        infeasible=why, stats=clean(found.stats),
    )  # fmt: skip


def extrapolated(found: front.Front, device: Device, clock_hz: float) -> list[str]:
    """A note on designs whose LUTs and flip-flops lie outside what their model was fitted on."""
    from cofront.hardware.subgraph import coefficients

    bus = coefficients.load().bus_bits(device, clock_hz)
    parts = [{k: v for k, v in d.config.items() if isinstance(v, dict)} for d in found.designs]
    outside = [words for p in parts if p and (words := coefficients.outside_range(p, bus))]
    if not outside:
        return []
    return [
        f"LUTs and flip-flops of {len(outside):,} of {len(parts):,} designs are extrapolated, their model being fitted "
        f"on smaller or other accelerators{coefficients.beyond_range()}; `cofront estimate DESIGN` says which parts"
    ]


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
