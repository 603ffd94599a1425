"""`search`: the Pareto front of (network, precision, accelerator) designs of a space on a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.accuracy import build_problem, shipped_table
from cofront.api.checking import record, stored_costs
from cofront.api.choosing import choose
from cofront.api.limits import why_nothing
from cofront.api.parts import load_device
from cofront.api.request import OnProgress, Progress, SearchRequest, SearchResult
from cofront.api.solving import covers, make_document, same_cover, solve
from cofront.errors import CofrontError
from cofront.study.documents import SearchDocument, read_document
from cofront.study.provenance import file_hash, source_hash

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.space import Space
    from cofront.study import Run, Study

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
    asked["device"] = request.device if own else device.name
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
        if request.cover is None or same_cover(document, request.cover):
            return SearchResult(
                choose(document, request), stored_costs(study, known.id, document, where), known.id, reused=True
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
        predictor=request.predictor, accelerator=request.accelerator,
    )  # fmt: skip
    report("searching")
    checkpoint = None if run is None else run.study.path.with_suffix(f".{request.method}.npz")
    result, levels = solve(request, measured, checkpoint, report, should_stop)
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
        or (result.status == "heuristic" and should_stop())
    )
    if request.cover is not None and result.designs and not stopped:
        document = msgspec.structs.replace(document, cover=covers(measured, result, request.cover))
    if checkpoint is not None and not stopped:
        checkpoint.unlink(missing_ok=True)
    if run is not None:
        run.finish("interrupted" if stopped else "done", document)
    return SearchResult(choose(document, request), costs, None if run is None else run.id, interrupted=stopped)
