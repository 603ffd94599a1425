"""The subgraph dataflow accelerator of HAO, in our reconstruction: chains of conv, depthwise and pointwise kernels."""

from cofront.hardware.subgraph.calls import Call, Stage
from cofront.hardware.subgraph.config import Config, KernelConfig
from cofront.hardware.subgraph.grid import Grid
from cofront.hardware.subgraph.lowering import lower
from cofront.hardware.subgraph.tables import codesign_problem, config_of, engines, network_problem

__all__ = [
    "Call",
    "Config",
    "Grid",
    "KernelConfig",
    "Stage",
    "codesign_problem",
    "config_of",
    "engines",
    "lower",
    "network_problem",
]
