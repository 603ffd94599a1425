"""The integer network of a task -> grids for QONNX and QDQ, and an ONNX file that computes its integers bit for bit.

`task.integer.QuantizedNetwork` fits the protocols below; this package does not import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cofront.errors import InputError, UnsupportedError
from cofront.network.graph import Network, Node
from cofront.network.onnx_io.grids import Grid, IntegerLayer, Quantisation, origin
from cofront.network.onnx_io.write import BATCH, IR_VERSION, OPSET
from cofront.network.ops import (
    Activation,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    Convolution,
    Flatten,
    Input,
    Linear,
    Pool2d,
)
from cofront.network.weights import has_bias


class Rescale(Protocol):
    """q -> clamp((((q - zero_in) * multiplier + half) >> shift) + zero, 0, 2^bits - 1)."""

    @property
    def multiplier(self) -> int: ...
    @property
    def shift(self) -> int: ...
    @property
    def zero_in(self) -> int: ...
    @property
    def zero(self) -> int: ...
    @property
    def bits(self) -> int: ...


class Layer(Protocol):
    """Integers of a layer, as in `task.integer.QuantizedLayer`."""

    @property
    def weight(self) -> NDArray[np.int8]: ...
    @property
    def bias(self) -> NDArray[np.int32]: ...
    @property
    def multiplier(self) -> NDArray[np.int32]: ...
    @property
    def shift(self) -> int: ...
    @property
    def zero_in(self) -> int: ...
    @property
    def zero_out(self) -> int: ...
    @property
    def out_bits(self) -> int: ...
    @property
    def weight_bits(self) -> int: ...
    @property
    def output(self) -> str: ...
    @property
    def read(self) -> Rescale | None: ...
    @property
    def residual(self) -> Any: ...


class IntegerNetwork(Protocol):
    """A network with its integers, as in `task.integer.QuantizedNetwork`."""

    @property
    def network(self) -> Network: ...
    @property
    def layers(self) -> Mapping[str, Any]: ...
    @property
    def pools(self) -> Mapping[str, Any]: ...
    @property
    def input_zero(self) -> int: ...
    @property
    def input_scale(self) -> float: ...
    @property
    def scales(self) -> Mapping[str, float]: ...
    @property
    def joins(self) -> Mapping[str, Any]: ...


def quantisation_of(net: IntegerNetwork) -> Quantisation:
    """The grids of an integer network: what its integers stand for.

    A QONNX or QDQ file of them computes in floating point what `net` computes in integers, but for ties and values
    next to them, which it may round the other way; `to_integer_onnx` is exact.
    """
    network = net.network
    scales = {network.input.name: net.input_scale} | dict(net.scales)
    missing = [x.output for x in net.layers.values() if x.output not in scales]
    if missing:
        raise InputError(f"integer network '{network.name}': no scale for tensor '{missing[0]}'")
    stored = {network.input.name: Grid(net.input_scale, net.input_zero, 8)}
    for name, pool in {**net.pools, **net.joins}.items():
        stored[name] = Grid(scales[name], pool.zero, pool.bits)
    read: dict[str, Grid] = {}
    layers: dict[str, IntegerLayer] = {}
    for name, layer in net.layers.items():
        scale = scales[origin(network, network.by_name[name].inputs[0])]
        if layer.read is not None:
            scale = scale * 2.0**layer.read.shift / layer.read.multiplier
            read[name] = Grid(scale, layer.read.zero, layer.read.bits)
        gain = np.maximum(layer.multiplier, 1e-9) * 2.0**-layer.shift * scales[layer.output] / scale
        bias = (layer.bias * gain * scale).astype(np.float32)
        node = network.by_name[name]
        codes, gain = _signs(layer.weight, gain) if layer.weight_bits == 1 else (layer.weight, gain)
        codes = mapped(network, node, codes)
        layers[name] = IntegerLayer(
            codes, gain.astype(np.float32), layer.weight_bits, bias if has_bias(node) or bias.any() else None
        )
        if layer.out_bits:
            stored[layer.output] = Grid(scales[layer.output], layer.zero_out, layer.out_bits)
    return Quantisation(layers, stored, read)


def _signs(codes: NDArray[np.int8], gain: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """One-bit codes without 0: a channel that is 0 throughout gets ones that count for nothing."""
    dead = ~codes.reshape(len(codes), -1).any(1)
    codes, gain = codes.copy(), np.where(dead, 1e-20, gain)
    codes[dead] = 1
    return codes, gain


def mapped(network: Network, node: Node, codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights behind a flattened map in the order of the graph: channel, height, width."""
    source = network.by_name[node.inputs[0]]
    if not isinstance(node.op, Linear) or not isinstance(source.op, Flatten):
        return codes
    shape = network.shapes[source.inputs[0]]
    if len(shape) != 3 or shape[1:] == (1, 1):
        return codes
    c, h, w = shape
    return codes.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(codes.shape)


