"""What `QuantizedNetwork.run` relies on, checked before anything is computed.

Types and ranges of every integer; that what a layer reads and adds was stored before it, in the shape it needs; and
that no sum leaves the width that the definition gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cofront.errors import InputError, UnsupportedError
from cofront.network import (
    Activation,
    Add,
    AdderConv2d,
    ChannelShuffle,
    Concat,
    Convolution,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Network,
    Node,
    Pool2d,
    ShiftConv2d,
)
from cofront.task import integer_ops, shift_adder
from cofront.task.gains import MAX_SHIFT, MULTIPLIER_BITS

if TYPE_CHECKING:
    from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale

MULTIPLIERS = 2**MULTIPLIER_BITS
RESIDUAL_MULTIPLIERS = 2**31
SUMS = 2**31
WIDE_SUMS = 2**47


def check(net: QuantizedNetwork) -> None:
    """Everything that `run` relies on; the first fault is an error that names its node."""
    network = net.network
    for kind, names, ops in (
        ("layer", net.layers, (Convolution, Linear)),
        ("pool", net.pools, (GlobalPool, Pool2d)),
        ("join", net.joins, (Add, Concat, Activation)),
    ):
        for name in names:
            if name not in network.by_name or not isinstance(network.by_name[name].op, ops):
                raise InputError(f"'{name}' is no {kind} of network '{network.name}'")
    _whole("the network", "input_zero", net.input_zero, 0, 255)
    fused = {name for n in network.nodes if n.name in net.layers for name in _path(network, n, net.layers[n.name])}
    stored: dict[str, int] = {}  # bits of every tensor, as it is computed
    for node in network.nodes:
        name, bits = _node(net, node, stored, fused)
        if not bits:
            continue
        if name in stored:
            raise InputError(f"node '{node.name}': tensor '{name}' is computed twice")
        stored[name] = bits
    if network.output.name not in stored:
        raise InputError(f"node '{network.output.name}': no layer computes the network's output")


def _node(net: QuantizedNetwork, node: Node, stored: dict[str, int], fused: set[str]) -> tuple[str, int]:
    """Name and bits of the tensor that is stored once a node is computed; 0 bits where it is fused into another."""
    op, where = node.op, f"node '{node.name}'"
    if isinstance(op, Input):
        return node.name, 8
    if isinstance(op, Activation | Add) and node.name not in net.joins:
        if node.name not in fused:
            raise UnsupportedError(f"{where}: not fused into a convolution")
        return node.name, 0
    known = Convolution | Linear | GlobalPool | Pool2d | Flatten | ChannelShuffle | Add | Concat | Activation
    if not isinstance(op, known):
        raise UnsupportedError(f"{where}: {type(op).__name__} has no integer definition")
    for source in node.inputs if node.name in net.joins else node.inputs[:1]:
        if source not in stored:
            raise InputError(f"{where}: reads '{source}', which no layer before it computes")
    source = node.inputs[0]
    if isinstance(op, Flatten | ChannelShuffle) or (isinstance(op, Pool2d) and op.kind == "max"):
        return node.name, stored[source]
    if isinstance(op, Add | Concat | Activation):
        if node.name not in net.joins:
            raise InputError(f"{where} has no integers")
        _join(where, node, net, stored)
        return node.name, net.joins[node.name].bits
    if isinstance(op, GlobalPool | Pool2d):
        pool = net.pools.get(node.name)
        if pool is None:
            raise InputError(f"{where} has no integers")
        if isinstance(op, Pool2d) and not integer_ops.averages(op):
            raise UnsupportedError(f"{where}: an average whose windows have several divisors has no integer definition")
        _rescale(where, pool, stored[source], integer_ops.window_terms(node, net.network.shapes[source]))
        return node.name, pool.bits
    if node.name not in net.layers:
        raise InputError(f"{where} has no integers")
    layer = net.layers[node.name]
    _arrays(net.network, node, layer)
    _layer(net.network, node, layer, stored)
    if not layer.out_bits and net.network.consumers[layer.output]:
        raise InputError(f"{where}: only logits, which nothing reads, have output bits 0")
    return layer.output, layer.out_bits or 64


def _path(network: Network, node: Node, layer: QuantizedLayer) -> list[str]:
    """Names of the nodes from a layer (excluded) to the one whose tensor it produces: what is fused into it."""
    where, path, at, added = f"node '{node.name}'", [], layer.output, False
    while at != node.name:
        behind = network.by_name.get(at)
        others = () if behind is None else behind.inputs
        if behind is not None and isinstance(behind.op, Add) and layer.residual is not None and not added:
            others, added = tuple(i for i in others if i != layer.residual.tensor), True
        elif behind is None or not isinstance(behind.op, Activation):
            others = ()
        if len(others) != 1:
            raise InputError(f"{where}: its integers do not lead to the tensor '{layer.output}' that they refer to")
        path.append(at)
        at = others[0]
    if layer.residual is not None and not added:
        raise InputError(f"{where}: has a residual, but no addition follows")
    return path


def _arrays(network: Network, node: Node, layer: QuantizedLayer) -> None:
    """Shapes, types and ranges of a layer's arrays."""
    op, where = node.op, f"node '{node.name}'"
    assert isinstance(op, Convolution | Linear)
    shape = op.weight_shape(network.in_shapes(node))
    assert shape is not None
    odd = isinstance(op, Convolution) and (op.dilation != (1, 1) or (op.groups > 1 and shape[:2] != (op.groups, 1)))
    if odd and shift_adder.is_shift_or_adder(node):
        raise UnsupportedError(f"{where}: only full and depthwise convolutions without dilation have integers")
    cout = shape[0]
    types = [str(a.dtype) for a in (layer.weight, layer.bias, layer.multiplier)]
    wrong = layer.weight.shape != shape or layer.bias.shape != (cout,) or layer.multiplier.shape != (cout,)
    if wrong or types != ["int8", "int32", "int32"]:
        raise InputError(f"{where}: integers of shape {layer.weight.shape} do not fit weights of {shape}")
    _whole(where, "weight bits", layer.weight_bits, 2 if shift_adder.is_shift_or_adder(node) else 1, 8)
    _whole(where, "align", layer.align, 0, shift_adder.MAX_ALIGN if shift_adder.is_shift_or_adder(node) else 0)
    if layer.weight_bits == 1:
        magnitude = np.abs(layer.weight.astype(int)).reshape(cout, -1)
        if not ((magnitude == 1).all(1) | (magnitude == 0).all(1)).all():
            raise InputError(f"{where}: weights of one bit are -1 or 1, or 0 throughout a channel")
    elif np.abs(layer.weight.astype(int)).max(initial=0) > shift_adder.greatest_code(node, layer.weight_bits):
        raise InputError(f"{where}: weights exceed {layer.weight_bits} bits")
    if isinstance(op, ShiftConv2d) and not layer.weight.all():
        raise InputError(f"{where}: 0 is no code of a shift weight: sign * (places + 1) is expected")
    least = 1 - MULTIPLIERS if isinstance(op, AdderConv2d) else 0
    if layer.multiplier.min(initial=0) < least or layer.multiplier.max(initial=0) >= MULTIPLIERS:
        raise InputError(f"{where}: multipliers must be {least}..{MULTIPLIERS - 1}")


