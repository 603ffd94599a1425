"""One pass over calibration images in floating point: the histogram of every tensor that will be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cofront.network import Network, Node
from cofront.network.pytorch import NetworkModule, to_torch
from cofront.task.kernels import Grid
from cofront.task.quantise.histogram import Histogram
from cofront.task.quantise.inputs import PIXELS, bare, check_grid, check_images, check_weights, pixels_of
from cofront.task.quantise.steps import steps_of, stored_of

_BATCH = 16


@dataclass(frozen=True)
class Ranges:
    """Histograms of tensors by name, from so many images; `pixels` is the grid of the input."""

    histograms: Mapping[str, Histogram]
    images: int
    pixels: Grid


class Watched(NetworkModule):
    """A network in floating point that shows its tensors, by name, while it runs."""

    def watch(self, x: torch.Tensor, see: Callable[[str, torch.Tensor], None]) -> torch.Tensor:
        """Logits of real inputs (n, c, h, w); `see` is called with each node's name and output."""
        values = {self.network.input.name: x}
        for node in self.network.nodes[1:]:
            values[node.name] = self._compute(node, [values[i] for i in node.inputs])
            see(node.name, values[node.name])
            for dead in self._drop.get(node.name, ()):
                del values[dead]
        return values[self.network.output.name]

    def node(self, node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
        """One node's output."""
        return self._compute(node, inputs)


def watched(network: Network, weights: Mapping[str, npt.NDArray[np.float32]]) -> Watched:
    """The float network with its weights, in eval mode."""
    plain = bare(network)
    module = Watched(plain)
    module.load_state_dict(to_torch(plain, weights).state_dict())
    return module.eval().requires_grad_(False)


@torch.inference_mode()
def observe(
    network: Network,
    weights: Mapping[str, npt.NDArray[np.float32]] | None,
    images: npt.NDArray[np.uint8],
    pixels: Grid = PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> Ranges:
    """The ranges of a trained network on uint8 images (n, h, w, c); `progress` is told (images done, all).

    InputError for fewer than 16 images, images that do not fit, or missing weights.
    """
    known = check_weights(network, weights)
    images, pixels = check_images(network, images), check_grid(pixels)
    wanted = {name: Histogram() for name, origin in stored_of(network).items() if name == origin}
    del wanted[network.input.name]
    for step in steps_of(network):
        if step.output == network.output.name and step.kind == "layer":
            wanted.pop(step.output, None)  # logits are not stored on a grid
    module = watched(network, known)

    def see(name: str, value: torch.Tensor) -> None:
        if name in wanted:
            wanted[name].add(value)

    for i in range(0, len(images), _BATCH):
        x = (pixels_of(images[i : i + _BATCH], network) - pixels.zero) * pixels.scale
        module.watch(x, see)
        if progress is not None:
            progress(min(i + _BATCH, len(images)), len(images))
    return Ranges(wanted, len(images), pixels)
