"""The network that a run derived: on what it runs best, and as a design file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.api.files import is_table
from cofront.study.documents import Design, DesignDocument, RunDocument, clean

if TYPE_CHECKING:
    from cofront.api.run.scene import RunRequest
    from cofront.network import Network
    from cofront.space.base import Space


def fitted(network: Network, space: Space, request: RunRequest, latency_s: float, name: str) -> dict[str, Any]:
    """Where the derived network runs: the best accelerator for it on an FPGA part, else what the table says.

    `latency_s` is by the search's own cost, of the device called `name`. {} for NASA's chip, which no verb takes a
    design of.
    """
    from cofront.api import fit
    from cofront.api.costing import TABLE
    from cofront.api.differentiable import CHIP
    from cofront.api.parts import device_file
    from cofront.api.tabled import is_known
    from cofront.space.darts import Darts

    device = request.device
    if device == CHIP:
        return {}
    if is_table(device) or is_known(device, space.name):
        return {
            "accelerator": TABLE, "device": name, "device_file": device_file(device), "clock_hz": 1e9,
            "latency_s": latency_s, "fps": 1.0 / latency_s, "cycles": round(1e9 * latency_s), "resources": {},
            "config": {"engine": name}, "energy_j": None,
        }  # fmt: skip
    family = "e2e_generic" if isinstance(space, Darts) else "subgraph"
    best = fit(network, device=device, clock_hz=request.clock_hz, accelerator=family, precision="W8A8")
    if best.latency_s is None:
        return {}
    found: dict[str, Any] = clean(
        {
            "accelerator": family, "device": best.device, "device_file": device_file(device),
            "clock_hz": best.clock_hz, "latency_s": best.latency_s, "fps": best.fps, "cycles": best.cycles,
            "resources": best.resources or {}, "config": best.config, "energy_j": best.energy_j,
        }
    )  # fmt: skip
    return found


def design_of(document: RunDocument) -> DesignDocument | None:
    """The derived network as a design; None where nothing was derived, or no verb takes it."""
    import numpy as np

    from cofront import space as spaces
    from cofront.api.networks import block_precisions

    if document.chosen is None or not document.fitted:
        return None
    space, found = spaces.load(document.space), document.fitted
    chosen = document.networks[document.chosen]
    point = np.array(chosen.point)
    network = space.network(point)
    trained = document.training.test if document.training is not None else None
    design = Design(
        accuracy=chosen.accuracy if trained is None else trained, point=chosen.point,
        choices=clean(space.describe(point)), macs=network.macs, params=network.params,
        precisions=block_precisions(network),
        **{k: found[k] for k in ("latency_s", "fps", "cycles", "resources", "config", "energy_j")},
    )  # fmt: skip
    return DesignDocument(
        accelerator=found["accelerator"], device=found["device"], clock_hz=found["clock_hz"], design=design,
        space=document.space, device_file=found["device_file"],
        provenance={
            "system": document.system, "preset": document.preset, "run": str(Path(document.study or "")),
            "accuracy": "supernet, validation images" if trained is None else "test images, trained from the start",
        },
    )  # fmt: skip
