"""`search` on a device known by a table, of operators or of whole networks, or by a model of one: the exact front.

Networks alone are chosen.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.api.accuracy import shipped_table
from cofront.api.choosing import answer_again, choose, keep_answer, rising
from cofront.api.costing import TABLE
from cofront.api.files import is_table, need_file
from cofront.api.networks import block_precisions
from cofront.api.request import SearchRequest, SearchResult
from cofront.api.solving import as_point
from cofront.errors import CofrontError, InputError, UsageError, unknown_name
from cofront.study.documents import Call, Cost, Design, SearchDocument, clean, read_document
from cofront.study.provenance import digest, file_hash, source_hash
from cofront.study.recording import ending

if TYPE_CHECKING:
    from cofront import front
    from cofront.measure.estimate import LatencyModel
    from cofront.network import Network
    from cofront.space import Space
    from cofront.study import Study

#: Latencies of tables are whole nanoseconds: the cycles of a clock of 1 GHz.
CLOCK_HZ = 1e9
#: Each operator is rounded to one of them: two hundred operators may be off by so much.
ROUNDING_S = 200 * 0.5 / CLOCK_HZ


def is_measured(device: str, space: str) -> bool:
    """Whether a device is this machine, a board, a table, or known by the space's networks: no FPGA."""
    return device == "host" or device.startswith("ssh://") or is_table(device) or is_known(device, space)


def is_known(device: str, space: str) -> bool:
    """Whether a linear model of a device comes with cofront for networks of a space."""
    return device in _known(space)


def _known(space: str) -> tuple[str, ...]:
    from cofront.predict.devices import shipped, spaces_of_shipped

    return shipped(space).names if space.partition("@")[0] in spaces_of_shipped() else ()


def check_part(device: str, space: str) -> None:
    """UsageError for the name of no FPGA part, with the nearest of those and of the devices known by the space."""
    from cofront.device import names

    if not device.lower().endswith(".toml") and device.strip().lower() not in names():
        raise unknown_name("device", device, (*names(), *_known(space)))


def search_table(request: SearchRequest, study: Study | None = None) -> SearchResult:
    """The exact accuracy-latency front of all networks of the space on the device that `request.device` describes."""
    check_request(request)
    if study is None:
        return SearchResult(choose(_solve(request)[0], request), [])
    from cofront import space as spaces

    accuracy = request.accuracy_table or shipped_table(spaces.load(request.space))
    asked = {k: v for k, v in asdict(request).items() if k not in ("fps", "accuracy", "cover")}
    inputs = {
        **asked, "accuracy_table": accuracy.name, "table_hash": file_hash(accuracy),
        "device_hash": _device_hash(request), "source_hash": source_hash(),
    }  # fmt: skip
    if (known := study.finished(inputs)) is not None and known.result is not None:
        document = read_document(known.result, SearchDocument, f"run {known.id} of study '{study.path}'")
        return SearchResult(answer_again(study, known.id, document, request), [], known.id, reused=True)
    run = study.start("search", inputs, request.seed)
    with ending(run):
        document, costs = _solve(request)
        document = choose(document, request)
        run.record(({"point": d.point, "config": d.config}, c) for d, c in zip(document.front, costs, strict=True))
    keep_answer(run, document)
    run.finish("done", document)
    return SearchResult(document, [], run.id)


def _device_hash(request: SearchRequest) -> str:
    if is_table(request.device):
        return file_hash(Path(request.device))
    from cofront.predict.devices import shipped

    known = shipped(request.space).select([request.device])
    return digest({"weights": known.weights, "bias": known.bias})


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
    if is_table(request.device):
        need_file(Path(request.device), "a table, as `cofront measure` writes it, or a device of `cofront devices`")
    need_file(request.accuracy_table or shipped_table(spaces.load(request.space)), "a table of accuracies")


