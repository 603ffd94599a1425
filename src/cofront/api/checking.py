"""Every design of a front rebuilt and costed once more, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.accuracy import Measured
from cofront.api.costing import cost_part, family
from cofront.api.networks import block_precisions
from cofront.api.solving import as_point
from cofront.errors import CofrontError, StudyError
from cofront.study.documents import Cost, SearchDocument, clean
from cofront.study.provenance import digest

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.study import Run, Study


def record(
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
    kind = family(document.accelerator)
    costs: list[Cost] = []
    front = list(document.front)
    pending: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for i, d in enumerate(document.front):
        if should_stop():
            break
        network = measured.space.network(as_point(d.point))
        cost, exceeded = cost_part(network, device, kind.config(d.config), document.accelerator)
        if cost.cycles != d.cycles or exceeded or cost.resources != d.resources:
            raise CofrontError(
                f"internal check failed: design {i + 1} has {d.cycles} cycles in the search and {cost.cycles} "
                "when rebuilt; please report this command"
            )
        costs.append(cost)
        front[i] = msgspec.structs.replace(
            d,
            macs=network.macs,
            params=network.params,
            precisions=block_precisions(network),
            weight_bytes=network.weight_bytes,
            activation_bytes=network.activation_bytes,
        )
        pending.append(({"point": d.point, "config": d.config}, clean(msgspec.to_builtins(cost))))
        if run is not None and (len(pending) == batch or i + 1 == len(document.front)):
            run.record(pending)
            pending = []
            report("checking every design", i + 1, None, f"{i + 1} of {len(document.front)}")
    if run is not None and pending:
        run.record(pending)
    return costs, msgspec.structs.replace(document, front=front)


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
