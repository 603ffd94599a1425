"""Network -> ONNX: one ONNX node per layer under our names, opset 17, weights as initialisers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cofront.errors import InputError
from cofront.network.graph import Network, Node
from cofront.network.onnx_io import metadata
from cofront.network.onnx_io.pooling import explicit
from cofront.network.ops import (
    Activation,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Mul,
    Pool2d,
)
from cofront.network.weights import validate

# Every runtime since 2022 reads opset 17 in IR version 8; it has HardSwish, which opset 13 lacks.
OPSET, IR_VERSION = 17, 8
BATCH = "batch"


class Writer:
    """Collects the ONNX nodes and initialisers of one network; `quantised.py` overrides how tensors are read."""

    def __init__(self, network: Network, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.network = network
        self.weights = validate(network, weights)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        #: float tensors that are no node's output, with the batch as None
        self.inner: dict[str, tuple[int | None, ...]] = {}
        self._taken = {n.name for n in network.nodes}

    def fresh(self, base: str) -> str:
        """A tensor or node name that is free: `base`, or `base` with underscores behind it."""
        while base in self._taken:
            base += "_"
        self._taken.add(base)
        return base

    def constant(self, base: str, array: NDArray[Any]) -> str:
        """Name of a new initialiser."""
        name = self.fresh(base)
        self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def node(self, op: str, inputs: list[str], name: str, *, domain: str = "", **attributes: Any) -> str:
        """Adds an ONNX node with one output; node and tensor have the same name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, domain=domain or None, **attributes))
        return name

    # What a quantised file does differently -------------------------------------------------------------------

    def read(self, node: Node, source: str) -> str:
        """Name of the tensor from which `node` reads the output of `source`."""
        return source

    def weight(self, node: Node) -> str:
        """Name of the tensor with the layer's weights."""
        return self.constant(f"{node.name}.weight", self.weights[f"{node.name}.weight"])

    def bias(self, node: Node) -> list[str]:
        """Name of the tensor with the layer's biases, if it has any."""
        key = f"{node.name}.bias"
        return [self.constant(key, self.weights[key])] if key in self.weights else []

    def stored(self, node: Node) -> None:
        """Called after each node is written."""

    # ----------------------------------------------------------------------------------------------------------

    def add(self, node: Node) -> None:
        """Writes one node."""
        if not isinstance(node.op, Input):
            self._operator(node, [self.read(node, i) for i in node.inputs])
        self.stored(node)

    def _operator(self, node: Node, ins: list[str]) -> None:
        op, name = node.op, node.name
        if isinstance(op, Conv2d):
            self.node(
                "Conv",
                [*ins, self.weight(node), *self.bias(node)],
                name,
                kernel_shape=list(op.kernel),
                strides=list(op.stride),
                pads=list(op.padding),
                dilations=list(op.dilation),
                group=op.groups,
            )
        elif isinstance(op, Linear):
            self.node("Gemm", [*ins, self.weight(node), *self.bias(node)], name, transB=1)
        elif isinstance(op, Pool2d):
            op = explicit(op, self.network.in_shapes(node)[0]) if op.ceil_mode else op
            window: dict[str, Any] = {
                "kernel_shape": list(op.kernel),
                "strides": list(op.stride),
                "pads": list(op.padding),
                "ceil_mode": int(op.ceil_mode),
            }
            if op.kind == "max":
                self.node("MaxPool", ins, name, **window)
            else:
                self.node("AveragePool", ins, name, count_include_pad=int(op.count_include_pad), **window)
        elif isinstance(op, GlobalPool):
            self.node("GlobalAveragePool", ins, name)
        elif isinstance(op, Activation):
            self._activation(op, ins, name)
        elif isinstance(op, Add):
            self.node("Add" if len(ins) == 2 else "Sum", ins, name)
        elif isinstance(op, Mul):
            product = ins[0]
            for i, other in enumerate(ins[1:-1]):
                product = self.node("Mul", [product, other], self.fresh(f"{name}.part{i}"))
                operands = tuple(self.network.shapes[j] for j in node.inputs[: i + 2])
                self.inner[product] = (None, *op.out_shape(operands))
            self.node("Mul", [product, ins[-1]], name)
        elif isinstance(op, Concat):
            self.node("Concat", ins, name, axis=1)
        elif isinstance(op, Flatten):
            self.node("Flatten", ins, name, axis=1)
        elif isinstance(op, ChannelShuffle):
            c, h, w = self.network.shapes[name]
            split = self.constant(f"{name}.split_shape", np.array([0, op.groups, c // op.groups, h, w], np.int64))
            whole = self.constant(f"{name}.shape", np.array([0, c, h, w], np.int64))
            x = self.node("Reshape", [*ins, split], self.fresh(f"{name}.split"))
            self.inner[x] = (None, op.groups, c // op.groups, h, w)
            x = self.node("Transpose", [x], self.fresh(f"{name}.transpose"), perm=[0, 2, 1, 3, 4])
            self.inner[x] = (None, c // op.groups, op.groups, h, w)
            self.node("Reshape", [x, whole], name)
        else:
            raise InputError(f"node '{name}': no ONNX form for the operator {type(op).__name__}")

    def _activation(self, op: Activation, ins: list[str], name: str) -> None:
        if op.kind == "relu":
            self.node("Relu", ins, name)
        elif op.kind == "relu6":
            low = self.constant(f"{name}.min", np.array(0, np.float32))
            high = self.constant(f"{name}.max", np.array(6, np.float32))
            self.node("Clip", [*ins, low, high], name)
        elif op.kind == "hswish":
            self.node("HardSwish", ins, name)
        elif op.kind == "hsigmoid":
            self.node("HardSigmoid", ins, name, alpha=1 / 6, beta=0.5)
        elif op.kind == "sigmoid":
            self.node("Sigmoid", ins, name)
        else:  # silu: an operator of its own only from opset 24 on
            gate = self.node("Sigmoid", ins, self.fresh(f"{name}.sigmoid"))
            self.inner[gate] = (None, *self.network.shapes[name])
            self.node("Mul", [*ins, gate], name)

    def output(self) -> str:
        """Name of the graph's output tensor."""
        return self.network.output.name

    def input_words(self) -> str:
        """What the numbers of the input mean, where that is known."""
        return ""

    def model(self, batch: int | None) -> onnx.ModelProto:
        """The whole model; `batch` fixes the first dimension, None leaves it symbolic."""
        network = self.network
        for node in network.nodes:
            self.add(node)
        out = self.output()
        if out == network.input.name:
            out = self.node("Identity", [out], self.fresh(f"{out}.out"))
        first: int | str = BATCH if batch is None else batch

        def info(name: str, dims: tuple[int | None, ...]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [first if d is None else d for d in dims])

        shapes: dict[str, tuple[int | None, ...]] = {k: (None, *v) for k, v in network.shapes.items()} | self.inner
        ends = (network.input.name, out)
        inner = [info(k, v) for k, v in shapes.items() if k not in ends]
        in_info = info(network.input.name, shapes[network.input.name])
        in_info.doc_string = self.input_words()
        out_info = info(out, shapes[network.output.name])
        graph = helper.make_graph(
            self.nodes,
            network.name or "network",
            [in_info],
            [out_info],
            self.initializers,
            value_info=inner,
        )
        model = helper.make_model(graph, opset_imports=self.opsets(), ir_version=IR_VERSION, producer_name="cofront")
        helper.set_model_props(model, {metadata.KEY: metadata.dump(network)})
        return model

    def opsets(self) -> list[onnx.OperatorSetIdProto]:
        """The operator sets that the file uses."""
        return [helper.make_opsetid("", OPSET)]


def to_onnx(network: Network, weights: Mapping[str, NDArray[np.float32]], batch: int | None = None) -> onnx.ModelProto:
    """The network as a float32 ONNX model.

    `weights` maps "<node>.weight" and "<node>.bias" to arrays, batch norm folded. `batch` fixes the batch size;
    None leaves it symbolic.
    """
    return Writer(network, weights).model(batch)


def save(model: onnx.ModelProto, path: str | Path) -> None:
    """Writes a model; InputError when it cannot be written or is over protobuf's 2 GiB."""
    try:
        data = model.SerializeToString()
        Path(path).write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None
    except (ValueError, RuntimeError) as error:
        raise InputError(f"cannot write '{path}': the model does not fit one ONNX file ({error})") from None


def write_onnx(
    network: Network, weights: Mapping[str, NDArray[np.float32]], path: str | Path, batch: int | None = None
) -> None:
    """`to_onnx` into a file."""
    save(to_onnx(network, weights, batch), path)
