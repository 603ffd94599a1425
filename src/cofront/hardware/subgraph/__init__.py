"""The subgraph dataflow accelerator of HAO, in our reconstruction: chains of conv, depthwise and pointwise kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cofront.device import Device
from cofront.hardware.base import Cost, KernelRow, RooflinePoint
from cofront.hardware.subgraph.calls import Call, Stage
from cofront.hardware.subgraph.config import Config, KernelConfig
from cofront.hardware.subgraph.estimate import default_config, estimate
from cofront.hardware.subgraph.grid import Grid
from cofront.hardware.subgraph.lowering import lower
from cofront.hardware.subgraph.roofline import breakdown, roofline
from cofront.hardware.subgraph.scalar import cost, resources
from cofront.network import Network

if TYPE_CHECKING:
    from cofront.hardware.subgraph.tables import codesign_problem, config_of, engines, network_problem
    from cofront.problem import CodesignProblem, Engine
    from cofront.space.base import Layered


class Subgraph:
    """The family as a plug-in (`cofront.hardware.base.Accelerator`)."""

    name = "subgraph"

    def config(self, data: Any, clock_hz: float | None = None) -> Config:
        return Config.from_dict(data, clock_hz)

    def estimate(self, network: Network, device: Device, config: Any = None, *, clock_hz: float | None = None) -> Cost:
        return estimate(network, device, config, clock_hz=clock_hz)

    def network_problem(
        self, network: Network, device: Device, grid: Any = "coarse", *, clock_hz: float | None = None
    ) -> CodesignProblem:
        from cofront.hardware.subgraph.tables import network_problem

        return network_problem(network, device, grid, clock_hz=clock_hz)

    def codesign_problem(
        self, layered: Layered, device: Device, edge_score: Any, *, grid: Any = "coarse", clock_hz: float | None = None
    ) -> CodesignProblem:
        from cofront.hardware.subgraph.tables import codesign_problem

        return codesign_problem(layered, device, edge_score, grid=grid, clock_hz=clock_hz)

    def config_of(self, problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Config:
        from cofront.hardware.subgraph.tables import config_of

        return config_of(problem, engine, chosen)

    def breakdown(self, cost: Cost) -> tuple[KernelRow, ...]:
        return breakdown(cost)

    def roofline(self, cost: Cost, device: Device) -> tuple[RooflinePoint, ...]:
        return roofline(cost, device)


SUBGRAPH = Subgraph()

__all__ = [
    "SUBGRAPH",
    "Call",
    "Config",
    "Grid",
    "KernelConfig",
    "Stage",
    "Subgraph",
    "codesign_problem",
    "config_of",
    "cost",
    "default_config",
    "engines",
    "estimate",
    "lower",
    "network_problem",
    "resources",
]


def __getattr__(name: str) -> Any:
    # what works on arrays comes when it is asked for: `estimate` needs no NumPy
    if name not in ("codesign_problem", "config_of", "engines", "network_problem"):
        raise AttributeError(f"module 'cofront.hardware.subgraph' has no attribute '{name}'")
    from cofront.hardware.subgraph import tables

    return getattr(tables, name)