def _solve(request: SearchRequest) -> tuple[SearchDocument, list[Cost]]:
    """The front, and what each of its designs' latencies is the sum of."""
    from cofront import space as spaces
    from cofront.measure.estimate import AdaptedModel, KnownModel, load_model
    from cofront.predict.additive import Additive
    from cofront.predict.codesign import on_trellis
    from cofront.predict.devices import shipped
    from cofront.predict.tables import read_table
    from cofront.problem import link_value
    from cofront.search.additive import additive_front

    wanted = spaces.load(request.space)
    table = request.accuracy_table or shipped_table(wanted)
    measured = read_table(table, wanted, request.accuracy_column)
    space = measured.space
    model = Additive.for_space(space).fit(Additive.encode(space, measured.points), measured.accuracy).model
    if is_table(request.device):
        path = Path(request.device)
        device = load_model(path, column=request.latency_column, space=space, any_magnitude=False)
    else:
        device = KnownModel(space, shipped(space.name), request.device)
    offered = measured.precisions
    chosen = _precisions(request, offered, bool(device.runs))
    layered = space.layered({b: tuple(p for p in ps if p in chosen) or ps[:1] for b, ps in offered.items()})
    edges, base = device.edge_cost(space, layered)
    scores = on_trellis(model, layered.trellis)
    low, high = scores.accuracy_range
    found = additive_front(
        layered.trellis, edges, scores.edge_score,
        lambda s: link_value((s + scores.score_offset) / scores.micro, scores.link, scores.score_range).clip(low, high),
        constant=base, space=space.name, device=device.name, n_choices=len(space.sizes),
    )  # fmt: skip
    if found.designs and found.designs[0].latency_s <= 0:
        raise InputError(
            f"{request.device}: by it the fastest networks take no time at all ({device.words}); measure some, "
            "or more, of them: `cofront measure --samples`"
        )
    designs, costs = [], []
    for d in found.designs:
        network = space.network(as_point(d.point))
        designs.append(_design(d, network, space, device))
        costs.append(_cost(designs[-1], network, device))
    measured_too = sum(d.latency_low_s is None for d in designs) if isinstance(device, AdaptedModel) else 0
    also = f"; {measured_too} of the {len(designs)} networks of the front were measured" if measured_too else ""
    knee = replace(found, designs=rising(found.designs)).knee()
    said = f"accuracies are those measured at {', '.join(chosen)}, {device.runs}"
    document = SearchDocument(
        accelerator=TABLE, status=found.status, space=space.name, device=device.name, precisions=list(chosen),
        clock_hz=CLOCK_HZ, method="exact", grid="", budget={}, front=designs, gap=found.gap, designs=found.n_designs,
        solve_s=found.solve_s, knee=None if knee is None else found.designs.index(knee), accuracy_source=table.name,
        accuracy_note=f"additive model of {len(measured.accuracy):,} measured networks, leave-one-out error "
        f"{100 * model.loo_rmse:.2f} points",
        latency_note=device.words + also,
        notes=[said] if device.runs and chosen else [],
    )  # fmt: skip
    return document, costs


def _cost(design: Design, network: Network, device: LatencyModel) -> Cost:
    """The operators of a design as calls."""
    calls = [
        Call(
            name=name, cycles=round(seconds * CLOCK_HZ), bound_by="measured", macs=0 if part is None else part.macs,
            layers=[] if part is None else [n.name for n in part.layers],
        )
        for name, part, seconds in device.parts(network)
    ]  # fmt: skip
    return Cost(
        latency_s=design.latency_s, cycles=design.cycles, clock_hz=CLOCK_HZ, resources={}, budget={},
        config=design.config, macs=network.macs, calls=calls,
    )  # fmt: skip


def _design(found: front.Design, network: Network, space: Space, device: LatencyModel) -> Design:
    """A design of the front for documents, with where 95 % of new measurements lie."""
    from cofront.measure.estimate import Subject

    point = as_point(found.point)
    said = device.on_front(Subject(f"design {found.point}", network, space, point), found.latency_s)
    if abs(said.latency_s - found.latency_s) > 1e-6 * found.latency_s + ROUNDING_S:
        raise CofrontError(
            f"internal check failed: design {found.point} takes {found.latency_s:g} s in the search and "
            f"{said.latency_s:g} s by itself; please report this command"
        )
    low, high = said.range_s or (None, None)
    return Design(
        accuracy=found.accuracy, latency_s=found.latency_s, fps=found.fps, cycles=found.cycles, resources={},
        config={"engine": device.name}, point=list(found.point), choices=clean(space.describe(point)),
        macs=network.macs, params=network.params, precisions={} if device.runs else block_precisions(network),
        latency_low_s=low, latency_high_s=high,
    )  # fmt: skip


def _precisions(request: SearchRequest, offered: dict[str, tuple[str, ...]], alike: bool) -> tuple[str, ...]:
    """What may be used: what was asked for, or all that is measured; if all take the same, the widest alone."""
    every = tuple(sorted({p for ps in offered.values() for p in ps}, reverse=True))
    chosen = request.precisions or (every[:1] if alike else every)
    missing = [p for p in chosen if p not in every]
    if missing:
        raise InputError(f"the accuracy of {', '.join(missing)} was not measured; choose from {', '.join(every)}")
    return tuple(chosen)
