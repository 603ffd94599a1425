"""Which design of a front was asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import msgspec

from cofront.api.costing import limits_of
from cofront.api.networks import space_network
from cofront.api.request import SearchRequest
from cofront.study.documents import SearchDocument
from cofront.study.provenance import command_line

if TYPE_CHECKING:
    from cofront import front
    from cofront.network import Network
    from cofront.study import Run, Study


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
    status = document.status if document.status in get_args(front.Status) else "feasible"
    return front.Front(designs, gap, document.designs, document.solve_s, status)  # type: ignore[arg-type]


def network_of(document: SearchDocument, index: int) -> Network:
    """The Network of design `index` of the front."""
    d = document.front[index]
    return space_network(document.space, d.point, d.choices)


def rising(designs: tuple[front.Design, ...]) -> tuple[front.Design, ...]:
    """Those of a front, fastest first, that are more accurate than every faster one: the front without a third."""
    out: list[front.Design] = []
    for d in designs:
        if not out or d.accuracy > out[-1].accuracy:
            out.append(d)
    return tuple(out)


def latency_within(fps: float, clock_hz: float) -> float:
    """A latency that exactly the designs of at least a frame rate keep, whatever rounding made of both figures.

    Latencies are whole cycles: the limit lies a little above the last one that will do.
    """
    cycles = clock_hz / fps * (1 + 1e-12)
    return (math.floor(cycles) + 1e-3) / clock_hz if cycles < 1e300 else math.inf


def choose(document: SearchDocument, request: SearchRequest) -> SearchDocument:
    """The document with the design that was asked for (the knee when nothing was), or why there is none."""
    found = front_of(document)
    if not found.designs:
        return document
    from cofront.search.exact.infeasible import explain_request

    latency = None if request.fps is None else latency_within(request.fps, document.clock_hz)
    flat = replace(found, designs=rising(found.designs))
    best = flat.best(max_latency_s=latency, min_accuracy=request.accuracy)
    if best is not None and request.third is not None and latency is not None and request.accuracy is not None:
        # with both asked for, what is left to choose is the least of the third objective
        from cofront.api.thirds import third_value

        meets = [d for d in found.designs if d.latency_s <= latency and d.reaches(request.accuracy)]
        best = min(meets, key=lambda d: third_value(d, request.third or ""))
    why = () if best is not None else explain_request(flat, min_accuracy=request.accuracy, max_latency_s=latency)
    if request.fps is not None:  # what was asked for, not the last whole cycle that meets it
        why = tuple(replace(e, available=1 / request.fps) if e.limit == "latency" else e for e in why)
    return msgspec.structs.replace(
        document, chosen=None if best is None else found.designs.index(best), required_fps=request.fps,
        required_accuracy=request.accuracy, infeasible=limits_of(why),
    )  # fmt: skip


def keep_answer(run: Run, document: SearchDocument) -> None:
    """Adds what was asked, and the design that answers it, to the history of a run."""
    wish = {"fps": document.required_fps, "accuracy": document.required_accuracy, "chosen": document.chosen}
    run.event("wish", {**wish, "command": command_line()})


def answer_again(study: Study, run_id: int, document: SearchDocument, request: SearchRequest) -> SearchDocument:
    """A finished front with the design that is asked for now; the study keeps the newest wish in the result."""
    from cofront.study import Run

    chosen = choose(document, request)
    if study.writable and chosen != document:
        run = Run(study, run_id)
        keep_answer(run, chosen)
        run.save(chosen)
    return chosen
