"""The frame rate of a design by the schedule of its program: it sees the waits that the cost model's sum does not."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cofront.network import Network
from cofront.study.documents import DesignDocument

if TYPE_CHECKING:
    from cofront.task.integer import QuantizedNetwork


def scheduled_cycles(
    document: DesignDocument, network: Network, integers: QuantizedNetwork | None = None
) -> int | None:
    """Cycles of an image; None where no program can be made: another accelerator, or without the extra `rtl`.

    With its own `integers` the program may refuse: InputError, as `build` would say.
    """
    from cofront.task.fusing import without_integers

    if document.accelerator != "subgraph" or find_spec("amaranth") is None or without_integers(network):
        return None
    from cofront.api.parts import device_of, load_device
    from cofront.hardware.subgraph import Config, coefficients
    from cofront.rtl.compiler import compile_program
    from cofront.rtl.schedule import expected_cycles
    from cofront.rtl.standin import random_integers

    device = load_device(device_of(document))
    config = Config.from_dict(document.design.config, document.clock_hz)
    bus = coefficients.load().bus_bits(device, config.clock_hz)
    # Which integers they are changes no cycle.
    program = compile_program(integers or random_integers(network), config, device, bus_bits=bus)
    return expected_cycles(program, config, device)


def missed_wish(document: DesignDocument, cycles: int | None, by: str) -> list[str]:
    """A note when a design is slower than the frame rate that it was chosen for; `by` says whose `cycles` those are."""
    asked = float(document.provenance.get("wish", {}).get("fps") or 0.0)
    if cycles is None or document.clock_hz / cycles >= asked:
        return []
    fps = document.clock_hz / cycles
    more = math.ceil(asked * document.design.fps / fps)
    return [
        f"{asked:,.0f} fps were asked for, {by} gives {fps:,.0f}: the cost model, by which the design was chosen, does "
        f"not see all waits for weights; search with --fps {more} for a margin"
    ]