class _IntegerWriter:
    """Integer convolutions, and rescaling in float64, which holds every 48-bit sum exactly."""

    def __init__(self, net: IntegerNetwork) -> None:
        self.net = net
        self.network = net.network
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.tensors: dict[str, str] = {}

    def constant(self, array: NDArray[Any]) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float64))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def renamed(self, tensor: str, name: str) -> str:
        """The last node's output under another name, if that is free."""
        last = self.nodes[-1]
        if last.output[0] != tensor or name in {t for n in self.nodes for t in (*n.input, *n.output)}:
            return tensor
        last.output[0] = name
        return name

    def real(self, tensor: str, zero: int) -> str:
        """Stored integers minus their zero point, as float64."""
        return self.add("Sub", self.add("Cast", tensor, to=TensorProto.DOUBLE), self.number(zero))

    def shifted(self, wide: str, shift: int, zero: int, bits: int) -> str:
        """(wide + half) >> shift, then clamped to `bits` bits around the zero point; bits 0: left as int64."""
        y = self.add("Add", wide, self.number(float(1 << shift >> 1)))
        y = self.add("Floor", self.add("Mul", y, self.number(2.0**-shift)))
        if not bits:
            return self.add("Cast", y, to=TensorProto.INT64)
        y = self.add("Add", y, self.number(zero))
        y = self.add("Clip", y, self.number(0), self.number(2**bits - 1))
        return self.add("Cast", y, to=TensorProto.UINT8)

    def rescaled(self, tensor: str, r: Rescale) -> str:
        wide = self.add("Mul", self.real(tensor, r.zero_in), self.number(r.multiplier))
        return self.shifted(wide, r.shift, r.zero, r.bits)

    def layer(self, node: Node, layer: Layer) -> None:
        a = self.tensors[node.inputs[0]]
        if layer.read is not None:
            a = self.rescaled(a, layer.read)
        zero = self.constant(np.array(layer.zero_in, np.uint8))
        per_channel = (-1, 1, 1) if isinstance(node.op, Conv2d) else (-1,)
        if isinstance(node.op, Convolution) and not isinstance(node.op, Conv2d):
            raise UnsupportedError(f"node '{node.name}': {type(node.op).__name__} has no ONNX form")
        if isinstance(node.op, Conv2d):
            op = node.op
            window: dict[str, Any] = {"kernel_shape": list(op.kernel), "strides": list(op.stride)}
            window |= {"pads": list(op.padding), "dilations": list(op.dilation), "group": op.groups}
            acc = self.add("ConvInteger", a, self.constant(layer.weight), zero, **window)
        else:
            acc = self.add("MatMulInteger", a, self.constant(mapped(self.network, node, layer.weight).T), zero)
        wide = self.add("Cast", acc, to=TensorProto.DOUBLE)
        wide = self.add("Add", wide, self.constant(layer.bias.astype(np.float64).reshape(per_channel)))
        wide = self.add("Mul", wide, self.constant(layer.multiplier.astype(np.float64).reshape(per_channel)))
        if layer.residual is not None:
            other = self.real(self.tensors[layer.residual.tensor], layer.residual.zero)
            wide = self.add("Add", wide, self.add("Mul", other, self.number(layer.residual.multiplier)))
        self.tensors[layer.output] = self.shifted(wide, layer.shift, layer.zero_out, layer.out_bits)

    def average(self, node: Node, r: Rescale) -> None:
        source, op = self.tensors[node.inputs[0]], node.op
        if isinstance(op, Pool2d):  # the sum over a window is a depthwise convolution with ones
            channels = self.network.shapes[node.name][0]
            ones = self.constant(np.ones((channels, 1, *op.kernel), np.int8))
            window: dict[str, Any] = {"kernel_shape": list(op.kernel), "strides": list(op.stride), "group": channels}
            zero = self.constant(np.array(r.zero_in, np.uint8))
            total = self.add("ConvInteger", source, ones, zero, pads=list(op.padding), **window)
            total = self.add("Cast", total, to=TensorProto.DOUBLE)
        else:
            total = self.add("ReduceSum", self.real(source, r.zero_in), self.constant(np.array([2, 3])), keepdims=1)
        self.tensors[node.name] = self.shifted(
            self.add("Mul", total, self.number(r.multiplier)), r.shift, r.zero, r.bits
        )

    def join(self, node: Node, join: Any) -> None:
        parts = [
            self.add("Mul", self.real(self.tensors[i], zero), self.number(m))
            for i, zero, m in zip(node.inputs, join.zeros, join.multipliers, strict=True)
        ]
        wide = parts[0]
        if isinstance(node.op, Concat):
            wide = self.add("Concat", *parts, axis=1)
        else:
            for part in parts[1:]:
                wide = self.add("Add", wide, part)
        self.tensors[node.name] = self.shifted(wide, join.shift, join.zero, join.bits)

    def shuffle(self, node: Node, groups: int) -> None:
        c, h, w = self.network.shapes[node.name]
        split = self.constant(np.array([0, groups, c // groups, h, w]))  # 0: as many as there are
        parts = self.add("Transpose", self.add("Reshape", self.tensors[node.inputs[0]], split), perm=[0, 2, 1, 3, 4])
        self.tensors[node.name] = self.add("Reshape", parts, self.constant(np.array([0, c, h, w])))

    def node(self, node: Node) -> None:
        op = node.op
        if node.name in self.net.layers:
            self.layer(node, self.net.layers[node.name])
        elif node.name in self.net.pools:
            self.average(node, self.net.pools[node.name])
        elif node.name in self.net.joins:
            self.join(node, self.net.joins[node.name])
        elif isinstance(op, Pool2d) and op.kind == "max":
            window: dict[str, Any] = {"kernel_shape": list(op.kernel), "strides": list(op.stride)}
            window |= {"pads": list(op.padding), "ceil_mode": int(op.ceil_mode)}
            self.tensors[node.name] = self.add("MaxPool", self.tensors[node.inputs[0]], **window)
        elif isinstance(op, ChannelShuffle):
            self.shuffle(node, op.groups)
        elif isinstance(op, Flatten):
            self.tensors[node.name] = self.add("Flatten", self.tensors[node.inputs[0]], axis=1)
        elif isinstance(op, Input):
            self.tensors[node.name] = node.name
        elif not isinstance(op, Activation | Add):  # those two are in the layer that stores them
            raise UnsupportedError(f"node '{node.name}': {type(op).__name__} has no integer form")


def to_integer_onnx(net: IntegerNetwork, batch: int | None = None) -> onnx.ModelProto:
    """An ONNX model of standard operators that computes an integer network bit for bit.

    Its input is uint8 images (n, c, h, w) at the network's resolution, its output the integer logits (n, classes), by
    the names that the network has for them; both say in the file what their numbers mean.
    """
    writer = _IntegerWriter(net)
    network = net.network
    for node in network.nodes:
        writer.node(node)
    layer = next((x for x in net.layers.values() if x.output == network.output.name), None)
    if layer is None or not isinstance(network.output.op, Linear | Conv2d | Activation | Add):
        raise UnsupportedError(f"network '{network.name}': the output '{network.output.name}' is no layer's")
    out = writer.renamed(writer.tensors[network.output.name], network.output.name)
    first: int | str = BATCH if batch is None else batch
    kind = TensorProto.UINT8 if layer.out_bits else TensorProto.INT64
    image = [first, *network.shapes[network.input.name]]
    scale = net.scales.get(network.output.name)
    step = "" if scale is None else f", in steps of {scale:.6g}"
    graph = helper.make_graph(
        writer.nodes,
        network.name or "network",
        [helper.make_tensor_value_info(network.input.name, TensorProto.UINT8, image, "pixels from 0 to 255")],
        [helper.make_tensor_value_info(out, kind, [first, *network.shapes[network.output.name]], f"logits{step}")],
        writer.initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="cofront"
    )
