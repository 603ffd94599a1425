"""Work: one layer as the loops that an array runs, and a network as a list of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UnsupportedError
from cofront.hardware.nasa.units import Kind
from cofront.network import (
    Activation,
    Add,
    AdderConv2d,
    ChannelShuffle,
    Conv2d,
    Convolution,
    Flatten,
    GlobalPool,
    Linear,
    Network,
    Node,
    Op,
    ShiftConv2d,
)

#: Whole numbers, or arrays of them: a mapper asks about many tiles at once.
Sizes = Any

_KINDS: dict[type[Op], Kind] = {Conv2d: "conv", Linear: "conv", ShiftConv2d: "shift", AdderConv2d: "adder"}


@dataclass(frozen=True)
class Work:
    """The loops of one layer, `repeats` times over (the groups of a grouped convolution).

    `m` output and `c` input channels, `kernel` (rows, columns), `p` x `q` output pixels; `depthwise`: c is 1, and every
    output channel has an input channel of its own. Sizes in bytes per element; `top` is the padding above.
    """

    kind: Kind
    m: int
    c: int
    kernel: tuple[int, int]
    p: int
    q: int
    in_rows: int
    in_columns: int
    stride: int = 1
    top: int = 0
    repeats: int = 1
    depthwise: bool = False
    weight_bytes: float = 1.0
    in_bytes: float = 1.0
    out_bytes: float = 1.0

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def operations(self) -> int:
        """Products, shifts or differences."""
        return self.repeats * self.m * self.c * self.taps * self.p * self.q

    def rows_of(self, tile: Sizes) -> Sizes:
        """Most input rows that `tile` output rows need."""
        return np.minimum((tile - 1) * self.stride + self.kernel[0], self.in_rows)

    @cached_property
    def rows_read(self) -> NDArray[np.int64]:
        """(p + 1,) by rows of a tile: input rows of all tiles together. Rows that two tiles share count twice."""
        out = np.zeros(self.p + 1, np.int64)
        for tile in range(1, self.p + 1):
            first = np.arange(0, self.p, tile)
            last = np.minimum(first + tile, self.p) - 1
            low = np.maximum(first * self.stride - self.top, 0)
            high = np.minimum(last * self.stride - self.top + self.kernel[0], self.in_rows)
            out[tile] = np.maximum(high - low, 0).sum()
        return out


@dataclass(frozen=True)
class Layer:
    """A layer of a network: its work, the nodes that end in it, and bytes that these read besides."""

    name: str
    nodes: tuple[str, ...]
    work: Work
    extra_bytes: int = 0

    @cached_property
    def kind(self) -> Kind:
        return self.work.kind


def _work(network: Network, node: Node) -> Work:
    op = node.op
    kind = _KINDS[type(op)]
    # what no bits are said of counts as 8
    size = (node.weight_bits or 8) / 8, (node.in_bits or 8) / 8, (node.out_bits or 8) / 8
    shape = network.in_shapes(node)[0]
    if isinstance(op, Linear):
        return Work(kind, op.out_features, shape[0], (1, 1), 1, 1, 1, 1, 1, 0, 1, False, *size)
    assert isinstance(op, Convolution)
    if op.stride[0] != op.stride[1] or op.dilation != (1, 1):
        raise UnsupportedError(f"node '{node.name}': the arrays have square strides and no dilation")
    channels, height, width = shape
    _, p, q = network.shapes[node.name]
    depthwise = op.is_depthwise(channels)
    groups = 1 if depthwise else op.groups
    return Work(
        kind, op.out_channels // groups, 1 if depthwise else channels // groups, op.kernel, p, q, height, width,
        op.stride[0], op.padding[0], groups, depthwise, *size,
    )  # fmt: skip


def layers_of(network: Network) -> tuple[Layer, ...]:
    """The layers in order. Activations, sums, pools and shuffles belong to the layer before; sums read an operand more.

    UnsupportedError names what no array runs.
    """
    owner = {network.input.name: -1}  # number of the layer that a tensor ends
    nodes: list[list[str]] = []
    extra: list[int] = []
    for node in network.nodes[1:]:
        if type(node.op) in _KINDS:
            nodes.append([node.name])
            extra.append(0)
            owner[node.name] = len(nodes) - 1
            continue
        if not isinstance(node.op, Activation | Add | GlobalPool | Flatten | ChannelShuffle):
            raise UnsupportedError(f"node '{node.name}': no array runs {type(node.op).__name__}")
        last = max(owner[i] for i in node.inputs)
        if last < 0:
            raise UnsupportedError(f"node '{node.name}': nothing runs before the first layer")
        owner[node.name] = last
        nodes[last].append(node.name)
        if isinstance(node.op, Add):
            extra[last] += sum(math.prod(network.shapes[i]) for i in node.inputs[:-1])
    works = [_work(network, network.by_name[own[0]]) for own in nodes]
    return tuple(Layer(own[0], tuple(own), w, more) for own, w, more in zip(nodes, works, extra, strict=True))