def _layer(network: Network, node: Node, layer: QuantizedLayer, stored: dict[str, int]) -> None:
    """The scalars of a layer, what it adds, and the reach of its sums."""
    where = f"node '{node.name}'"
    _whole(where, "shift", layer.shift, 0, MAX_SHIFT)
    bits = stored[node.inputs[0]]
    if layer.read is not None:
        _rescale(f"{where}, what it reads", layer.read, bits)
        bits = layer.read.bits
    if type(layer.out_bits) is not int or layer.out_bits not in (0, *range(2, 9)):
        raise InputError(f"{where}: output bits must be 2 to 8 or, for logits, 0, found {layer.out_bits!r}")
    top = 2**bits - 1
    _whole(where, "zero_in", layer.zero_in, 0, top)
    _whole(where, "zero_out", layer.zero_out, 0, 2**layer.out_bits - 1)
    most = max(layer.zero_in, top - layer.zero_in)
    if shift_adder.is_shift_or_adder(node):
        reach = shift_adder.reach(node, layer.weight, layer.align, most)
    else:
        reach = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1).sum(1) * most
    reach += np.abs(layer.bias.astype(np.int64))
    if reach.max(initial=0) >= SUMS:
        raise InputError(f"{where}: sums may reach {reach.max()}, beyond 32 bits")
    if layer.residual is None:
        return
    r = layer.residual
    if r.tensor not in stored:
        raise InputError(f"{where}: adds '{r.tensor}', which no layer before it computes")
    if network.shapes[r.tensor] != network.shapes[layer.output]:
        raise InputError(f"{where}: adds a tensor of {network.shapes[r.tensor]} to {network.shapes[layer.output]}")
    _whole(where, "residual zero", r.zero, 0, 2 ** stored[r.tensor] - 1)
    _whole(where, "residual multiplier", r.multiplier, 0, RESIDUAL_MULTIPLIERS - 1)


