"""From a trained network with convolution, shift and adder layers to its integers, after training.

Each tensor's scale is its greatest magnitude over some images in floats, so nothing is learnt: ours, and simple. Each
convolution takes in the activation or the addition behind it. Without PyTorch: weights come folded
(`cofront.network.pytorch.fold_batchnorm`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError, UnsupportedError
from cofront.network import Activation, Add, AdderConv2d, Flatten, GlobalPool, Linear, Network, Node, ShiftConv2d
from cofront.network.reference import run_all
from cofront.network.shift_adder import shift_codes
from cofront.network.weights import validate
from cofront.task import shift_adder
from cofront.task.gains import fixed_gains
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual
from cofront.task.resize import INPUT_SCALE, INPUT_ZERO, resize_images

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[Any]

#: More bits of the logits than their accumulators have, so that their common scale costs nothing.
LOGIT_BITS = 6
_RELUS = ("relu",)


@dataclass(frozen=True)
class _Grid:
    """real = scale * (q - zero), q of 8 bits."""

    scale: float
    zero: int

    @property
    def most(self) -> int:
        return max(self.zero, 255 - self.zero)


def real_inputs(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.float32]:
    """uint8 images (n, h, w, c) as the real inputs (n, c, side, side) that they stand for."""
    q = resize_images(images, side).transpose(0, 3, 1, 2)
    return ((q.astype(np.float32) - INPUT_ZERO) * INPUT_SCALE).astype(np.float32)


def quantise(
    network: Network,
    weights: Mapping[str, npt.NDArray[np.float32]],
    images: npt.NDArray[np.uint8],
    meta: Mapping[str, Any] | None = None,
) -> QuantizedNetwork:
    """The integers of a network with bit-widths; `images` (n, h, w, c) set the scales."""
    weights = validate(network, weights)
    wide = [n.name for n in network.layers if not n.weight_bits or n.in_bits != 8]
    if wide:
        raise UnsupportedError(f"'{wide[0]}': layers here have weights of known bits and read 8 bits")
    values = run_all(network, weights, real_inputs(images, network.input.op.out_shape(())[1]))
    grids = {network.input.name: _Grid(INPUT_SCALE, INPUT_ZERO)}
    layers: dict[str, QuantizedLayer] = {}
    pools: dict[str, Rescale] = {}
    for node in network.nodes[1:]:
        if isinstance(node.op, GlobalPool):
            read, grids[node.name] = grids[node.inputs[0]], _grid(values[node.name], signed=True)
            area = math.prod(network.in_shapes(node)[0][1:])
            (m,), shift = _fixed(np.array([read.scale / area / grids[node.name].scale]), node.name)
            pools[node.name] = Rescale(int(m), shift, read.zero, grids[node.name].zero, 8)
        elif isinstance(node.op, Flatten):
            grids[node.name] = grids[node.inputs[0]]
        elif node in network.layers:
            output, residual, relu = _behind(network, node)
            logits = output == network.output.name and isinstance(node.op, Linear)
            grids[output] = _grid(values[output], signed=not relu)
            layers[node.name] = _layer(node, weights, grids, output, residual, logits)
    scales = {name: g.scale for name, g in grids.items()}
    return QuantizedNetwork(network, layers, pools, INPUT_ZERO, INPUT_SCALE, scales, dict(meta or {}))


def _behind(network: Network, node: Node) -> tuple[str, str | None, bool]:
    """The tensor that a layer stores once what follows is taken in; what is added; whether it ends in a ReLU."""
    users = network.consumers[node.name]
    if len(users) == 1 and isinstance(users[0].op, Activation):
        if users[0].op.kind not in _RELUS:
            raise UnsupportedError(f"'{users[0].name}': {users[0].op.kind} has no integers; known: {', '.join(_RELUS)}")
        return users[0].name, None, True
    if len(users) == 1 and isinstance(users[0].op, Add) and users[0].inputs[-1] == node.name:
        others = users[0].inputs[:-1]
        if len(others) == 1 and others[0] != node.name:
            return users[0].name, others[0], False
    return node.name, None, False


def _grid(x: Floats, signed: bool) -> _Grid:
    peak = float(np.abs(x).max(initial=0))
    peak = peak if peak > 1e-6 else 1.0  # a dead tensor: any grid holds it
    return _Grid(peak / 127, 128) if signed else _Grid(peak / 255, 0)


def _fixed(gain: Floats, where: str) -> tuple[npt.NDArray[np.int32], int]:
    """Gains (c,), negative ones too, as multipliers and a shift; none is 0."""
    m, shift = fixed_gains(gain, f"'{where}': ")
    return np.where(m == 0, np.where(gain < 0, -1, 1), m).astype(np.int32), shift


def _layer(
    node: Node,
    weights: Mapping[str, npt.NDArray[np.float32]],
    grids: Mapping[str, _Grid],
    output: str,
    residual: str | None,
    logits: bool,
) -> QuantizedLayer:
    read, out, bits = grids[node.inputs[0]], grids[output], node.weight_bits or 8
    w = weights[f"{node.name}.weight"]
    ones = np.ones(len(w), np.float32)
    scale = weights.get(f"{node.name}.scale", ones).astype(np.float64)
    offset = weights.get(f"{node.name}.bias", 0 * ones).astype(np.float64)
    ints, step, align = _weights(node, w, scale, read, bits)
    factor = step * read.scale  # of one unit of the accumulator, (c,)
    unit = float(np.abs(factor).max()) / 2**LOGIT_BITS if logits else out.scale
    m, shift = _fixed(factor / unit, node.name)
    bias = np.rint(offset / (m * 2.0**-shift * unit))
    if np.abs(bias).max(initial=0) >= 2**30:
        raise InputError(f"'{node.name}': an offset of {np.abs(bias).max():.3g} accumulator steps leaves 32 bits")
    skip = None
    if residual is not None:
        r = grids[residual]
        skip = Residual(residual, r.zero, round(r.scale / unit * 2.0**shift))
    return QuantizedLayer(
        ints.astype(np.int8), bias.astype(np.int32), m, shift, read.zero, 0 if logits else out.zero, 0 if logits else 8,
        bits, output, None, skip, align,
    )  # fmt: skip


def _weights(node: Node, w: Floats, scale: Floats, read: _Grid, bits: int) -> tuple[Ints, Floats, int]:
    """Integers, the real size (c,) of one step of the accumulator per step of the input, and `align`."""
    per_channel = (-1, *[1] * (w.ndim - 1))
    if isinstance(node.op, ShiftConv2d):
        sign, places = shift_codes(w, bits)
        codes = sign.astype(np.int64) * (places + 1) * np.where(scale < 0, -1, 1).reshape(per_channel)
        align = shift_adder.MAX_ALIGN
        while align and shift_adder.reach(node, codes, align, read.most).max() >= 2**30:
            align -= 1
        return codes, np.abs(scale) * 2.0**-align, align
    top = 2 ** (bits - 1) - 1
    if isinstance(node.op, AdderConv2d):  # weights on the input's own grid, or a power of two coarser
        tries = [np.clip(np.rint(w / (read.scale * 2.0**a)), -top, top) for a in range(9)]
        errors = [float(np.square(q * read.scale * 2.0**a - w).sum()) for a, q in enumerate(tries)]
        align = int(np.argmin(errors))
        return tries[align], scale, align
    step = np.maximum(np.abs(w).reshape(len(w), -1).max(1).astype(np.float64), 1e-12) / top
    return np.rint(w / step.reshape(per_channel)), step * scale, 0
