"""The Network under construction while an ONNX graph is read: layers that may still absorb what follows them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.network.graph import Network, Node
from cofront.network.onnx_io.metadata import Metadata, annotate
from cofront.network.ops import Activation, Add, Conv2d, Flatten, Input, Linear, Mul, Op, Padding, Shape
from cofront.network.weights import has_bias

Array = NDArray[Any]
NCHW = (0, 1, 2, 3)


class Refusal(Exception):
    """A node that cannot be read, with the reason; collected, so that all of them are named at once."""


@dataclass
class Layer:
    """One node to be. `tensor` is the ONNX tensor it computes; `direct` says that a quantiser follows it."""

    name: str
    op: Op
    inputs: list[str]
    shape: Shape
    tensor: str
    weight_bits: int | None = None
    in_bits: int | None = None
    out_bits: int | None = None
    direct: bool = False


@dataclass(frozen=True)
class Value:
    """An ONNX tensor in terms of a layer's output: the same numbers, perhaps in another layout.

    `dims` are the tensor's own dimensions, batch first. Axis i of the tensor is axis `perm[i]` of (n, c, h, w).
    `split` > 0: the channels are seen as (split, c / split), and `mixed` says that the two are swapped. `flat` is the
    (c, h, w) of a map that was flattened with its channels last. `pad` is zero padding still to be absorbed. `bits`
    is the width of the quantiser that the tensor went through last.
    """

    node: str
    dims: tuple[int, ...]
    perm: tuple[int, ...] = NCHW
    split: int = 0
    mixed: bool = False
    flat: Shape | None = None
    pad: Padding = (0, 0, 0, 0)
    bits: int | None = None

    @property
    def pixel(self) -> bool:
        """Whether there is one non-trivial dimension only, so that layouts do not differ."""
        return sum(d != 1 for d in self.dims[1:]) <= 1


@dataclass
class Draft:
    """Layers in topological order, and their weights."""

    layers: dict[str, Layer] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)

    def emit(self, name: str, op: Op, inputs: list[str], tensor: str, dims: tuple[int, ...] = (), **kw: Any) -> Value:
        """Adds a layer; `dims` are the tensor's dimensions where they are not the layer's shape behind the batch."""
        while name in self.layers:
            name += "_"
        try:
            shape = op.out_shape(tuple(self.layers[i].shape for i in inputs))
        except InputError as error:
            raise InputError(f"node '{name}': {error}") from None
        self.layers[name] = Layer(name, op, inputs, shape, tensor, **kw)
        return Value(name, dims)

    def parameters(self, layer: str, weight: Array, bias: Array | None) -> None:
        """Sets a layer's weights; InputError when they are not finite numbers."""
        for suffix, array in (("weight", weight), ("bias", bias)):
            if array is not None:
                with np.errstate(over="ignore"):
                    as_float = np.ascontiguousarray(array, dtype=np.float32)
                if not np.isfinite(as_float).all():
                    raise InputError(f"node '{layer}': its {suffix} has values that are not finite in float32")
                self.weights[f"{layer}.{suffix}"] = as_float

    def users(self, name: str) -> list[Layer]:
        return [layer for layer in self.layers.values() if name in layer.inputs]

    def scale(self, layer: Layer, a: Array, b: Array, norm: bool) -> None:
        """Folds y -> a y + b, each (cout,) or scalar, into a convolution or linear layer."""
        weight = self.weights[f"{layer.name}.weight"].astype(np.float64)
        bias = self.weights.get(f"{layer.name}.bias")
        new_bias: Array | None = np.asarray((0.0 if bias is None else bias.astype(np.float64)) * a + b)
        factor = np.broadcast_to(a, weight.shape[:1]).reshape(-1, *[1] * (weight.ndim - 1))
        if isinstance(layer.op, Conv2d) and norm:
            layer.op = replace(layer.op, norm=True)
        elif isinstance(layer.op, Conv2d | Linear) and (bias is not None or np.any(new_bias)):
            layer.op = replace(layer.op, bias=layer.op.bias or not _folded(layer.op))
        else:
            new_bias = None
        full = None if new_bias is None else np.broadcast_to(new_bias, weight.shape[:1])
        self.parameters(layer.name, weight * factor, full)

    def lift(self, name: str, lifting: frozenset[str] = frozenset()) -> str:
        """The vector that layer `name` computes as a (c, 1, 1) map: its linear layers become 1 x 1 convolutions.

        This is how squeeze-excite written with matrices is read; Refusal when the vector comes from elsewhere.
        """
        layer = self.layers[name]
        if len(layer.shape) == 3:
            return name
        if isinstance(layer.op, Flatten) and self.layers[layer.inputs[0]].shape[1:] == (1, 1):
            return layer.inputs[0]
        others = [u.name for u in self.users(name) if u.name not in lifting]
        if not isinstance(layer.op, Activation | Add | Mul | Linear) or others:
            raise Refusal("turns a vector into a map")
        layer.inputs = [self.lift(i, lifting | {name}) for i in layer.inputs]
        if isinstance(layer.op, Linear):
            layer.op = Conv2d(layer.op.out_features, (1, 1), bias=layer.op.bias, norm=False)
            self.weights[f"{name}.weight"] = self.weights[f"{name}.weight"][:, :, None, None]
        layer.shape = layer.op.out_shape(tuple(self.layers[i].shape for i in layer.inputs))
        return name

    def settle_widths(self) -> None:
        """Gives a tensor without a quantiser the width of the one that reads it, where hardware folds the two.

        So it is for convolution and activation, or convolution and sum: only the last result is stored.
        """
        for layer in reversed(self.layers.values()):
            users = self.users(layer.name) if layer.out_bits is None else []
            if len(users) == 1 and isinstance(users[0].op, Activation | Add):
                layer.out_bits = users[0].out_bits

    def network(self, name: str, output: str, kept: Metadata) -> tuple[Network, dict[str, NDArray[np.float32]]]:
        """The Network up to `output`, and its weights.

        Layers that nothing reads are left out; of a file that cofront wrote they stay, if the output is its own.
        """
        own = list(kept.nodes)[-1:] == [output]
        live = {output, *(k for k in kept.nodes if own and k in self.layers)}
        for layer in reversed(self.layers.values()):
            if layer.name in live:
                live.update(layer.inputs)
        nodes, weights = [], {}
        for layer in self.layers.values():
            if layer.name not in live and not isinstance(layer.op, Input):
                continue
            note = kept.nodes.get(layer.name)
            out_bits = layer.out_bits if layer.direct or note is None else None
            shapes = tuple(self.layers[i].shape for i in layer.inputs)
            bits = (layer.weight_bits, layer.in_bits, out_bits)
            node = annotate(Node(layer.name, layer.op, tuple(layer.inputs), *bits), note, shapes)
            if isinstance(node.op, Conv2d | Linear):
                weights[f"{node.name}.weight"] = self.weights[f"{node.name}.weight"]
                bias = self.weights.get(f"{node.name}.bias")
                if bias is not None and not has_bias(node):
                    node = replace(node, op=replace(node.op, bias=True))
                elif bias is None and has_bias(node):
                    bias = np.zeros(layer.shape[0], np.float32)
                if bias is not None:
                    weights[f"{node.name}.bias"] = bias
            nodes.append(node)
            if node.name == output:  # a Network's output is its last node
                break
        return Network(name, tuple(nodes)), weights


def _folded(op: Op) -> bool:
    return isinstance(op, Conv2d) and op.norm
