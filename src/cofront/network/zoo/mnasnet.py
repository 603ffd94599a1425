"""MnasNet-B1: the network without squeeze-excite [MnasNet]."""

from __future__ import annotations

from cofront.network.graph import Builder, Network
from cofront.network.zoo.units import inverted_residual

#: kernel, expansion, channels, repeats, stride of the first repeat
B1_STAGES = (
    (3, 3, 24, 3, 2),
    (5, 3, 40, 3, 2),
    (5, 6, 80, 3, 2),
    (3, 6, 96, 2, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)


def mnasnet_b1(classes: int = 1000, resolution: int = 224) -> Network:
    """MnasNet-B1 at depth multiplier 1."""
    b = Builder("mnasnet-b1", (3, resolution, resolution))
    b.block = "stem"
    b.conv(32, 3, 2, act="relu", name="stem")
    inverted_residual(b, "b1", 16, 3, 1, 32, "relu")
    index = 1
    for kernel, expand, channels, repeats, stride in B1_STAGES:
        for i in range(repeats):
            index += 1
            hidden = expand * b.shape()[0]
            inverted_residual(b, f"b{index}", channels, kernel, stride if i == 0 else 1, hidden, "relu")
    b.block = "head"
    b.conv(1280, 1, act="relu", name="head")
    b.block = "classifier"
    b.classifier(classes)
    return b.build()
