"""A quantised network in real terms: the integers of its weights and the grid of each tensor.

From it come the simulation in floats, the integer network, and what training starts with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from cofront.network import Network
from cofront.task.kernels import Grid
from cofront.task.quantise.steps import Step


@dataclass(frozen=True)
class LayerSetting:
    """Integers (cout, ...) as floats, their scales (cout,), the real bias (cout,), and the bits of the weights."""

    codes: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor
    bits: int

    def real(self) -> torch.Tensor:
        """The weights that the integers stand for."""
        return self.codes * self.scale.view(-1, *[1] * (self.codes.dim() - 1))


@dataclass(frozen=True)
class Setting:
    """A network with bit-widths, its steps, `layers` by node, `stored` grids by tensor, `read` grids by layer.

    `read` has the layers that multiply fewer bits than are stored. `pixels` is the grid of the input.
    """

    network: Network
    steps: tuple[Step, ...]
    layers: Mapping[str, LayerSetting]
    stored: Mapping[str, Grid]
    read: Mapping[str, Grid]
    pixels: Grid

    def grid(self, tensor: str) -> Grid:
        """The grid that a tensor is stored on."""
        return self.stored[tensor]

    def multiplied(self, step: Step) -> Grid:
        """The grid of what a layer multiplies."""
        return self.read.get(step.node.name, self.stored[step.sources[0]])

    def logits(self, step: Step) -> bool:
        """Whether a layer's output is the network's, and so neither rounded nor clamped."""
        plain = step.kind == "layer" and step.residual is None and step.act is None
        return plain and step.output == self.network.output.name
