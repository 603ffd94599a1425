"""Beginnings of networks, and images, that several tests quantise."""

import numpy as np

from cofront.network import Builder


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
