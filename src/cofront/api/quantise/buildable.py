"""What `build` will say of a design that `quantize` found on an FPGA part: refusals, and the time of its program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cofront.api.scheduling import scheduled_cycles
from cofront.errors import CofrontError
from cofront.figures import seconds

if TYPE_CHECKING:
    from cofront.network import Network
    from cofront.study.documents import DesignDocument
    from cofront.task.integer import QuantizedNetwork


@dataclass(frozen=True)
class Outlook:
    """Whether a design can be built as it is, its latency by the schedule of its program, and what is to be noted.

    `scheduled_s` is None where no program can be made.
    """

    builds: bool
    scheduled_s: float | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, float | bool]:
        """For the document's `accelerator`."""
        known: dict[str, float | bool] = {"can_be_built": self.builds}
        return known if self.scheduled_s is None else known | {"scheduled_s": self.scheduled_s}


def refused(network: Network) -> tuple[str, ...]:
    """What `fit` and `estimate` note of a network whose operators can be costed but not built; nothing otherwise."""
    from cofront.api.costing import FAMILY, unbuildable

    return tuple(unbuildable(network, FAMILY))


def outlook(document: DesignDocument, integers: QuantizedNetwork, limit_s: float) -> Outlook:
    """Of a design with its integers, of which `limit_s` is asked.

    The cost model, by which the design was chosen, sums calls and sees no waits between them: the program's schedule
    does. What makes the program refuse is a note.
    """
    missing = refused(integers.network)
    notes = (*missing, *_costed(document, integers.network))
    if missing:
        return Outlook(False, notes=notes)
    try:
        cycles = scheduled_cycles(document, integers.network, integers)
    except CofrontError as error:
        return Outlook(False, notes=(*notes, f"`cofront build` would refuse this design: {error}"))
    if cycles is None:  # without the extra that makes programs
        return Outlook(True, notes=notes)
    taken = cycles / document.clock_hz
    if taken > limit_s * (1 + 1e-9):
        over, margin = 100 * (taken / limit_s - 1), limit_s**2 / taken
        notes += (
            f"by the schedule of its program the latency is {seconds(taken, 4)}, {over:.2g} % over the budget: the "
            f"cost model, by which the design was chosen, does not see all waits; ask for {seconds(margin, 3)}",
        )
    return Outlook(True, taken, notes)


def _costed(document: DesignDocument, network: Network) -> tuple[str, ...]:
    """What the cost model notes of this network on this accelerator: work of the host, figures beyond its range."""
    from cofront.api.costing import family
    from cofront.api.parts import device_of, load_device

    config = family(document.accelerator).config(document.design.config, document.clock_hz)
    return family(document.accelerator).estimate(network, load_device(device_of(document)), config).notes
