"""The network that a run derived, as a design file."""

from __future__ import annotations

from typing import Any

from cofront.api.files import is_table
from cofront.api.running import RunRequest
from cofront.api.tabled import is_known
from cofront.study.documents import Design, DesignDocument, RunDocument, clean


def design_of(request: RunRequest, document: RunDocument) -> DesignDocument | None:
    """The derived network as a design: with the best accelerator for it, or as the table has it.

    None for NASA's chip, which no verb takes a design of.
    """
    import numpy as np

    from cofront import space as spaces
    from cofront.api import fit
    from cofront.api.costing import TABLE
    from cofront.api.differentiable import CHIP
    from cofront.api.networks import block_precisions
    from cofront.api.parts import device_file
    from cofront.space.darts import Darts

    if document.chosen is None or request.device == CHIP:
        return None
    space = spaces.load(document.space)
    chosen = document.networks[document.chosen]
    network = space.network(np.array(chosen.point))
    trained = document.training.test if document.training is not None else None
    accuracy = chosen.accuracy if trained is None else trained
    common: dict[str, Any] = {
        "accuracy": accuracy, "point": chosen.point, "choices": clean(space.describe(np.array(chosen.point))),
        "macs": network.macs, "params": network.params, "precisions": block_precisions(network),
    }  # fmt: skip
    provenance = {
        "system": document.system, "preset": document.preset, "seed": request.seed,
        "accuracy": "test images, trained from the start" if trained is not None else "supernet, validation images",
    }  # fmt: skip
    if is_table(request.device) or is_known(request.device, document.space):
        design = Design(
            latency_s=chosen.latency_s, fps=1.0 / chosen.latency_s, cycles=round(1e9 * chosen.latency_s), resources={},
            config={"engine": document.device}, **common,
        )  # fmt: skip
        return DesignDocument(
            accelerator=TABLE, device=document.device, clock_hz=1e9, design=design, space=document.space,
            device_file=device_file(request.device), provenance=provenance,
        )  # fmt: skip
    family = "e2e_generic" if isinstance(space, Darts) else "subgraph"
    best = fit(network, device=request.device, clock_hz=request.clock_hz, accelerator=family, precision="W8A8")
    if best.latency_s is None or best.fps is None or best.cycles is None or best.config is None:
        return None
    design = Design(
        latency_s=best.latency_s, fps=best.fps, cycles=best.cycles, resources=best.resources or {},
        config=best.config, energy_j=best.energy_j, **common,
    )  # fmt: skip
    return DesignDocument(
        accelerator=family, device=best.device, clock_hz=best.clock_hz, design=design, space=document.space,
        device_file=device_file(request.device), provenance=provenance,
    )  # fmt: skip
