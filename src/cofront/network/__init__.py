"""What is computed: layers, shapes, multiply-accumulates, the graph; published nets; PyTorch, ONNX and QONNX."""

from cofront.network.graph import Builder, Network, Node, stack
from cofront.network.ops import (
    Activation,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Mul,
    Op,
    Pool2d,
    Shape,
)

__all__ = [
    "Activation",
    "Add",
    "Builder",
    "ChannelShuffle",
    "Concat",
    "Conv2d",
    "Flatten",
    "GlobalPool",
    "Input",
    "Linear",
    "Mul",
    "Network",
    "Node",
    "Op",
    "Pool2d",
    "Shape",
    "stack",
]
