"""Float inference in plain NumPy: the definition of what a Network computes, which every exporter is compared with.

Letters: n samples, c channels, h height, w width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.network.graph import Network, Node
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
    Linear,
    Mul,
    Padding,
    Pair,
    Pool2d,
    ShiftConv2d,
)
from cofront.network.shift_adder import WEIGHT_BITS, adder, power_of_two

Array = NDArray[np.float32]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hswish": lambda x: x * _hsigmoid(x),
    "hsigmoid": lambda x: _hsigmoid(x),
    "sigmoid": lambda x: _sigmoid(x),
    "silu": lambda x: x * _sigmoid(x),
}


def _hsigmoid(x: Array) -> Array:
    return np.asarray(np.clip(x + 3, 0, 6) / 6, dtype=x.dtype)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=x.dtype)  # does not overflow


def windows(x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1), fill: float = 0) -> Array:
    """A view of the padded input, (n, c, h_out, w_out, kernel_h, kernel_w)."""
    top, left, bottom, right = padding
    if any(padding):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    view = sliding_window_view(x, span, axis=(2, 3))
    return np.asarray(view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]])


def _conv(op: Convolution, x: Array, weight: Array) -> Array:
    n, c = x.shape[:2]
    if op.is_depthwise(c):
        patches = windows(x, op.kernel, op.stride, op.padding, op.dilation)
        taps = weight[:, 0, :, :]
        out = np.zeros(patches.shape[:4], dtype=x.dtype)
        for i in range(op.kernel[0]):
            for j in range(op.kernel[1]):
                out += patches[..., i, j] * taps[:, i, j, None, None]
        return out
    per_in, per_out = c // op.groups, op.out_channels // op.groups
    parts = []
    for g in range(op.groups):
        patches = windows(x[:, g * per_in : (g + 1) * per_in], op.kernel, op.stride, op.padding, op.dilation)
        h, w = patches.shape[2:4]
        columns = patches.transpose(0, 1, 4, 5, 2, 3).reshape(n, -1, h * w)  # im2col
        matrix = weight[g * per_out : (g + 1) * per_out].reshape(per_out, -1)
        parts.append((matrix @ columns).reshape(n, per_out, h, w))
    return np.concatenate(parts, axis=1)


def _adder(op: AdderConv2d, x: Array, weight: Array) -> Array:
    per_in, per_out = x.shape[1] // op.groups, op.out_channels // op.groups
    patches = windows(x, op.kernel, op.stride, op.padding, op.dilation)
    parts = [
        adder(patches[:, g * per_in : (g + 1) * per_in], weight[g * per_out : (g + 1) * per_out])
        for g in range(op.groups)
    ]
    return np.concatenate(parts, axis=1)


def _scaled(name: str, y: Array, weights: Mapping[str, Array]) -> Array:
    """What a batch norm that could not be folded has left: a scale and an offset per channel."""
    scale, bias = weights.get(f"{name}.scale"), weights.get(f"{name}.bias")
    y = y if scale is None else y * scale[:, None, None]
    return y if bias is None else y + bias[:, None, None]


def _pool(op: Pool2d, x: Array, out_hw: Pair) -> Array:
    top, left, bottom, right = op.padding
    h, w = x.shape[2:]
    # ceil mode lets the last window hang over the edge; what hangs over is never counted in an average.
    over_h = max(0, (out_hw[0] - 1) * op.stride[0] + op.kernel[0] - (h + top + bottom))
    over_w = max(0, (out_hw[1] - 1) * op.stride[1] + op.kernel[1] - (w + left + right))
    sides = (top, left, bottom + over_h, right + over_w)
    crop = (slice(None), slice(None), slice(out_hw[0]), slice(out_hw[1]))
    if op.kind == "max":
        return np.asarray(windows(x, op.kernel, op.stride, sides, fill=-np.inf)[crop].max(axis=(4, 5)))
    total = windows(x, op.kernel, op.stride, sides)[crop].sum(axis=(4, 5))
    ones = np.ones((1, 1, h, w), dtype=x.dtype)
    if op.count_include_pad:
        ones = np.pad(ones, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=1)
        sides = (0, 0, over_h, over_w)
    return np.asarray(total / windows(ones, op.kernel, op.stride, sides)[crop].sum(axis=(4, 5)))


def apply(node: Node, inputs: tuple[Array, ...], weights: Mapping[str, Array], out_shape: tuple[int, ...]) -> Array:
    """One node's output (n, *out_shape) from its inputs (n, *shape)."""
    op, x = node.op, inputs[0]
    match op:
        case Conv2d():
            y = _conv(op, x, weights[f"{node.name}.weight"])
            bias = weights.get(f"{node.name}.bias")
            return y if bias is None else y + bias[:, None, None]
        case ShiftConv2d():
            powers = power_of_two(weights[f"{node.name}.weight"], node.weight_bits or WEIGHT_BITS)
            return _scaled(node.name, _conv(op, x, powers), weights)
        case AdderConv2d():
            return _scaled(node.name, _adder(op, x, weights[f"{node.name}.weight"]), weights)
        case Linear():
            y = x @ weights[f"{node.name}.weight"].T
            bias = weights.get(f"{node.name}.bias")
            return y if bias is None else y + bias
        case Pool2d():
            return _pool(op, x, (out_shape[1], out_shape[2]))
        case GlobalPool():
            return np.asarray(x.mean(axis=(2, 3), keepdims=True))
        case Activation():
            return ACTIVATIONS[op.kind](x)
        case Add():
            return reduce(np.add, inputs)
        case Mul():
            return reduce(np.multiply, inputs)
        case Concat():
            return np.concatenate(inputs, axis=1)
        case ChannelShuffle():
            n, c, h, w = x.shape
            return x.reshape(n, op.groups, c // op.groups, h, w).swapaxes(1, 2).reshape(n, c, h, w)
        case Flatten():
            return x.reshape(len(x), math.prod(x.shape[1:]))
    raise InputError(f"node '{node.name}': the reference has no rule for {type(op).__name__}")


def run_all(network: Network, weights: Mapping[str, Array], x: Array) -> dict[str, Array]:
    """Every node's output by name, each (n, *shape); `x` is (n, *input shape)."""
    want = network.input.op.out_shape(())
    if x.ndim != len(want) + 1 or x.shape[1:] != want:
        raise InputError(
            f"network '{network.name}' takes inputs of shape (n, {', '.join(map(str, want))}), got {x.shape}"
        )
    values: dict[str, Array] = {network.input.name: np.asarray(x, dtype=np.float32)}
    for node in network.nodes[1:]:
        values[node.name] = apply(node, tuple(values[i] for i in node.inputs), weights, network.shapes[node.name])
    return values


def run(network: Network, weights: Mapping[str, Array], x: Array) -> Array:
    """The network's output (n, *output shape) for `x` (n, *input shape)."""
    return run_all(network, weights, x)[network.output.name]
