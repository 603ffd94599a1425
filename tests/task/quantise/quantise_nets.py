"""Beginnings of networks, and images, that several tests quantise."""

import numpy as np
import torch

from cofront.network import Builder, Network
from cofront.network.weights import Weights, random_weights
from cofront.task.quantise import QuantModule, Rules
from cofront.task.quantise.observe import observe, watched


def noise(n: int, side: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def patches(n: int, size: int = 2, seed: int = 0) -> np.ndarray:
    """4 x 4 patches of `size` pixels a side."""
    found = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3))
    return np.repeat(np.repeat(found, size, 1), size, 2).astype(np.uint8)


def separable(b: Builder) -> str:
    """A stem and a separable convolution, with a sum across it, whose name it is."""
    b.conv(8, 3, act="relu", name="stem")
    x = b.last
    b.depthwise(3, act="relu6", name="dw")
    b.conv(8, 1, name="project")
    return b.sum("project", x, name="sum")


def bottleneck(b: Builder, clamp: str = "relu") -> None:
    """A stem and an inverted bottleneck with a sum; `clamp` is what its wide tensor ends in."""
    b.conv(8, 3, act="relu", name="stem")
    x = b.last
    b.conv(16, 1, act=clamp, name="expand")  # type: ignore[arg-type]
    b.depthwise(3, act="relu", name="dw")
    b.conv(8, 1, name="project")
    b.sum("project", x, name="sum")


def learnable() -> tuple[Network, Weights]:
    """A network of six layers whose outputs are of every class on `patches`."""
    b = Builder("n", (3, 8, 8))
    bottleneck(b, "relu6")
    b.pool("max", 2, 2, name="half")
    b.classifier(5)
    network = b.build()
    weights = random_weights(network, np.random.default_rng(4))
    x = (torch.from_numpy(patches(256, seed=1)).permute(0, 3, 1, 2).float() - 128) / 64
    weights["classifier.bias"] -= watched(network, weights)(x).mean(0).numpy()
    return network, weights


def module_of(made: tuple[Network, Weights], bits: tuple[int, int]) -> QuantModule:
    """Of every layer the same bits."""
    network, weights = made
    module = QuantModule(network, weights, observe(network, weights, patches(64)), Rules("max", "mse"))
    module.set_bits({n.name: bits for n in network.layers})
    return module
