"""A device as differentiable search sees it: a table, this machine measured, an FPGA part, or a chip of NASA's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.files import is_table, need_file
from cofront.api.parts import load_device
from cofront.api.tabled import check_part, is_known, is_measured
from cofront.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.network import Network
    from cofront.problem import IntArray
    from cofront.search.gradient.choices import Layers
    from cofront.search.gradient.cost import CostModel
    from cofront.space.base import Layered, Space

#: NASA's chip, by the technology that its unit costs are of.
CHIP = "45nm"


@dataclass(frozen=True)
class Priced:
    """A cost, where its latencies come from in words, and the FPGA accelerator that it is of (None: another device).

    Without a gradient of its own (`differentiable`), a search needs a model that is learnt of it.
    """

    cost: CostModel
    note: str
    part: Device | None = None
    config: dict[str, Any] | None = None
    differentiable: bool = True


def priced(
    space: Space, layers: Layers, layered: Layered | None, device: str, column: str | None, clock_hz: float | None
) -> Priced:
    """The differentiable cost of a space's networks on a device; a UsageError where there is none."""
    from cofront.space.darts import Darts
    from cofront.space.nasa import Nasa

    measured = is_table(device) or is_known(device, space.name)
    if column is not None and not is_table(device):
        raise UsageError(f"--column {column} is a column of a table; --device {device} is none")
    if clock_hz is not None and (measured or device == CHIP or isinstance(space, Darts)):
        raise UsageError("--clock is for the subgraph accelerator on an FPGA part; leave it out here")
    if device == CHIP:
        return _chip(space, layers, layered)
    if measured:
        return _table(space, layers, layered, device, column)
    if is_measured(device, space.name):
        raise UsageError(
            f"--device {device}: measure it first, `cofront measure --space {space.name} --device {device} --out "
            "host.parquet`, and name the table: --device host.parquet"
        )
    check_part(device, space.name)
    part = load_device(device)
    if isinstance(space, Darts):
        return _cells(space, layers, part)
    if isinstance(space, Nasa) and space.which != "only_conv":
        raise UnsupportedError(
            f"space '{space.name}' has shifts or adders, which no accelerator on an FPGA has here: take --device {CHIP}"
        )
    assert layered is not None
    return _subgraph(layers, layered, part, clock_hz)


def _table(space: Space, layers: Layers, layered: Layered | None, device: str, column: str | None) -> Priced:
    from cofront.measure.estimate import KnownModel, load_model
    from cofront.predict.devices import shipped
    from cofront.search.gradient.cost import AdditiveCost

    if layered is None:
        raise UnsupportedError(f"space '{space.name}' is no chain of layers: tables of operators do not add up to it")
    if is_table(device):
        need_file(Path(device), "a table, as `cofront measure` writes it")
        model: Any = load_model(Path(device), column=column, space=space, any_magnitude=False)
    else:
        model = KnownModel(space, shipped(space.name), device)
    nanoseconds, base = model.edge_cost(space, layered)
    cost = AdditiveCost.of_edges(layers, np.asarray(nanoseconds * 1e-9, float), base * 1e-9, model.name)
    return Priced(cost, model.words)


def medians(layers: Layers, layered: Layered) -> IntArray:
    """(l,) every layer's option of median multiply-accumulates: the network that an accelerator is sized for."""
    each = layered.per_edge([f.macs for f in layered.fragments])
    choice = []
    for mask, edges in zip(layers.mask, layers.edges, strict=True):
        options = np.flatnonzero(mask)
        choice.append(options[np.argsort(each[edges[options]], kind="stable")][len(options) // 2])
    return np.array(choice, np.int64)


def middle(layers: Layers, layered: Layered) -> Network:
    """The network of those options."""
    return layers.space.network(layers.points(medians(layers, layered))[0])


def _subgraph(layers: Layers, layered: Layered, part: Device, clock_hz: float | None) -> Priced:
    from cofront.api.costing import family
    from cofront.search.exact.fit import fit
    from cofront.search.gradient.cost import AdditiveCost

    kind = family("subgraph")
    whole = kind.codesign_problem(layered, part, np.zeros(layered.trellis.n_edges, np.int64), clock_hz=clock_hz)
    path = [*layers.fixed, *layers.edges[np.arange(len(layers.layers)), medians(layers, layered)]]
    found = fit(whole.select(np.array(path)))
    if found.status == "infeasible":
        why = found.infeasible[0]
        raise UsageError(
            f"device '{part.name}': no accelerator fits a middle network of the space ({why.limit}); take a larger part"
        )
    engine = next(e for e in whole.engines if e.name == found.engine)
    rows = engine.row_latency(tuple(found.chosen))
    trellis = whole.trellis
    cycles = np.array(
        [int(rows[trellis.rows[a:b]].sum()) for a, b in zip(trellis.row_ptr, trellis.row_ptr[1:], strict=False)]
    )
    config = kind.config_of(whole, engine, found.chosen)
    cost = AdditiveCost.of_cycles(layers, cycles, whole.clock_hz, part.name)
    note = (
        f"cycles of the subgraph accelerator that is fastest for a middle network of the space on {part.name}, at W8A8 "
        f"and {whole.clock_hz / 1e6:g} MHz"
    )
    return Priced(cost, note, part, {**config.to_dict(), "clock_hz": whole.clock_hz})


def _chip(space: Space, layers: Layers, layered: Layered | None) -> Priced:
    from cofront.hardware.nasa import Silicon, allocate, layers_of, load_units, operations
    from cofront.space.nasa import Nasa
    from cofront.systems.nasa import chip_cost

    if not isinstance(space, Nasa) or layered is None:
        raise UsageError(f"--device {CHIP} is the chip of NASA's spaces, not for '{space.name}'")
    silicon, units = Silicon(), load_units()
    network = middle(layers, layered)
    config = allocate(operations(layers_of(network)), silicon, units)
    cost = chip_cost(layers, layered, config, silicon, units)
    return Priced(
        cost, f"one image alone on {config}, shared by the operations of a middle network, each layer mapped best"
    )


def _cells(space: Any, layers: Layers, part: Device) -> Priced:
    from cofront.systems.eh_dnas import Labeller

    return Priced(
        _Cells(layers, Labeller.of(space), part),
        f"the end-to-end model of one array that all layers share, of the best shape, on {part.name}",
        differentiable=False,
    )


class _Cells:
    """Seconds between images of DARTS's cells on the generic paradigm: asked, not differentiated."""

    note = ""

    def __init__(self, layers: Any, labeller: Any, part: Device) -> None:
        self.layers, self.labeller, self.part, self.name = layers, labeller, part, part.name
        seconds = self.of(layers.space.sample(np.random.default_rng(0), 2000))
        self._bounds = float(seconds.min()), float(seconds.max())

    def expected(self, encoding: Any) -> Any:
        raise UsageError(f"device '{self.name}' has no differentiable cost of cells: learn its throughput first")

    def of(self, choices: Any) -> Any:
        return 1.0 / self.labeller.images_per_s(np.atleast_2d(choices), "generic", self.part)

    def bounds(self) -> tuple[float, float]:
        """Of 2,000 random networks."""
        return self._bounds
