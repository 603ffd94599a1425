"""Every design of a front rebuilt and costed once more, and kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from cofront.api.accuracy import Measured
from cofront.api.blocks import Blocks, Rebuilt
from cofront.api.choosing import network_of
from cofront.api.costing import cost_part, family
from cofront.api.solving import as_point
from cofront.errors import CofrontError, StudyError
from cofront.study.documents import Cost, Design, SearchDocument
from cofront.study.provenance import digest

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.study import Run, Study

#: How many designs, spread over the front, are rebuilt as whole Networks besides.
_WHOLE = 4


def record(
    document: SearchDocument,
    measured: Measured,
    device: Device,
    run: Run | None,
    report: Callable[..., None],
    should_stop: Callable[[], bool],
    batch: int = 256,
) -> tuple[list[Cost], SearchDocument]:
    """Rebuilds every design of the front and costs it again by the scalar path, which must agree.

    The document comes back with the networks' sizes.
    """
    blocks = Blocks(measured, device, document.accelerator)
    front, count = list(document.front), len(document.front)
    whole = {round(i * (count - 1) / max(_WHOLE - 1, 1)) for i in range(_WHOLE)}
    costs: list[Cost] = []
    for start in range(0, count, batch):
        if should_stop():
            break
        part = document.front[start : start + batch]
        for i, (d, fragments) in enumerate(zip(part, blocks.networks([d.point for d in part]), strict=True), start):
            found = blocks.rebuild(fragments, d)
            _compare(i, d, found.cost, found.fits)
            if i in whole:
                _compare_whole(i, d, found, measured, device, document.accelerator)
            costs.append(found.cost)
            front[i] = msgspec.structs.replace(
                d, macs=found.macs, params=found.params, precisions=found.precisions,
                weight_bytes=found.weight_bytes, activation_bytes=found.activation_bytes,
            )  # fmt: skip
        if run is not None:
            run.record(
                ({"point": d.point, "config": d.config}, c) for d, c in zip(part, costs[start:], strict=True)
            )  # fmt: skip
        done = start + len(part)
        report("checking every design", done, None, f"{done} of {count}")
    return costs, msgspec.structs.replace(document, front=front)


def cost_of(document: SearchDocument, index: int, device: Device) -> Cost:
    """The cost of one design of a front, rebuilt as a whole Network."""
    design = document.front[index]
    config = family(document.accelerator).config(design.config)
    cost, exceeded = cost_part(network_of(document, index), device, config, document.accelerator)
    _compare(index, design, cost, not exceeded)
    return cost


def _compare(i: int, design: Design, cost: Cost, fits: bool) -> None:
    energy = design.energy_j is None or (
        cost.energy_j is not None and math.isclose(design.energy_j, cost.energy_j, rel_tol=1e-9)
    )
    if cost.cycles != design.cycles or not fits or cost.resources != design.resources or not energy:
        raise CofrontError(
            f"internal check failed: design {i + 1} has {design.cycles} cycles in the search and {cost.cycles} "
            "when rebuilt; please report this command"
        )


def _compare_whole(
    i: int, design: Design, found: Rebuilt, measured: Measured, device: Device, accelerator: str
) -> None:
    """The same with the whole Network in place of its blocks."""
    network = measured.space.network(as_point(design.point))
    cost, exceeded = cost_part(network, device, family(accelerator).config(design.config), accelerator)
    _compare(i, design, cost, not exceeded)
    calls = [c.cycles for c in cost.calls], [c.cycles for c in found.cost.calls]
    if (network.macs, network.params, calls[0]) != (found.macs, found.params, calls[1]):
        raise CofrontError(
            f"internal check failed: design {i + 1} is not the network of its blocks; please report this command"
        )


def stored_costs(study: Study, run_id: int, document: SearchDocument, where: str) -> list[Cost]:
    stored = {digest(i): r for i, r in study.evaluations(run_id)}
    out = []
    for d in document.front:
        found = stored.get(digest({"point": d.point, "config": d.config}))
        try:
            out.append(msgspec.convert(found, Cost))
        except msgspec.ValidationError:
            raise StudyError(f"{where} lacks the cost of a design; choose another --study") from None
    return out
