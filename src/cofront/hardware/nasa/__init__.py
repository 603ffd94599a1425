"""The chunk-based accelerator of NASA [NASA22], in our reconstruction: one array each that multiplies, shifts and adds.

Nothing of it is released. The mapper's space, the buffer's shares and the unit costs' composition are ours.
"""

from __future__ import annotations

from typing import Any

from cofront.hardware.base import Cost
from cofront.hardware.nasa.chunks import Config, Silicon, allocate, operations
from cofront.hardware.nasa.estimate import Evaluation, Run, evaluate_network
from cofront.hardware.nasa.mapper import best_mapping
from cofront.hardware.nasa.mapping import Chunk, Mapped, Mapping
from cofront.hardware.nasa.units import Units, load_units
from cofront.hardware.nasa.work import Layer, Work, layers_of
from cofront.network import Network


class Nasa:
    """The family. Its chips are silicon at 45 nm, not FPGA parts: so it is no `Accelerator` of the registry yet."""

    name = "nasa"

    def config(self, data: Any) -> Config:
        return Config.from_dict(data)

    def estimate(self, network: Network, silicon: Silicon | None = None, config: Config | None = None) -> Cost:
        """The cost of one network, one image alone; without a configuration the area is shared by operations."""
        return evaluate_network(network, config, silicon).cost()


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
