"""Where the integers of a quantised network lie: plain arrays, and two ways to come by them.

real = scale * (q - zero_point), q an unsigned integer of `bits` bits for activations; weights are signed, symmetric,
with one scale per output channel, as the accelerators compute them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.network.graph import Network, Node
from cofront.network.ops import Activation, Add, ChannelShuffle, Flatten, Pool2d
from cofront.network.reference import run_all
from cofront.network.weights import has_bias, validate

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """The grid of an activation tensor."""

    scale: float
    zero_point: int = 0
    bits: int = 8

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"a scale must be a positive number, got {self.scale}")
        if not 1 <= self.bits <= 16 or not 0 <= self.zero_point < 2**self.bits:
            raise InputError(f"zero point {self.zero_point} is outside the range of {self.bits} bits")

    def __call__(self, x: Floats) -> Floats:
        """The nearest values on the grid, ties to even."""
        q = np.clip(np.round(x / np.float32(self.scale) + self.zero_point), 0, 2**self.bits - 1)
        return np.asarray((q - self.zero_point) * np.float32(self.scale), np.float32)


@dataclass(frozen=True)
class IntegerLayer:
    """A layer's weights: integers (cout, ...), scale (cout,), their bits, and real biases (cout,) if it has any."""

    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bits: int
    bias: Floats | None = None

    def real(self) -> Floats:
        """The weights as real numbers."""
        return np.asarray(self.weight * self.scale.reshape(-1, *[1] * (self.weight.ndim - 1)), np.float32)


@dataclass(frozen=True)
class Quantisation:
    """`layers` by node; `stored[node]`: the grid of its output tensor; `read[node]`: the grid a layer reads in.

    A tensor without a grid stays real, as between a convolution and the activation folded into it; a layer without
    an entry in `read` reads its input as it is stored.
    """

    layers: Mapping[str, IntegerLayer]
    stored: Mapping[str, Grid] = field(default_factory=dict)
    read: Mapping[str, Grid] = field(default_factory=dict)


def check(network: Network, quantisation: Quantisation) -> None:
    """InputError when a quantisation does not fit the network: names, shapes, ranges, and bits that it states."""
    for kind, names in (("stored", quantisation.stored), ("read", quantisation.read)):
        for name in names:
            if name not in network.by_name:
                raise InputError(f"quantisation of '{network.name}': '{kind}' names '{name}', which is no node")
    for node in network.layers:
        layer = quantisation.layers.get(node.name)
        where = f"quantisation of node '{node.name}'"
        if layer is None:
            raise InputError(f"{where}: no integers")
        shape = node.op.weight_shape(network.in_shapes(node))
        assert shape is not None
        if layer.weight.shape != shape or layer.scale.shape != shape[:1]:
            given = f"weights {layer.weight.shape} and scales {layer.scale.shape}"
            raise InputError(f"{where}: {given}, expected {shape} and {shape[:1]}")
        if (layer.bias is not None) != has_bias(node) or (layer.bias is not None and layer.bias.shape != shape[:1]):
            raise InputError(
                f"{where}: biases should be {'of shape ' + str(shape[:1]) if has_bias(node) else 'absent'}"
            )
        top = 2 ** (layer.bits - 1)
        if layer.bits == 1:
            if np.any(np.abs(layer.weight) != 1):
                raise InputError(f"{where}: weights of one bit are -1 or 1")
        elif not np.issubdtype(layer.weight.dtype, np.integer) or np.any((layer.weight < -top) | (layer.weight >= top)):
            raise InputError(f"{where}: weights are not integers of {layer.bits} bits")
        if not (np.isfinite(layer.scale).all() and (layer.scale > 0).all()):
            raise InputError(f"{where}: scales must be positive numbers")
        grid = quantisation.read.get(node.name) or quantisation.stored.get(origin(network, node.inputs[0]))
        for what, stated, found in (
            ("weight", node.weight_bits, layer.bits),
            ("input", node.in_bits, grid.bits if grid else None),
        ):
            if stated is not None and found is not None and stated != found:
                raise InputError(f"{where}: the network states {stated} {what} bits, the quantisation {found}")


def integers(network: Network, weights: Mapping[str, Floats]) -> dict[str, IntegerLayer]:
    """Weights rounded to the widths that the network states (8 where it states none), largest value on the last step.

    Symmetric per output channel, without the most negative integer.
    """
    weights = validate(network, weights)
    out = {}
    for node in network.layers:
        bits = node.weight_bits or 8
        if not 2 <= bits <= 8:
            raise InputError(f"node '{node.name}' has weights of {bits} bit(s); integers of 2 to 8 bits can be written")
        w = weights[f"{node.name}.weight"]
        top = 2 ** (bits - 1) - 1
        peak = np.abs(w).reshape(len(w), -1).max(axis=1)
        scale = np.where(peak > 0, peak / top, 1.0).astype(np.float32)
        q = np.clip(np.round(w / scale.reshape(-1, *[1] * (w.ndim - 1))), -top, top).astype(np.int8)
        out[node.name] = IntegerLayer(q, scale, bits, weights.get(f"{node.name}.bias"))
    return out


def is_stored(network: Network, node: Node) -> bool:
    """Whether hardware stores the tensor, rather than folding the node into what follows it.

    Layers and sums are folded into the activation behind them, and a layer into a sum of its own block. Operators
    that only move numbers keep their input's grid. The output stays real: logits are not rounded.
    """
    users = network.consumers[node.name]
    moves = isinstance(node.op, Flatten | ChannelShuffle) or (isinstance(node.op, Pool2d) and node.op.kind == "max")
    if not users or moves:
        return False
    if len(users) == 1 and node in network.layers:
        user = users[0]
        folded = isinstance(user.op, Add) and user.block == node.block and user.inputs[-1] == node.name
        return not (folded or isinstance(user.op, Activation))
    return not (len(users) == 1 and isinstance(node.op, Add) and isinstance(users[0].op, Activation))


def calibrate(network: Network, weights: Mapping[str, Floats], samples: Floats) -> Quantisation:
    """A quantisation from the least and greatest values of every tensor on `samples` (n, *input shape).

    Widths are those that the network states; tensors and layers without any stay real (weights: 8 bits). Plain
    post-training quantisation, for networks that were not trained with quantisers.
    """
    values = run_all(network, weights, samples)
    stored = {
        n.name: _grid(values[n.name], n.out_bits)
        for n in network.nodes
        if n.out_bits is not None and is_stored(network, n)
    }
    read = {}
    for node in network.layers:
        source = origin(network, node.inputs[0])
        if node.in_bits is not None and (source not in stored or stored[source].bits != node.in_bits):
            read[node.name] = _grid(values[node.inputs[0]], node.in_bits)
    return Quantisation(integers(network, weights), stored, read)


def origin(network: Network, name: str) -> str:
    """The node whose grid the tensor of `name` is in: through operators that only move numbers."""
    node = network.by_name[name]
    while isinstance(node.op, Flatten | ChannelShuffle) or (isinstance(node.op, Pool2d) and node.op.kind == "max"):
        node = network.by_name[node.inputs[0]]
    return node.name


def _grid(x: Floats, bits: int) -> Grid:
    if bits > 16:
        raise InputError(f"activations of {bits} bits; grids of up to 16 bits can be written")
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = max(high - low, 1e-6) / (2**bits - 1)
    return Grid(scale, min(round(-low / scale), 2**bits - 1), bits)
