"""From a calibrated network (real scales) to the integer network: multipliers, shifts, biases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cofront.errors import InputError
from cofront.network import Conv2d, GlobalPool, Linear, Network, Node
from cofront.task.calibrate import QConv, QNet
from cofront.task.gains import MULTIPLIER_BITS, fixed_gains
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual
from cofront.task.kernels import Grid
from cofront.task.resize import INPUT_SCALE, INPUT_ZERO

BIAS_LIMIT = 2**30


def rescale(grid_in: Grid, grid_out: Grid, gain: float = 1.0) -> Rescale:
    """Integers for real_out = gain * real_in."""
    m, shift = fixed_gains(np.array([gain * grid_in.scale / grid_out.scale]))
    return Rescale(int(m[0]), shift, grid_in.zero, grid_out.zero, grid_out.bits)


def _layer(c: QConv, read: Rescale | None, output: str, residual: str | None) -> QuantizedLayer:
    a = c.layer
    weight = a.weight.double().numpy()
    factor, shift_real = a.factor.double().numpy().copy(), a.shift.double().numpy()
    weight = weight * np.where(factor < 0, -1, 1)[:, None, None, None]
    factor = np.abs(factor)
    # A channel whose gain is nothing beside the others' computes a constant: as such it is exact.
    dead = (factor * 2**MULTIPLIER_BITS < factor.max()) | (np.abs(shift_real) >= factor * a.read.scale * BIAS_LIMIT)
    weight[dead], factor[dead] = 0, factor.max()
    bias = np.floor(shift_real / (factor * a.read.scale) + 0.5)
    m, shift = fixed_gains(factor * a.read.scale / c.out.scale)
    skip = None
    if c.residual is not None and residual is not None:
        skip = Residual(residual, c.residual.zero, math.floor(c.residual.scale / c.out.scale * 2.0**shift + 0.5))
    return QuantizedLayer(
        weight.astype(np.int8),
        bias.astype(np.int32),
        m,
        shift,
        a.read.zero,
        c.out.zero,
        c.out.bits,
        c.weight_bits,
        output,
        read,
        skip,
    )


def to_integers(net: QNet, network: Network, meta: dict[str, Any] | None = None) -> QuantizedNetwork:
    """The integer network of a calibrated one on its graph, whose layers come in the same order."""
    layers: dict[str, QuantizedLayer] = {}
    pools: dict[str, Rescale] = {}
    scales = {network.input.name: INPUT_SCALE}
    nodes = iter(n for n in network.layers if isinstance(n.op, Conv2d))
    stored = Grid(INPUT_SCALE, 8, True)
    for block in net.blocks:
        grid = stored
        for c in block:
            node = next(nodes, None)
            if node is None or network.in_shapes(node)[0][0] != c.layer.conv.cin or node.weight_bits != c.weight_bits:
                raise InputError(f"network '{network.name}' is not the network that was calibrated")
            output, residual = _output(network, node, c)
            read = rescale(grid, c.layer.read) if c.layer.read.bits < grid.bits else None
            layers[node.name] = _layer(c, read, output, residual)
            scales[output] = c.out.scale
            grid = c.out
        stored = grid
    pool = next(n for n in network.nodes if isinstance(n.op, GlobalPool))
    area = math.prod(network.in_shapes(pool)[0][1:])
    pools[pool.name] = rescale(stored, net.pooled, 1 / area)
    scales[pool.name] = net.pooled.scale
    linear = next(n for n in network.layers if isinstance(n.op, Linear))
    gain = net.linear_scale.double().numpy() * net.pooled.scale
    bias = np.floor(net.bias.double().numpy() / gain + 0.5).astype(np.int32)
    m, shift = fixed_gains(gain / gain.max())
    shift -= 6  # six more bits of resolution for the logits than the accumulator of the widest channel
    layers[linear.name] = QuantizedLayer(
        net.linear.numpy().astype(np.int8), bias, m, shift, net.pooled.zero, 0, 0, 8, linear.name
    )
    scales[linear.name] = float(gain.max()) / 2**6
    return QuantizedNetwork(network, layers, pools, INPUT_ZERO, INPUT_SCALE, scales, meta or {})


def _output(network: Network, node: Node, c: QConv) -> tuple[str, str | None]:
    """The node whose tensor a convolution produces once activation or addition are fused, and what is added."""
    if c.layer.conv.relu:
        return network.consumers[node.name][0].name, None
    if c.residual is None:
        return node.name, None
    add = network.consumers[node.name][0]
    return add.name, next(i for i in add.inputs if i != node.name)
