"""Prices of the operators of a network on a device as a user names it: a machine, a table, an FPGA part."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cofront.api.files import is_table, need_file
from cofront.errors import UsageError
from cofront.measure.target import parse_target
from cofront.space.operators_of import TEACHER

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.hardware.base import Configuration
    from cofront.measure.session import Step
    from cofront.space.operators_of import OperatorsOf
    from cofront.systems.lana import Lana
    from cofront.systems.lana_prices import Prices


@dataclass(frozen=True)
class OnPart:
    """The subgraph accelerator on an FPGA part that prices are of, and the operators at its bits."""

    space: OperatorsOf
    part: Device
    config: Configuration

    def notes(self, names: Sequence[str] | None = None) -> list[str]:
        """What `estimate` notes of the network of these operators (the teacher if None) on this accelerator, and what
        `build` would refuse."""
        from cofront.api.costing import FAMILY, family, unbuildable

        chosen = names or [TEACHER] * len(self.space.operators)
        point = [list(o).index(name) for o, name in zip(self.space.operators, chosen, strict=True)]
        network = self.space.network(np.array(point))
        return [*family(FAMILY).estimate(network, self.part, self.config).notes, *unbuildable(network, FAMILY)]


#: How notes on the teacher, on the chosen network, and on both begin.
TEACHERS, CHOSENS, BOTHS = "the network as it is: ", "the chosen network: ", "both networks: "


def with_chosen(notes: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Notes, some of them on the teacher, with those on the chosen network; what holds for both is said once."""
    own = {TEACHERS + n for n in chosen}
    out = [BOTHS + n.removeprefix(TEACHERS) if n in own else n for n in notes]
    return out + [CHOSENS + n for n in chosen if TEACHERS + n not in notes]


def check_device(device: str, column: str | None) -> None:
    """UsageError for a device on which operators cannot be priced, before anything is read."""
    from cofront.device import names

    if column is not None and not is_table(device):
        raise UsageError(f"--column {column} is a column of a table; --device {device} is none")
    if is_table(device):
        need_file(Path(device), "a table of operators, as `cofront measure` writes it")
    elif device == "host" or device.startswith("ssh://"):
        parse_target(device)
    elif not device.lower().endswith(".toml") and (name := device.strip().lower()) not in names():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
        raise UsageError(
            f"--device {device}: operators are priced on host, ssh://user@board, a table of operators (.parquet, .csv) "
            f"or an FPGA part ({', '.join(near or names())}); take one of these"
        )


def priced_operators(
    lana: Lana,
    device: str,
    column: str | None,
    table: Path,
    *,
    on_step: Callable[[Step], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Prices | None, OnPart | None]:
    """Seconds of every operator on `device`, None when asked to stop while measuring; and the accelerator that they are
    of, on an FPGA part.

    "host" and "ssh://user@board" are measured, into `table`; a table of operators is read; an FPGA part is the subgraph
    accelerator that is fastest for a middle network, at W8A8. UsageError for anything else.
    """
    from cofront.systems.lana_prices import measured, tabled

    check_device(device, column)
    if is_table(device):
        return tabled(lana.space, Path(device), column), None
    if device == "host" or device.startswith("ssh://"):
        return measured(lana.space, parse_target(device), table, on_step=on_step, should_stop=should_stop), None
    return _on_part(lana.space, lana.recipe.offered, device)


def _on_part(space: OperatorsOf, offered: tuple[str, ...], device: str) -> tuple[Prices, OnPart]:
    """By the cycles of an accelerator of one configuration."""
    from cofront.api.costing import family
    from cofront.api.differentiable import priced
    from cofront.search.gradient.choices import Layers
    from cofront.space.operators_of import OperatorsOf as Space
    from cofront.systems.lana_prices import Prices

    quantised = Space(space.parts, offered, "W8A8")
    layered = quantised.layered()
    layers = Layers.of_trellis(quantised, layered.trellis)
    found = priced(quantised, layers, layered, device, None, None)
    cost = found.cost
    table, mask = cost.table_s, cost.layers.mask  # type: ignore[attr-defined]
    counts = [len(o) for o in space.operators]
    seconds = np.full((len(counts), max(counts)), np.nan)
    rows = iter(zip(table, mask, strict=True))
    for i, count in enumerate(counts):
        if count == 1:  # what every network has is in the constant
            seconds[i, 0] = 0.0
            continue
        row, there = next(rows)
        seconds[i, :count] = np.where(there[:count], row[:count], np.nan)
    if np.isnan(seconds[:, 0]).any():
        raise UsageError(f"device '{device}' cannot run a unit of this network as it is; take another device")
    prices = Prices(seconds, float(cost.constant_s), device, found.note)  # type: ignore[attr-defined]
    prices = replace(prices, note=f"{prices.note}; accuracies are in floating point")
    assert found.part is not None  # a table is not priced here
    return prices, OnPart(quantised, found.part, family("subgraph").config(found.config))
