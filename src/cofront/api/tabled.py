"""`search` on a device known by a table of operators: the exact front, networks alone being chosen."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.api.accuracy import shipped_table
from cofront.api.choosing import answer_again, choose, keep_answer, rising
from cofront.api.files import need_file
from cofront.api.networks import block_precisions
from cofront.api.request import SearchRequest, SearchResult
from cofront.api.solving import as_point
from cofront.errors import InputError, UsageError
from cofront.study.documents import Design, SearchDocument, clean, read_document
from cofront.study.provenance import file_hash, source_hash

if TYPE_CHECKING:
    from cofront.study import Study

#: Latencies of tables are whole nanoseconds: the cycles of a clock of 1 GHz.
CLOCK_HZ = 1e9


def search_table(request: SearchRequest, study: Study | None = None) -> SearchResult:
    """The exact accuracy-latency front of all networks of the space on the device that `request.device` describes."""
    check_request(request)
    path = Path(request.device)
    if study is None:
        return SearchResult(choose(_solve(request, path), request), [])
    from cofront import space as spaces

    accuracy = request.accuracy_table or shipped_table(spaces.load(request.space))
    asked = {k: v for k, v in asdict(request).items() if k not in ("fps", "accuracy", "cover")}
    inputs = {
        **asked, "accuracy_table": accuracy.name, "table_hash": file_hash(accuracy), "device_hash": file_hash(path),
        "source_hash": source_hash(),
    }  # fmt: skip
    if (known := study.finished(inputs)) is not None and known.result is not None:
        document = read_document(known.result, SearchDocument, f"run {known.id} of study '{study.path}'")
        return SearchResult(answer_again(study, known.id, document, request), [], known.id, reused=True)
    run = study.start("search", inputs, request.seed)
    try:
        document = choose(_solve(request, path), request)
    except (KeyboardInterrupt, SystemExit):
        run.finish("interrupted")
        raise
    except BaseException:
        run.finish("failed")
        raise
    keep_answer(run, document)
    run.finish("done", document)
    return SearchResult(document, [], run.id)


def check_request(request: SearchRequest) -> None:
    """UsageError for what a table cannot give, and where there are no accuracies: before anything is measured."""
    from cofront import space as spaces

    given = {
        "--budget": request.budget, "--clock": request.clock_hz, "--third": request.third, "--cover": request.cover,
        "--penalty": request.penalty, "--evaluations": request.evaluations,
        "--method": request.method if request.method != "exact" else None,
        "--predictor": request.predictor if request.predictor != "additive" else None,
        "--accelerator": request.accelerator if request.accelerator != "subgraph" else None,
        "--grid": request.grid if request.grid != "coarse" else None, "--time-limit": request.time_limit_s,
    }  # fmt: skip
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: not for a device known by a table; its exact front needs none of them")
    need_file(request.accuracy_table or shipped_table(spaces.load(request.space)), "a table of accuracies")


def _solve(request: SearchRequest, path: Path) -> SearchDocument:
    from cofront import space as spaces
    from cofront.hardware.tables import read_additive
    from cofront.measure.estimate import Subject, load_model
    from cofront.predict.additive import Additive
    from cofront.predict.codesign import on_trellis
    from cofront.predict.tables import read_table
    from cofront.problem import link_value
    from cofront.search.additive import additive_front

    wanted = spaces.load(request.space)
    device = read_additive(path)
    table = request.accuracy_table or shipped_table(wanted)
    measured = read_table(table, wanted, request.accuracy_column)
    space = measured.space
    model = Additive.for_space(space).fit(Additive.encode(space, measured.points), measured.accuracy).model
    offered = measured.precisions
    chosen = _precisions(request, offered, device.in_float)
    layered = space.layered({b: tuple(p for p in ps if p in chosen) or ps[:1] for b, ps in offered.items()})
    edges, base = device.edge_cost(space, layered)
    scores = on_trellis(model, layered.trellis)
    low, high = scores.accuracy_range
    found = additive_front(
        layered.trellis, edges, scores.edge_score,
        lambda s: link_value((s + scores.score_offset) / scores.micro, scores.link, scores.score_range).clip(low, high),
        constant=base, space=space.name, device=device.name, n_choices=len(space.sizes),
    )  # fmt: skip
    latency = load_model(path, space=space)
    designs = []
    for d in found.designs:
        point = as_point(d.point)
        network, choices = space.network(point), clean(space.describe(point))
        fast, slow = latency.estimate(Subject(device.name, network, space, point)).range_s or (None, None)
        designs.append(
            Design(
                accuracy=d.accuracy, latency_s=d.latency_s, fps=d.fps, cycles=d.cycles, resources={},
                config={"engine": device.name}, point=list(d.point), choices=choices, macs=network.macs,
                params=network.params, precisions={} if device.in_float else block_precisions(network),
                latency_low_s=fast, latency_high_s=slow,
            )
        )  # fmt: skip
    knee = replace(found, designs=rising(found.designs)).knee()
    said = f"accuracies are those measured at {', '.join(chosen)}, the device runs float32"
    return SearchDocument(
        accelerator="table", status=found.status, space=space.name, device=device.name, precisions=list(chosen),
        clock_hz=CLOCK_HZ, method="exact", grid="", budget={}, front=designs, gap=found.gap, designs=found.n_designs,
        solve_s=found.solve_s, knee=None if knee is None else found.designs.index(knee), accuracy_source=table.name,
        accuracy_note=f"additive model of {len(measured.accuracy):,} measured networks, leave-one-out error "
        f"{100 * model.loo_rmse:.2f} points",
        latency_note=latency.words,
        notes=[said] if device.in_float else [],
    )  # fmt: skip


def _precisions(request: SearchRequest, offered: dict[str, tuple[str, ...]], in_float: bool) -> tuple[str, ...]:
    """What may be used: what was asked for, or all that is measured; on a device of float32 the widest alone."""
    every = tuple(sorted({p for ps in offered.values() for p in ps}, reverse=True))
    chosen = request.precisions or (every[:1] if in_float else every)
    missing = [p for p in chosen if p not in every]
    if missing:
        raise InputError(f"the accuracy of {', '.join(missing)} was not measured; choose from {', '.join(every)}")
    return tuple(chosen)
