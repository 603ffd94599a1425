"""`search`: the Pareto front of (network, precision, accelerator) designs of a space on a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.accuracy import build_problem, shipped_table
from cofront.api.checking import record, stored_costs
from cofront.api.choosing import answer_again, choose, keep_answer
from cofront.api.limits import why_nothing
from cofront.api.parts import device_file, load_device
from cofront.api.request import OnProgress, Progress, SearchRequest, SearchResult
from cofront.api.solving import covers, make_document, same_cover, solve
from cofront.errors import CofrontError
from cofront.figures import seconds
from cofront.study.documents import SearchDocument, read_document
from cofront.study.provenance import file_hash, source_hash

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.space import Space
    from cofront.study import Run, Study

#: The stage whose seconds are printed, kept and drawn as those of the search.
SEARCHING = "searching"
#: What is left for searching at least, however long preparing took.
LEAST_S = 1e-3
#: Seconds between two steps of the history that are stored.
EVENT_S = 0.2


def inputs_of(request: SearchRequest, space: Space, device: Device) -> dict[str, Any]:
    """Everything the result depends on; requests that only choose from the same front share it."""
    from cofront.device.base import PARTS

    table = request.accuracy_table or shipped_table(space)
    asked = asdict(request)
    for name in ("fps", "accuracy", "cover"):
        asked.pop(name)
    asked["accuracy_table"] = table.name
    own = request.device.lower().endswith(".toml")
    path = Path(request.device) if own else PARTS / f"{device.name}.toml"
    asked["device"] = device_file(request.device) or device.name  # to be found from any folder: `build --smallest`
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
    started: float | None = None,
) -> SearchResult:
    """Runs the search, or takes it from `study` when the same inputs were finished there before.

    `started` (`time.perf_counter`; now, when not given) is when the time limit began: what preparing takes counts.
    With a study, every design of the front with its cost, the history of the bound, and the result are stored as they
    come. `should_stop` ends the search early: the result then holds what was found and the certified gap.
    """
    from cofront import space as spaces

    started = time.perf_counter() if started is None else started
    found = spaces.load(request.space)
    device = load_device(request.device, request.budget)
    inputs = inputs_of(request, found, device)
    if study is not None and (known := study.finished(inputs)) is not None and known.result is not None:
        where = f"run {known.id} of study '{study.path}'"
        document = read_document(known.result, SearchDocument, where)
        if request.cover is None or same_cover(document, request.cover):
            costs = stored_costs(study, known.id, document, where)
            return SearchResult(answer_again(study, known.id, document, request), costs, known.id, reused=True)
    run = study.start("search", inputs, request.seed) if study is not None else None
    try:
        heard, stop = on_progress or (lambda _: None), should_stop or (lambda: False)
        return _search(request, found, device, run, heard, stop, started)
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
    started: float,
) -> SearchResult:
    stages: dict[str, float] = {}  # when each began: every figure of a stage is from its own beginning
    last = 0.0

    def keep(elapsed_s: float, designs: int, gap: float | None, stage: str) -> None:
        if run is not None:
            run.event("progress", {"elapsed_s": elapsed_s, "gap": gap, "designs": designs, "stage": stage})

    def report(stage: str, designs: int = 0, gap: float | None = None, detail: str = "") -> None:
        nonlocal last
        now = time.perf_counter()
        step = Progress(stage, now - stages.setdefault(stage, now), designs, gap, detail)
        if stage == SEARCHING and designs and now - last > EVENT_S:
            last = now
            keep(step.elapsed_s, designs, gap, stage)
        on_progress(step)

    report("fitting the accuracy model")
    measured = build_problem(
        space, device, table=request.accuracy_table, column=request.accuracy_column, penalty=request.penalty,
        precisions=request.precisions, grid=request.grid, clock_hz=request.clock_hz,
        predictor=request.predictor, accelerator=request.accelerator,
    )  # fmt: skip
    report(SEARCHING)
    checkpoint = None if run is None else run.study.path.with_suffix(f".{request.method}.npz")
    prepared_s = stages[SEARCHING] - started
    result, levels = solve(_left(request, prepared_s), measured, checkpoint, report, should_stop)
    # the one figure of how long was searched; of a search that went on it includes the earlier part
    searched_s = max(result.solve_s, time.perf_counter() - stages[SEARCHING])
    notes = (*result.notes, *_little_left(request, prepared_s))
    result = replace(result, solve_s=searched_s, stats={**result.stats, "prepare_s": prepared_s}, notes=notes)
    if request.chosen_method().certifies and result.designs:
        keep(searched_s, len(result.designs), result.gap, SEARCHING)
    document = make_document(
        request, device, measured, result, levels,
        lambda: why_nothing(measured, device, load_device(request.device), report, should_stop),
    )  # fmt: skip
    if run is not None:
        run.save(document)
    costs, document = record(document, measured, device, run, report, should_stop)
    stopped = (
        len(costs) < len(document.front)
        or result.status == "feasible"
        or (result.status == "heuristic" and (should_stop() or not result.designs))  # nothing found: nothing to keep
    )
    if request.cover is not None and result.designs and not stopped:
        document = msgspec.structs.replace(document, cover=covers(measured, result, request.cover))
    if checkpoint is not None and not stopped:
        checkpoint.unlink(missing_ok=True)
    document = choose(document, request)
    if run is not None:
        keep_answer(run, document)
        run.finish("interrupted" if stopped else "done", document)
    return SearchResult(document, costs, None if run is None else run.id, interrupted=stopped)


def _little_left(request: SearchRequest, used_s: float) -> list[str]:
    """What to say when preparing used most of the time limit: how little was searched is not the method's doing."""
    limit = request.time_limit_s
    if limit is None or used_s <= limit / 2:
        return []
    took = f"{seconds(used_s)} of the time limit of {seconds(limit)}"
    return [f"preparing took {took}, so that little was searched; allow more with --time-limit"]


def _left(request: SearchRequest, used_s: float) -> SearchRequest:
    """The request with what its time limit leaves for searching."""
    if request.time_limit_s is None:
        return request
    return replace(request, time_limit_s=max(request.time_limit_s - used_s, LEAST_S))