class Rescaling(NamedTuple):
    """What is checked of a rescaling."""

    multiplier: int
    shift: int
    zero_in: int
    zero: int
    bits: int


def _rescale(where: str, scale: Rescale | Rescaling, bits: int, terms: int = 1) -> None:
    """A rescaling of the sum of `terms` integers of so many bits."""
    if type(scale.bits) is not int or scale.bits not in range(2, 9):
        raise InputError(f"{where}: bits must be 2 to 8, found {scale.bits!r}")
    _whole(where, "multiplier", scale.multiplier, 0, MULTIPLIERS - 1)
    _whole(where, "shift", scale.shift, 0, MAX_SHIFT)
    _whole(where, "zero_in", scale.zero_in, 0, 2**bits - 1)
    _whole(where, "zero", scale.zero, 0, 2**scale.bits - 1)
    if terms * (2**bits - 1) * scale.multiplier + (1 << scale.shift >> 1) >= WIDE_SUMS:
        raise InputError(f"{where}: sums of {terms} values leave 48 bits")


def _join(where: str, node: Node, net: QuantizedNetwork, stored: dict[str, int]) -> None:
    """Tensors that meet: one zero point and multiplier each, whose sum stays within its width."""
    join = net.joins[node.name]
    if isinstance(node.op, Activation) and node.op.kind not in ("relu", "relu6"):
        raise UnsupportedError(f"{where}: {node.op.kind} has no integer definition")
    if isinstance(node.op, Add) and len({net.network.shapes[i] for i in node.inputs}) > 1:
        raise UnsupportedError(f"{where}: an addition that broadcasts has no integer definition")
    if not len(join.zeros) == len(join.multipliers) == len(node.inputs):
        raise InputError(f"{where}: {len(node.inputs)} tensors meet, its integers are of {len(join.multipliers)}")
    _whole(where, "shift", join.shift, 0, MAX_SHIFT)
    total = 1 << join.shift >> 1
    for source, zero, multiplier in zip(node.inputs, join.zeros, join.multipliers, strict=True):
        _rescale(where, Rescaling(multiplier, join.shift, zero, join.zero, join.bits), stored[source])
        total += (2 ** stored[source] - 1) * multiplier
    if total >= WIDE_SUMS:
        raise InputError(f"{where}: sums of {len(node.inputs)} values leave 48 bits")


def _whole(where: str, what: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise InputError(f"{where}: {what} must be a whole number from {low} to {high}, found {value!r}")
