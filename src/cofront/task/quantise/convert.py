"""From a setting to the integer network: multipliers, shifts, biases and the order of what is flattened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cofront.errors import UnsupportedError
from cofront.network import Add, Concat, Convolution, Flatten, Linear, Network
from cofront.network.weights import has_bias
from cofront.task.gains import fixed_gains
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual
from cofront.task.integer_ops import Join, window_terms
from cofront.task.kernels import Grid
from cofront.task.quantise.fixed import Ints, fixed_layer
from cofront.task.quantise.setting import Setting
from cofront.task.quantise.steps import Step, without_integers


def to_integers(setting: Setting, meta: Mapping[str, Any] | None = None) -> QuantizedNetwork:
    """The integers of a setting; UnsupportedError, with the list, where something has none."""
    network = setting.network
    if missing := without_integers(network):
        raise UnsupportedError(f"network '{network.name}' has no integers for {', '.join(missing)}")
    layers: dict[str, QuantizedLayer] = {}
    pools: dict[str, Rescale] = {}
    joins: dict[str, Join] = {}
    scales = {network.input.name: setting.pixels.scale}
    for step in setting.steps:
        if step.kind == "layer":
            layers[step.node.name], scales[step.output] = _layer(setting, step)
            continue
        out = setting.grid(step.output)
        scales[step.output] = out.scale
        read = setting.grid(step.sources[0])
        if step.kind == "average":
            terms = window_terms(step.node, network.shapes[step.sources[0]])
            pools[step.node.name] = rescale(step.output, read, out, 1 / terms)
        elif step.kind == "join":
            joins[step.node.name] = _join(setting, step, out)
    zero = setting.pixels.zero
    graph = _with_biases(network, layers)
    return QuantizedNetwork(graph, layers, pools, zero, setting.pixels.scale, scales, dict(meta or {}), joins)


def _with_biases(network: Network, layers: Mapping[str, QuantizedLayer]) -> Network:
    """The graph, where every layer whose integers have a bias has one: a refinement may have given it."""
    nodes = []
    for node in network.nodes:
        op = node.op
        if isinstance(op, Convolution | Linear) and not has_bias(node) and layers[node.name].bias.any():
            node = replace(node, op=replace(op, bias=True))
        nodes.append(node)
    return Network(network.name, tuple(nodes))


def rescale(where: str, grid_in: Grid, grid_out: Grid, gain: float = 1.0) -> Rescale:
    """Integers for real_out = gain * real_in."""
    m, shift = fixed_gains(np.array([gain * grid_in.scale / grid_out.scale]), f"'{where}': ")
    return Rescale(int(m[0]), shift, grid_in.zero, grid_out.zero, grid_out.bits)


def _join(setting: Setting, step: Step, out: Grid) -> Join:
    if isinstance(step.node.op, Add) and len({setting.network.shapes[i] for i in step.sources}) > 1:
        raise UnsupportedError(f"'{step.node.name}': an addition that broadcasts has no integers")
    assert isinstance(step.node.op, Add | Concat) or len(step.sources) == 1
    grids = [setting.grid(i) for i in step.sources]
    m, shift = fixed_gains(np.array([g.scale / out.scale for g in grids]), f"'{step.output}': ")
    return Join(tuple(g.zero for g in grids), tuple(m.tolist()), shift, out.zero, out.bits)


def _layer(setting: Setting, step: Step) -> tuple[QuantizedLayer, float]:
    """A layer's integers, and the scale of the tensor it stores."""
    name, layer = step.node.name, setting.layers[step.node.name]
    stored, read = setting.grid(step.sources[0]), setting.multiplied(step)
    logits = setting.logits(step)
    residual = setting.grid(step.residual) if step.residual is not None else None
    fixed = fixed_layer(name, layer, read, None if logits else setting.grid(step.output).scale, residual)
    skip = None
    if residual is not None and step.residual is not None and fixed.residual is not None:
        skip = Residual(step.residual, residual.zero, fixed.residual)
    out = None if logits else setting.grid(step.output)
    return QuantizedLayer(
        _order(setting.network, step, fixed.codes).astype(np.int8),
        fixed.bias.astype(np.int32),
        fixed.multiplier,
        fixed.shift,
        read.zero,
        out.zero if out else 0,
        out.bits if out else 0,
        layer.bits,
        step.output,
        rescale(name, stored, read) if name in setting.read else None,
        skip,
    ), fixed.unit


def _order(network: Network, step: Step, codes: Ints) -> Ints:
    """Weights of a linear layer behind a flattened map in the order in which maps are stored."""
    source = network.by_name[step.sources[0]]
    if not isinstance(step.node.op, Linear) or not isinstance(source.op, Flatten):
        return codes
    shape = network.shapes[source.inputs[0]]
    if len(shape) != 3 or shape[1:] == (1, 1):
        return codes
    return codes.reshape(len(codes), *shape).transpose(0, 2, 3, 1).reshape(codes.shape)
