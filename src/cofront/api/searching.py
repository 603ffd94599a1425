"""`search`: the Pareto front of (network, precision, accelerator) designs of a space on a device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.accuracy import Measured, build_problem, shipped_table
from cofront.api.costing import cost_part, limits_of, load_device
from cofront.api.limits import budget_limits
from cofront.api.networks import block_precisions, space_network
from cofront.errors import CofrontError, UsageError, unknown_name
from cofront.study.documents import Cost, Design, SearchDocument, Step, clean, read_document
from cofront.study.provenance import digest, file_hash, source_hash

if TYPE_CHECKING:
    from cofront import front
    from cofront.device import Device
    from cofront.network import Network
    from cofront.space import Space
    from cofront.study import Run, Study

#: Seconds between two steps of the history that are stored.
EVENT_S = 0.2

METHODS = ("exact", "nsga2", "random")
THIRD = ("energy", "dsp", "lut", "ff", "bram36")


@dataclass(frozen=True)
class SearchRequest:
    """What to search. `fps` and `accuracy` (a fraction) choose a design of the front; they do not narrow it."""

    device: str = "zu3eg"
    space: str = "subgraph32"
    accuracy_table: Path | None = None
    accuracy_column: str | None = None
    penalty: str | None = None
    precisions: tuple[str, ...] | None = None
    grid: str = "coarse"
    clock_hz: float | None = None
    budget: dict[str, int] | None = None
    fps: float | None = None
    accuracy: float | None = None
    third: str | None = None
    cover: float | None = None
    method: str = "exact"
    time_limit_s: float | None = None
    evaluations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS)
        if self.third is not None and self.third not in THIRD:
            raise unknown_name("third objective", self.third, THIRD)
        if self.third is not None and self.method != "exact":
            raise UsageError(f"--third needs --method exact, got {self.method}")
        if self.evaluations is not None and self.method == "exact":
            raise UsageError("--evaluations limits nsga2 and random; the exact search takes --time-limit")


@dataclass(frozen=True)
class Progress:
    """How far a search is. `gap` is a fraction (None: nothing certified), `done` a share of 1 where that is known."""

    stage: str
    elapsed_s: float
    designs: int = 0
    gap: float | None = None
    detail: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class SearchResult:
    """The document, the front it was made from, and whether it came from the study instead of a new search."""

    document: SearchDocument
    costs: list[Cost]
    run_id: int | None = None
    reused: bool = False
    interrupted: bool = False


def inputs_of(request: SearchRequest, space: Space, device: Device) -> dict[str, Any]:
    """Everything the result depends on; requests that only choose from the same front share it."""
    from cofront.device.base import PARTS

    table = request.accuracy_table or shipped_table(space)
    asked = asdict(request)
    for name in ("fps", "accuracy", "cover"):
        asked.pop(name)
    asked["accuracy_table"] = table.name
    path = Path(request.device) if request.device.endswith(".toml") else PARTS / f"{device.name}.toml"
    return {
        **asked, "table_hash": file_hash(table), "device_hash": file_hash(path), "source_hash": source_hash(),
        "device_figures": {k: v for k, v in device.to_dict().items() if k != "sources"},
    }  # fmt: skip


def search(
    request: SearchRequest,
    *,
    study: Study | None = None,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SearchResult:
    """Runs the search, or takes it from `study` when the same inputs were finished there before.

    With a study, every design of the front with its cost, the history of the bound, and the result are stored as they
    come. `should_stop` ends the search early: the result then holds what was found and the certified gap.
    """
    from cofront import space as spaces

    found = spaces.load(request.space)
    device = load_device(request.device, request.budget)
    inputs = inputs_of(request, found, device)
    if study is not None and (known := study.finished(inputs)) is not None and known.result is not None:
        where = f"run {known.id} of study '{study.path}'"
        document = read_document(known.result, SearchDocument, where)
        if request.cover is None or _same_cover(document, request.cover):
            return SearchResult(
                _choose(document, request), _stored_costs(study, known.id, document, where), known.id, reused=True
            )
    run = study.start("search", inputs, request.seed) if study is not None else None
    try:
        return _search(request, found, device, run, on_progress or (lambda _: None), should_stop or (lambda: False))
    except BaseException as error:
        if run is not None and not isinstance(error, CofrontError):
            run.finish("interrupted")
        elif run is not None:
            _finish_quietly(run)
        raise


def _finish_quietly(run: Run) -> None:
    """Marks a run as failed; when the study itself is what failed, the error on its way says more."""
    try:
        run.finish("failed")
    except CofrontError:
        return


def _search(
    request: SearchRequest,
    space: Space,
    device: Device,
    run: Run | None,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> SearchResult:
    started = last = time.perf_counter()

    def report(stage: str, designs: int = 0, gap: float | None = None, detail: str = "") -> None:
        nonlocal last
        now = time.perf_counter()
        step = Progress(stage, now - started, designs, gap, detail)
        if run is not None and designs and now - last > EVENT_S:
            last = now
            run.event("progress", {"elapsed_s": step.elapsed_s, "gap": gap, "designs": designs, "stage": stage})
        on_progress(step)

    report("fitting the accuracy model")
    measured = build_problem(
        space, device, table=request.accuracy_table, column=request.accuracy_column, penalty=request.penalty,
        precisions=request.precisions, grid=request.grid, clock_hz=request.clock_hz,
    )  # fmt: skip
    report("searching")
    checkpoint = None if run is None else run.study.path.with_suffix(".nsga2.npz")
    result, levels = _solve(request, measured, checkpoint, report, should_stop)
    document = _document(request, device, measured, result, levels)
    if run is not None:
        run.save(clean(msgspec.to_builtins(document)))
    costs, document = _record(document, measured, device, run, report, should_stop)
    stopped = (
        len(costs) < len(document.front)
        or (result.status == "feasible" and request.method == "exact")
        or (request.method != "exact" and should_stop())
    )
    if request.cover is not None and result.designs and not stopped:
        document = msgspec.structs.replace(document, cover=_cover(measured, result, request.cover))
    if checkpoint is not None and not stopped:
        checkpoint.unlink(missing_ok=True)
    if run is not None:
        run.finish("interrupted" if stopped else "done", clean(msgspec.to_builtins(document)))
    return SearchResult(_choose(document, request), costs, None if run is None else run.id, interrupted=stopped)


def _solve(
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


def _document(
    request: SearchRequest, device: Device, measured: Measured, found: front.Front, levels: list[float]
) -> SearchDocument:
    exact = request.method == "exact"
    designs = []
    for d in found.designs:
        choices = measured.space.describe(_point(d.point))
        config = {**d.config, "clock_hz": measured.problem.clock_hz}
        designs.append(
            Design(
                accuracy=d.accuracy, latency_s=d.latency_s, fps=d.fps, cycles=d.cycles, resources=dict(d.resources),
                config=config, point=list(d.point), choices=clean(choices), energy_j=d.energy_j,
            )
        )  # fmt: skip
    knee = replace(found, designs=_rising(found.designs)).knee()
    why = limits_of(found.infeasible)
    if found.status == "infeasible" and not why:
        why = budget_limits(device, measured.lay)
    return SearchDocument(
        status=found.status, space=measured.space.name, device=device.name, precisions=list(measured.precisions),
        clock_hz=measured.problem.clock_hz, method=request.method, grid=request.grid, budget=device.budget,
        front=designs, gap=found.gap if exact and math.isfinite(found.gap) else None, designs=found.n_designs,
        solve_s=found.solve_s,
        bound=[Step(latency_s=t, accuracy=a) for t, a in found.bound if math.isfinite(t) and math.isfinite(a)],
        knee=None if knee is None else found.designs.index(knee), third=request.third,
        third_levels=levels,
        accuracy_source=Path(measured.source).name, accuracy_note=measured.note,
        infeasible=why, stats=clean(found.stats),
    )  # fmt: skip


def _point(point: tuple[int, ...]) -> Any:
    import numpy as np

    return np.array(point, dtype=np.int64)


def _record(
    document: SearchDocument,
    measured: Measured,
    device: Device,
    run: Run | None,
    report: Callable[..., None],
    should_stop: Callable[[], bool],
    batch: int = 64,
) -> tuple[list[Cost], SearchDocument]:
    """Rebuilds every design of the front as a Network and costs it again by the scalar path, which must agree.

    The document comes back with the networks' sizes.
    """
    from cofront.hardware.subgraph import Config

    costs: list[Cost] = []
    front = list(document.front)
    pending: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for i, d in enumerate(document.front):
        if should_stop():
            break
        network = measured.space.network(_point(tuple(d.point)))
        cost, exceeded = cost_part(network, device, Config.from_dict(d.config))
        if cost.cycles != d.cycles or exceeded or cost.resources != d.resources:
            raise CofrontError(
                f"internal check failed: design {i + 1} has {d.cycles} cycles in the search and {cost.cycles} "
                "when rebuilt; please report this command"
            )
        costs.append(cost)
        front[i] = msgspec.structs.replace(
            d, macs=network.macs, params=network.params, precisions=block_precisions(network)
        )
        pending.append(({"point": d.point, "config": d.config}, clean(msgspec.to_builtins(cost))))
        if run is not None and (len(pending) == batch or i + 1 == len(document.front)):
            run.record(pending)
            pending = []
            report("checking every design", i + 1, None, f"{i + 1} of {len(document.front)}")
    if run is not None and pending:
        run.record(pending)
    return costs, msgspec.structs.replace(document, front=front)


def _stored_costs(study: Study, run_id: int, document: SearchDocument, where: str) -> list[Cost]:
    from cofront.errors import StudyError

    stored = {digest(i): r for i, r in study.evaluations(run_id)}
    out = []
    for d in document.front:
        found = stored.get(digest({"point": d.point, "config": d.config}))
        try:
            out.append(msgspec.convert(found, Cost))
        except msgspec.ValidationError:
            raise StudyError(f"{where} lacks the cost of a design; choose another --study") from None
    return out


def _cover(measured: Measured, found: front.Front, tolerance: float) -> list[dict[str, Any]]:
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


def _same_cover(document: SearchDocument, tolerance: float) -> bool:
    return bool(document.cover) and document.cover[0].get("tolerance") == tolerance


def front_of(document: SearchDocument) -> front.Front:
    """The Front of a document, for what chooses from it."""
    from cofront import front

    designs = tuple(
        front.Design(
            accuracy=d.accuracy or 0.0, latency_s=d.latency_s, cycles=d.cycles, resources=d.resources, config=d.config,
            point=tuple(d.point), energy_j=d.energy_j, space=document.space, device=document.device,
        )
        for d in document.front
    )  # fmt: skip
    gap = 1.0 if document.gap is None else document.gap
    status = document.status if document.status in ("optimal", "feasible", "infeasible") else "feasible"
    return front.Front(designs, gap, document.designs, document.solve_s, status)  # type: ignore[arg-type]


def network_of(document: SearchDocument, index: int) -> Network:
    """The Network of design `index` of the front."""
    d = document.front[index]
    return space_network(document.space, d.point, d.choices)


def _rising(designs: tuple[front.Design, ...]) -> tuple[front.Design, ...]:
    """Those of a front, fastest first, that are more accurate than every faster one: the front without a third."""
    out: list[front.Design] = []
    for d in designs:
        if not out or d.accuracy > out[-1].accuracy:
            out.append(d)
    return tuple(out)


def _choose(document: SearchDocument, request: SearchRequest) -> SearchDocument:
    """The document with the design that was asked for (the knee when nothing was), or why there is none."""
    found = front_of(document)
    if not found.designs:
        return document
    from cofront.search.exact.infeasible import explain_request

    latency = None if request.fps is None else 1.0 / request.fps
    flat = replace(found, designs=_rising(found.designs))
    best = flat.best(max_latency_s=latency, min_accuracy=request.accuracy)
    if best is not None and request.third is not None and None not in (request.fps, request.accuracy):
        # with both asked for, what is left to choose is the least of the third objective
        from cofront.api.thirds import third_value

        meets = [d for d in found.designs if d.latency_s <= 1.0 / request.fps and d.accuracy >= request.accuracy]  # type: ignore[operator]
        best = min(meets, key=lambda d: third_value(d, request.third or ""))
    why = () if best is not None else explain_request(flat, min_accuracy=request.accuracy, max_latency_s=latency)
    return msgspec.structs.replace(
        document, chosen=None if best is None else found.designs.index(best), required_fps=request.fps,
        required_accuracy=request.accuracy, infeasible=limits_of(why) if best is None else document.infeasible,
    )  # fmt: skip
