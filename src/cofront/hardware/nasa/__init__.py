"""The chunk-based accelerator of NASA [NASA22], in our reconstruction: one array each that multiplies, shifts and adds.

Nothing of it is released. The mapper's space, the buffer's shares and the unit costs' composition are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cofront.errors import UsageError
from cofront.hardware.base import Cost, KernelRow, RooflinePoint
from cofront.hardware.nasa.chunks import Config, Silicon, allocate, operations
from cofront.hardware.nasa.estimate import Evaluation, Run, evaluate_network
from cofront.hardware.nasa.mapper import best_mapping
from cofront.hardware.nasa.mapping import Chunk, Mapped, Mapping
from cofront.hardware.nasa.units import Units, load_units
from cofront.hardware.nasa.work import Layer, Work, layers_of
from cofront.network import Network

if TYPE_CHECKING:
    from cofront.problem import CodesignProblem, Engine
    from cofront.space.base import Layered


def _silicon(device: Any) -> Silicon:
    if isinstance(device, Silicon):
        return device
    raise UsageError(
        f"accelerator 'nasa' is a chip, not a design for an FPGA such as '{getattr(device, 'name', device)}': "
        "give it a cofront.hardware.nasa.Silicon"
    )


class Nasa:
    """The family as a plug-in (`cofront.hardware.base.Accelerator`); its devices are `Silicon`."""

    name = "nasa"

    def config(self, data: Any, clock_hz: float | None = None) -> Config:
        return Config.from_dict(data, clock_hz)

    def estimate(self, network: Network, device: Any, config: Any = None, *, clock_hz: float | None = None) -> Cost:
        """One image alone. Without a configuration the area is shared by operations."""
        silicon = _silicon(device)
        if config is None:
            config = allocate(operations(layers_of(network)), silicon, load_units(), clock_hz)
        clock = silicon.clock(config.clock_hz if clock_hz is None else clock_hz)
        return evaluate_network(network, replace(config, clock_hz=clock), silicon).cost()

    def network_problem(
        self, network: Network, device: Any, grid: Any = "coarse", *, clock_hz: float | None = None
    ) -> CodesignProblem:
        from cofront.hardware.nasa.tables import network_problem

        return network_problem(network, _silicon(device), grid, clock_hz=clock_hz)

    def codesign_problem(
        self, layered: Layered, device: Any, edge_score: Any, *, grid: Any = "coarse", clock_hz: float | None = None
    ) -> CodesignProblem:
        from cofront.hardware.nasa.tables import codesign_problem

        return codesign_problem(layered, _silicon(device), edge_score, which=grid, clock_hz=clock_hz)

    def config_of(self, problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Config:
        from cofront.hardware.nasa.tables import config_of

        return config_of(problem, engine, chosen)

    def breakdown(self, cost: Cost) -> tuple[KernelRow, ...]:
        config = cost.config
        return tuple(
            KernelRow(
                c.name, c.mode, c.bound, array, busy, c.cycles, c.macs, config[array] * c.cycles,
                c.cycles / cost.cycles if cost.cycles else 0.0,
            )
            for c in cost.calls
            for array, busy in c.kernels.items()
        )  # fmt: skip

    def roofline(self, cost: Cost, device: Any) -> tuple[RooflinePoint, ...]:
        speed = _silicon(device).dram_bytes_per_s
        points = []
        for row, call in zip(self.breakdown(cost), cost.calls, strict=True):
            peak = cost.config[row.kernel] * cost.clock_hz
            intensity = call.macs / call.bytes_moved
            points.append(
                RooflinePoint(
                    call.name, intensity, call.macs * cost.clock_hz / call.cycles, min(peak, intensity * speed), peak,
                    speed, call.bound,
                )
            )  # fmt: skip
        return tuple(points)


NASA = Nasa()

__all__ = [
    "NASA",
    "Chunk",
    "Config",
    "Evaluation",
    "Layer",
    "Mapped",
    "Mapping",
    "Nasa",
    "Run",
    "Silicon",
    "Units",
    "Work",
    "allocate",
    "best_mapping",
    "evaluate_network",
    "layers_of",
    "load_units",
    "operations",
]
