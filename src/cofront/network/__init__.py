"""What is computed: layers, shapes, multiply-accumulates, the graph; published nets; PyTorch, ONNX and QONNX."""

from cofront.network.graph import Builder, Network, Node, stack
from cofront.network.ops import (
    Activation,
    Add,
    AdderConv2d,
    ChannelShuffle,
    Concat,
    Conv2d,
    Convolution,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Mul,
    Op,
    Pool2d,
    Shape,
    ShiftConv2d,
)

__all__ = [
    "Activation",
    "Add",
    "AdderConv2d",
    "Builder",
    "ChannelShuffle",
    "Concat",
    "Conv2d",
    "Convolution",
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
    "ShiftConv2d",
    "stack",
]
