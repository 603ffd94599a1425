"""Reading what exporters write, operator by operator, against onnxruntime; and what is refused, with its message."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_helpers import close, execute, model_of

from cofront.errors import InputError, UnsupportedError
from cofront.network import Activation, ChannelShuffle, Conv2d, Flatten, GlobalPool, Linear, Network, Pool2d
from cofront.network.onnx_io import Imported, from_onnx
from cofront.network.onnx_io.read import _HANDLERS
from cofront.network.reference import run

node = helper.make_node
RNG = np.random.default_rng(7)


def randn(*shape: int) -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape), np.float32)


def check(model: onnx.ModelProto, *shape: int, batch: int = 2, ours: tuple[int, ...] | None = None) -> Imported:
    """Reads the model, and asserts that the network computes what onnxruntime computes; `ours` permutes the input."""
    found = from_onnx(model)
    x = randn(batch, *shape)
    expected = execute(model, x)
    got = run(found.network, found.weights, x if ours is None else np.ascontiguousarray(x.transpose(ours)))
    assert close(got, expected.reshape(got.shape))
    return found


def kinds(network: Network) -> list[str]:
    return [n.op.kind if isinstance(n.op, Activation) else type(n.op).__name__ for n in network.nodes[1:]]


W = {"w": randn(6, 4, 3, 3), "b": randn(6)}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [0, 1, 2, 3], "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID", "dilations": [2, 1], "kernel_shape": [3, 3]},
        {"strides": [3, 3], "auto_pad": "NOTSET"},
    ],
)
def test_convolution(attributes: dict[str, Any]) -> None:
    check(model_of([node("Conv", ["x", "w", "b"], ["y"], **attributes)], ["n", 4, 12, 9], W), 4, 12, 9)


def test_grouped_and_depthwise_convolution() -> None:
    nodes = [node("Conv", ["x", "w"], ["a"], group=2), node("Conv", ["a", "v"], ["y"], group=6)]
    found = check(model_of(nodes, [None, 4, 8, 8], {"w": randn(6, 2, 3, 3), "v": randn(6, 1, 3, 3)}), 4, 8, 8)
    assert [n.op.groups for n in found.network.layers if isinstance(n.op, Conv2d)] == [2, 6]


BN = {"s": randn(6), "o": randn(6), "m": randn(6), "v": np.abs(randn(6)) + 0.5}


def test_batch_norm_is_folded_into_the_layer_before_it() -> None:
    bn = node("BatchNormalization", ["a", "s", "o", "m", "v"], ["y"], epsilon=1e-3)
    found = check(model_of([node("Conv", ["x", "w"], ["a"]), bn], ["n", 4, 6, 6], W | BN), 4, 6, 6)
    (layer,) = found.network.layers
    assert layer.op == Conv2d(6, (3, 3), norm=True)
    found = check(
        model_of([node("Gemm", ["x", "w"], ["a"], transB=1), bn], ["n", 5], {"w": randn(6, 5), **BN}),
        5,
    )
    assert kinds(found.network) == ["Linear"]


def test_batch_norm_behind_two_readers_stays_a_layer() -> None:
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"]),
        node("BatchNormalization", ["a", "s", "o", "m", "v"], ["c"], name="norm"),
        node("Relu", ["a"], ["d"]),
        node("Add", ["c", "d"], ["y"]),
    ]
    found = check(model_of(nodes, ["n", 4, 6, 6], W | BN), 4, 6, 6)
    assert kinds(found.network) == ["Conv2d", "Conv2d", "relu", "Add"]
    assert found.notes == ("'norm' (BatchNormalization) follows no convolution; read as a 1 x 1 depthwise convolution",)


def test_constants_after_a_layer_are_folded() -> None:
    nodes = [
        node("Sub", ["x", "mean"], ["x1"]),
        node("Div", ["x1", "std"], ["x2"]),
        node("Conv", ["x2", "w"], ["a"]),
        node("Mul", ["a", "k"], ["a1"]),
        node("Add", ["k", "a1"], ["a2"]),
        node("Sub", ["half", "a2"], ["y"]),
    ]
    constants = {"mean": randn(1, 4, 1, 1), "std": [2.0], "w": W["w"], "k": randn(6, 1, 1), "half": 0.5}
    found = check(model_of(nodes, ["n", 4, 6, 6], constants), 4, 6, 6)
    assert kinds(found.network) == ["Conv2d", "Conv2d"]
    assert isinstance(found.network.layers[0].op, Conv2d)
    assert found.network.layers[0].op.groups == 4


@pytest.mark.parametrize("opset", [9, 11, 17])
@pytest.mark.parametrize(("low", "high", "kind"), [(0, 6, ["relu6"]), (0, None, ["relu"]), (None, None, [])])
def test_clip_in_both_forms(opset: int, low: float | None, high: float | None, kind: list[str]) -> None:
    bounds = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
    if opset < 11:
        nodes = [node("Clip", ["x"], ["y"], **{k: float(v) for k, v in bounds.items()})]
    else:
        scalars = [
            node("Constant", [], [k], value=helper.make_tensor("t", TensorProto.FLOAT, [], [v]))
            for k, v in bounds.items()
        ]
        inputs = ["x", *(k if k in bounds else "" for k in ("min", "max"))]
        nodes = [*scalars, node("Clip", inputs, ["y"])]
    found = check(model_of(nodes, ["n", 3, 4, 4], opset=opset), 3, 4, 4)
    assert kinds(found.network) == kind


HSWISH = {
    "x * clip(x + 3) / 6": [("Add", "x", "three"), ("Clip", 0), ("Mul", "x", 1), ("Div", 2, "six")],
    "x * (clip(x + 3) / 6)": [("Add", "three", "x"), ("Clip", 0), ("Div", 1, "six"), ("Mul", 2, "x")],
    "x * (clip(x + 3) * (1 / 6))": [("Add", "x", "three"), ("Clip", 0), ("Mul", "sixth", 1), ("Mul", "x", 2)],
    "(x / 6) * clip(x + 3)": [("Div", "x", "six"), ("Add", "x", "three"), ("Clip", 1), ("Mul", 0, 2)],
    "min(relu(x + 3), 6)": [("Add", "x", "three"), ("Relu", 0), ("Min", 1, "six"), ("Div", 2, "six"), ("Mul", "x", 3)],
    "max(min(x + 3, 6), 0)": [
        ("Add", "x", "three"),
        ("Min", 0, "six"),
        ("Max", "zero", 1),
        ("Mul", "x", 2),
        ("Mul", 3, "sixth"),
    ],
    "HardSigmoid": [("HardSigmoid", "x"), ("Mul", 0, "x")],
    "HardSwish": [("HardSwish", "x")],
}


@pytest.mark.parametrize("form", HSWISH)
def test_hard_swish_in_every_form(form: str) -> None:
    nodes = []
    for i, (op, *inputs) in enumerate(HSWISH[form]):
        names = [f"t{v}" if isinstance(v, int) else v for v in inputs]
        names += ["zero", "six"] if op == "Clip" else []
        attributes = {"alpha": 1 / 6} if op == "HardSigmoid" else {}
        nodes.append(node(op, names, [f"t{i}"], **attributes))
    nodes.append(node("Identity", [f"t{len(nodes) - 1}"], ["y"]))
    constants = {"three": 3.0, "six": 6.0, "sixth": [1 / 6], "zero": 0.0}
    assert kinds(check(model_of(nodes, ["n", 3, 4, 4], constants), 3, 4, 4).network) == ["hswish"]


def test_hard_sigmoid_and_silu() -> None:
    nodes = [
        node("Add", ["x", "three"], ["a"]),
        node("Clip", ["a", "zero", "six"], ["b"]),
        node("Div", ["b", "six"], ["c"]),
        node("Sigmoid", ["c"], ["d"]),
        node("Mul", ["d", "c"], ["y"]),
    ]
    found = check(model_of(nodes, ["n", 3, 4, 4], {"three": 3.0, "six": 6.0, "zero": 0.0}), 3, 4, 4)
    assert kinds(found.network) == ["hsigmoid", "silu"]


def test_a_constant_three_that_is_no_hard_swish_is_only_added() -> None:
    nodes = [node("Add", ["x", "three"], ["a"]), node("Clip", ["a", "zero", "six"], ["y"])]
    found = check(model_of(nodes, ["n", 3, 4, 4], {"three": 3.0, "six": 6.0, "zero": 0.0}), 3, 4, 4)
    assert kinds(found.network) == ["Conv2d", "relu6"]


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("AveragePool", {"kernel_shape": [3, 3]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("GlobalAveragePool", {}),
        ("GlobalMaxPool", {}),
    ],
)
def test_pools(op: str, attributes: dict[str, Any]) -> None:
    check(model_of([node(op, ["x"], ["y"], **attributes)], ["n", 3, 9, 8]), 3, 9, 8)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op: str, keep: int) -> None:
    old = model_of([node(op, ["x"], ["y"], axes=[-1, 2], keepdims=keep)], ["n", 3, 5, 4], opset=13)
    new = model_of([node(op, ["x", "i"], ["y"], keepdims=keep)], ["n", 3, 5, 4], {"i": np.array([3, 2])}, opset=18)
    for model in (old, new):
        network = check(model, 3, 5, 4).network
        first = GlobalPool() if op == "ReduceMean" else Pool2d("max", (5, 4), (1, 1))
        assert [n.op for n in network.nodes[1:]] == [first] + [Flatten()] * (1 - keep)


@pytest.mark.parametrize(
    "shape_nodes",
    [
        [node("Reshape", ["x", "t0"], ["f"])],
        [node("Reshape", ["x", "t1"], ["f"])],
        [node("Flatten", ["x"], ["f"], axis=-3)],
        [
            node("Shape", ["x"], ["s"]),
            node("Gather", ["s", "i0"], ["n"], axis=0),
            node("Unsqueeze", ["n", "axis0"], ["n1"]),
            node("Concat", ["n1", "minus"], ["t"], axis=0),
            node("Reshape", ["x", "t"], ["f"]),
        ],
        [
            node("Shape", ["x"], ["s"], start=0, end=1),
            node("Concat", ["s", "minus"], ["t"], axis=0),
            node("Reshape", ["x", "t"], ["f"]),
        ],
        [
            node("Shape", ["x"], ["s"]),
            node("Slice", ["s", "axis0", "one", "axis0"], ["n"]),
            node("Slice", ["s", "one", "far"], ["r"]),
            node("ReduceProd", ["r"], ["p"], keepdims=1),
            node("Concat", ["n", "p"], ["t"], axis=0),
            node("Reshape", ["x", "t"], ["f"]),
        ],
    ],
)
def test_ways_to_flatten(shape_nodes: list[onnx.NodeProto]) -> None:
    integers = {"t0": [0, -1], "t1": [-1, 60], "i0": 0, "axis0": [0], "minus": [-1], "one": [1], "far": [2**40]}
    constants = {k: np.array(v, np.int64) for k, v in integers.items()} | {"w": randn(60, 5), "b": randn(5)}
    nodes = [*shape_nodes, node("MatMul", ["f", "w"], ["m"]), node("Add", ["m", "b"], ["y"])]
    network = check(model_of(nodes, ["n", 3, 5, 4], constants), 3, 5, 4).network
    assert [n.op for n in network.nodes[1:]] == [Flatten(), Linear(5, bias=True)]


def test_squeeze_excite_written_with_matrices() -> None:
    nodes = [
        node("ReduceMean", ["x"], ["p"], axes=[2, 3], keepdims=0),
        node("Gemm", ["p", "w1", "b1"], ["a"], transB=1, alpha=0.5, beta=2.0),
        node("Relu", ["a"], ["r"]),
        node("MatMul", ["r", "w2"], ["g"]),
        node("Sigmoid", ["g"], ["s"]),
        node("Unsqueeze", ["s", "i"], ["u"]),
        node("Mul", ["u", "x"], ["y"]),
    ]
    constants = {"w1": randn(2, 4), "b1": randn(2), "w2": randn(2, 4), "i": np.array([2, 3])}
    network = check(model_of(nodes, ["n", 4, 5, 6], constants), 4, 5, 6).network
    assert kinds(network) == ["GlobalPool", "Conv2d", "relu", "Conv2d", "sigmoid", "Mul"]


def test_squeeze_one_axis_at_a_time() -> None:
    nodes = [
        node("GlobalAveragePool", ["x"], ["p"]),
        node("Squeeze", ["p", "three"], ["a"]),
        node("Squeeze", ["a", "two"], ["y"]),
    ]
    found = check(model_of(nodes, ["n", 4, 5, 6], {"three": np.array([3]), "two": np.array([2])}), 4, 5, 6)
    assert kinds(found.network) == ["GlobalPool", "Flatten"]


@pytest.mark.parametrize("rank", [4, 5])
def test_channel_shuffle(rank: int) -> None:
    halves = [0, 2, 3, 4, 5] if rank == 5 else [0, 2, 3, 20]
    nodes = [
        node("Reshape", ["x", "a"], ["s"]),
        node("Transpose", ["s"], ["t"], perm=[0, 2, 1, 3, 4][:rank]),
        node("Reshape", ["t", "b"], ["y"]),
    ]
    constants = {"a": np.array(halves), "b": np.array([0, 6, 4, 5])}
    network = check(model_of(nodes, ["n", 6, 4, 5], constants), 6, 4, 5).network
    assert [n.op for n in network.nodes[1:]] == [ChannelShuffle(2)]


def test_channels_last_input_and_flatten() -> None:
    nodes = [
        node("Transpose", ["x"], ["c"], perm=[0, 3, 1, 2]),
        node("Pad", ["c", "pads"], ["p"]),
        node("Conv", ["p", "w", "b"], ["a"], strides=[2, 2]),
        node("Transpose", ["a"], ["l"], perm=[0, 2, 3, 1]),
        node("Add", ["l", "k"], ["l1"]),
        node("Relu", ["l1"], ["r"]),
        node("Reshape", ["r", "flat"], ["f"]),
        node("MatMul", ["f", "m"], ["z"]),
        node("Softmax", ["z"], ["y"], name="prob"),
    ]
    constants = {
        "pads": np.array([0, 0, 0, 1, 0, 0, 1, 2]),
        **W,
        "k": randn(6),
        "flat": np.array([-1, 90]),
        "m": randn(90, 5),
    }
    model = model_of(nodes, ["n", 7, 8, 4], constants)
    found = from_onnx(model)
    assert found.network.input.op.out_shape(()) == (4, 7, 8)
    assert found.notes == (
        "input 'x' is (height, width, channels); read as channels first",
        "'prob' (Softmax) at the end was dropped; the output is what it reads",
    )
    x = randn(2, 7, 8, 4)
    logits = run(found.network, found.weights, np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert close(softmax, execute(model, x))


def test_padding_before_a_maximum_needs_values_that_are_not_negative() -> None:
    pool = [node("Pad", ["a", "p"], ["q"]), node("MaxPool", ["q"], ["y"], kernel_shape=[3, 3], strides=[2, 2])]
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    found = check(model_of([node("Relu", ["x"], ["a"]), *pool], ["n", 3, 8, 8], constants), 3, 8, 8)
    assert found.network.output.op == Pool2d("max", (3, 3), (2, 2), (1, 1, 1, 1))
    with pytest.raises(UnsupportedError, match="takes the maximum over padding with zeros"):
        from_onnx(model_of([node("HardSwish", ["x"], ["a"]), *pool], ["n", 3, 8, 8], constants))


def test_padding_before_an_average() -> None:
    pads = {"p": np.array([0, 0, 1, 1, 0, 0, 2, 1])}
    for size, window in (([3, 3], {}), ([3, 3], {"strides": [2, 2]}), ([4, 3], {"strides": [3, 2]})):
        pool = node("AveragePool", ["q"], ["y"], kernel_shape=size, count_include_pad=1, **window)
        check(model_of([node("Pad", ["x", "p"], ["q"]), pool], ["n", 3, 8, 8], pads), 3, 8, 8)
    small = node("AveragePool", ["q"], ["y"], kernel_shape=[1, 1], strides=[2, 2], count_include_pad=1)
    refuse(model_of([node("Pad", ["x", "p"], ["q"]), small], ["n", 3, 8, 8], pads), "windows that lie in the padding")
    up = node("AveragePool", ["q"], ["y"], kernel_shape=[3, 3], strides=[9, 2], ceil_mode=1, count_include_pad=1)
    refuse(model_of([node("Pad", ["x", "p"], ["q"]), up], ["n", 3, 8, 8], pads), "rounds its size up over the padding")


def test_floor_mode_keeps_windows_that_start_in_the_padding() -> None:
    assert Pool2d("avg", (1, 1), (2, 2), (0, 0, 1, 1)).out_shape(((3, 8, 8),)) == (3, 5, 5)
    assert Pool2d("avg", (1, 1), (2, 2), (0, 0, 1, 1), ceil_mode=True).out_shape(((3, 8, 8),)) == (3, 4, 4)


def test_shared_weights_are_noted() -> None:
    nodes = [node("Conv", ["x", "w"], ["a"], name="one"), node("Conv", ["a", "w"], ["y"], name="two")]
    found = check(model_of(nodes, ["n", 4, 6, 6], {"w": randn(4, 4, 1, 1)}), 4, 6, 6)
    assert found.notes == ("'two' (Conv) has the weights of 'one': stored and counted once for each",)
    assert found.network.params == 2 * 16


def test_operators_without_effect() -> None:
    nodes = [
        node("Cast", ["x"], ["a"], to=TensorProto.FLOAT),
        node("Dropout", ["a", "half", "no"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[0, 1, 2, 3]),
        node("Mul", ["c", "one"], ["d"]),
        node("Add", ["d", "d"], ["e"]),
        node("Concat", ["e", "x"], ["f"], axis=-3),
        node("Sum", ["f"], ["y"]),
    ]
    constants = {"one": 1.0, "half": 0.5, "no": np.zeros((), bool)}
    assert kinds(check(model_of(nodes, ["n", 3, 4, 4], constants), 3, 4, 4).network) == ["Add", "Concat"]


def test_nodes_in_no_order_and_without_names() -> None:
    nodes = [node("Relu", ["a"], ["y"]), node("Conv", ["x", "w"], ["a"])]
    network = from_onnx(model_of(nodes, ["n", 4, 6, 6], W)).network
    assert [n.name for n in network.nodes] == ["x", "a", "y"]


def test_a_fixed_batch_is_read_past() -> None:
    nodes = [node("Reshape", ["x", "t"], ["y"])]
    assert from_onnx(model_of(nodes, [4, 3, 2, 2], {"t": np.array([4, -1])})).network.output.op == Flatten()


def test_block_labels_are_inferred() -> None:
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])]
    assert {n.block for n in from_onnx(model_of(nodes, ["n", 4, 6, 6], W)).network.nodes[1:]} == {"u1"}


# Quantised files ----------------------------------------------------------------------------------------------------


def test_qdq_bits_are_kept() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["wq", "ws"], ["w"], axis=0),
        node("Conv", ["xd", "w"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("QuantizeLinear", ["b", "s", "z"], ["bq"]),
        node("DequantizeLinear", ["bq", "s", "z"], ["bd"]),
        node("MaxPool", ["bd"], ["y"], kernel_shape=[2, 2]),
    ]
    constants = {
        "s": 0.1,
        "z": np.array(3, np.uint8),
        "wq": RNG.integers(-128, 127, (6, 4, 3, 3)).astype(np.int8),
        "ws": np.abs(randn(6)) / 64,
    }
    found = from_onnx(model_of(nodes, ["n", 4, 6, 6], constants))
    x, a, b, y = found.network.nodes
    assert (x.out_bits, a.out_bits, b.out_bits, y.out_bits) == (8, 8, 8, 8)
    assert (a.weight_bits, a.in_bits) == (8, 8)
    weight = constants["wq"] * np.asarray(constants["ws"])[:, None, None, None]
    assert np.allclose(found.weights["a.weight"], weight)


def test_qonnx_bits_are_kept() -> None:
    quant = {"domain": "qonnx.custom_op.general", "signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        node("Quant", ["x", "s", "z", "eight"], ["xq"], **quant),
        node("Quant", ["w", "ws", "z", "three"], ["wq"], **(quant | {"signed": 1})),
        node("Conv", ["xq", "wq"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Quant", ["b", "s", "z", "eight"], ["bq"], **quant),
        node("Quant", ["bq", "s", "z", "two"], ["br"], **quant),
        node("BipolarQuant", ["v", "s"], ["vq"], domain="qonnx.custom_op.general"),
        node("Conv", ["br", "vq"], ["y"]),
    ]
    constants = {
        "s": 0.1,
        "z": 0.0,
        "ws": 0.5,
        "eight": 8.0,
        "three": 3.0,
        "two": 2.0,
        "v": randn(2, 6, 1, 1),
        "w": W["w"],
    }
    found = from_onnx(model_of(nodes, ["n", 4, 6, 6], constants, domains=["qonnx.custom_op.general"]))
    x, a, b, y = found.network.nodes
    assert (x.out_bits, b.out_bits) == (8, 8)
    assert (a.weight_bits, a.in_bits) == (3, 8)
    assert (y.weight_bits, y.in_bits, y.out_bits) == (1, 2, None)
    assert np.array_equal(found.weights["a.weight"], np.clip(np.round(W["w"] / 0.5), -4, 3) * 0.5)
    assert np.array_equal(found.weights["y.weight"], np.where(constants["v"] >= 0, 1, -1).astype(np.float32) * 0.1)


# Refusals -----------------------------------------------------------------------------------------------------------


def refuse(model: onnx.ModelProto, *parts: str, kind: type[Exception] = UnsupportedError) -> None:
    with pytest.raises(kind) as info:
        from_onnx(model, "some.onnx")
    text = str(info.value)
    assert "\n" not in text
    for part in parts:
        assert part in text, text


def test_every_unsupported_node_is_named_at_once() -> None:
    nodes = [
        node("LeakyRelu", ["x"], ["a"], name="leak"),
        node("Relu", ["a"], ["b"], name="fine"),
        node("ConvTranspose", ["b", "w"], ["c"], name="up"),
        node("Relu", ["x"], ["d"], name="good"),
        node("HardSigmoid", ["d"], ["e"], name="hard"),
        node("Gelu", ["e"], ["f"], name="gelu", domain="com.example"),
        node("Sum", ["c", "f"], ["y"], name="sum"),
    ]
    refuse(
        model_of(nodes, ["n", 4, 6, 6], {"w": W["w"]}),
        "cannot read 4 node(s)",
        "'leak' (LeakyRelu); 'up' (ConvTranspose); 'hard' (HardSigmoid) is not relu6(x + 3) / 6",
        "'gelu' (com.example.Gelu); cofront has no LeakyRelu, ConvTranspose, com.example.Gelu: docs/network.md lists",
        "what it reads; export the network with other layers in their place",
    )


def test_the_documentation_lists_every_operator_that_is_read() -> None:
    text = (Path(__file__).parents[2] / "docs" / "network.md").read_text()
    listed = text.split("## ONNX operators")[1].split("## ")[0]
    assert set(re.findall(r"`([A-Z]\w+)`", listed)) == {*_HANDLERS, "Constant", "Shape", "CastLike"}


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Clip", ["x", "half"], ["y"])], "clips to [0.5, inf]; cofront has [0, 6] and [0, inf]"),
        ([node("Softmax", ["x"], ["a"]), node("Relu", ["a"], ["y"])], "stands inside the network"),
        ([node("Conv", ["x", "x"], ["y"])], "has weights that are not constant"),
        ([node("Div", ["x", "x"], ["y"])], "takes two tensors"),
        ([node("Div", ["half", "x"], ["y"])], "divides by a tensor"),
        ([node("Transpose", ["x"], ["a"], perm=[0, 2, 3, 1]), node("GlobalMaxPool", ["a"], ["y"])], "not its second"),
        ([node("Reshape", ["x", "batch"], ["y"])], "mixes the batch with other dimensions: (N, 4, 6, 6) to (4, "),
        ([node("Reshape", ["x", "odd"], ["y"])], "changes the shape (N, 4, 6, 6) to (N, 9, 16)"),
        ([node("Transpose", ["x"], ["y"])], "permutes (N, 4, 6, 6) by [3, 2, 1, 0]"),
        ([node("ReduceMean", ["x"], ["y"], axes=[1])], "reduces (N, 4, 6, 6) over axes [1]; expected height and width"),
        ([node("Concat", ["x", "x"], ["y"], axis=2)], "joins along other than the channels"),
        ([node("Add", ["x", "row"], ["y"])], "has a constant of shape (6,); expected one number, or one per channel"),
        ([node("Pad", ["x", "cut"], ["y"])], "pads the batch or the channels, or cuts"),
        ([node("Pad", ["x", "round"], ["y"])], "reads a tensor that is padded"),
        ([node("MatMul", ["x", "square"], ["y"])], "where vectors are expected"),
        ([node("Cast", ["x"], ["a"], to=TensorProto.INT32), node("Relu", ["a"], ["y"])], "rounds to integers"),
        ([node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])], "has dilations"),
        (
            [node("MaxPool", ["x"], ["a", "y"], kernel_shape=[2, 2])],
            "output 'y' cannot be read: it is not its node's first",
        ),
        ([node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2])], "is not in the order (batch, channels, height, width)"),
        ([node("Identity", ["half"], ["y"])], "does not depend on the input"),
        ([node("BatchNormalization", ["x", *"smmm"], ["y"], training_mode=1)], "export the module after eval()"),
        ([node("BatchNormalization", ["x", *"smmm"], ["y", "a", "b"])], "is in training mode"),
        ([node("Dropout", ["x", "half", "yes"], ["y"])], "is in training mode; export the module after eval()"),
        ([node("Mul", ["x", "deep"], ["y"])], "of shape (1, 1, 1, 1, 1), which makes more dimensions of (N, 4, 6, 6)"),
    ],
)
def test_reasons(nodes: list[onnx.NodeProto], reason: str) -> None:
    integers = {"batch": [4, -1], "odd": [0, 9, 16], "cut": [0, 0, -1, 0, 0, 0, 0, 0], "round": [0, 0, 1, 1] * 2}
    constants = {k: np.array(v, np.int64) for k, v in integers.items()}
    constants |= {"half": np.array(0.5), "row": randn(6), "square": randn(6, 6), "yes": np.array(True)}
    constants |= {"s": np.ones(4), "m": np.ones(4), "deep": np.full((1,) * 5, 2.0)}
    refuse(model_of(nodes, ["n", 4, 6, 6], constants), reason)


def test_dynamic_dimensions_are_refused_with_the_remedy() -> None:
    nodes = [node("Relu", ["x"], ["y"])]
    refuse(
        model_of(nodes, ["n", 3, "height", 224]),
        "input 'x' has the dynamic dimension 'height' (axis 2 of [n, 3, height, 224]); only the batch may be dynamic: "
        "give the input shape (input_shape=...), or export with a fixed size",
    )
    refuse(model_of(nodes, ["n", 3, 224, None]), "the dynamic dimension without a name (axis 3")
    found = from_onnx(model_of(nodes, ["n", 3, "h", "w"]), input_shape=(3, 8, 9))
    assert found.network.input.op.out_shape(()) == (3, 8, 9)
    with pytest.raises(InputError, match=r"has dimensions \[n, 3, h, 7\], which 3x8x9 does not fit; write 3x8x7"):
        from_onnx(model_of(nodes, ["n", 3, "h", 7]), input_shape=(3, 8, 9))
    with pytest.raises(InputError, match=r"which 224 does not fit; write 3x224x224 for example"):
        from_onnx(model_of(nodes, ["n", 3, "h", "w"]), input_shape=(224,))
    refuse(model_of(nodes, [3, 8, 8]), "has 3 dimensions; expected images")


def test_one_input_and_one_output() -> None:
    model = model_of([node("Relu", ["x"], ["y"]), node("Sigmoid", ["x"], ["z"])], ["n", 3], outputs=["y", "z"])
    refuse(model, "'some.onnx' has 2 outputs (y, z); say which one is meant with output=NAME")
    assert kinds(from_onnx(model, output="z").network) == ["sigmoid"]
    with pytest.raises(InputError, match="has no output 'q'; its outputs are y, z"):
        from_onnx(model, output="q")
    model.graph.input.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, [1]))
    del model.graph.output[1]
    refuse(model, "has 2 inputs ('x', 'u'); expected one")


def test_damaged_models() -> None:
    conv = node("Conv", ["x", "w"], ["y"], name="c")
    cases: list[tuple[list[onnx.NodeProto], dict[str, Any], str]] = [
        ([node("Relu", ["q"], ["y"], name="r")], {}, "node 'r' reads 'q', which nothing computes"),
        ([node("Relu", ["y"], ["y"])], {}, "has a cycle"),
        ([node("Relu", ["x"], ["y"]), node("Relu", ["x"], ["y"])], {}, "tensor 'y' is computed twice"),
        ([conv], {"w": randn(6, 3, 3, 3)}, "weights of shape (6, 3, 3, 3) in 1 group(s) do not fit an input of 4"),
        ([conv], {"w": np.full((6, 4, 3, 3), np.nan)}, "its weight has values that are not finite"),
        ([conv], {"w": randn(6, 4, 9, 9)}, "window of 9"),
        ([node("Conv", ["x", "w"], ["y"], strides=[0, 1])], W, "strides is [0, 1]; expected 2 numbers of at least 1"),
        ([node("Conv", ["x", "w"], ["y"], pads=[0, -1, 0, 0])], W, "pads is [0, -1, 0, 0]"),
        ([node("Conv", ["x", "w"], ["y"], auto_pad="SOME")], W, "auto_pad is 'SOME'"),
        ([node("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2])], W, "kernel_shape (2, 2) is not that of its weights"),
        ([node("Conv", ["x", "w", "o"], ["y"])], W | {"o": randn(5)}, "has biases of shape (5,); expected (6,)"),
        ([node("Reshape", ["x", "t"], ["y"])], {"t": np.array([0, 7])}, "cannot reshape (N, 4, 6, 6) to (N, 7)"),
    ]
    for nodes, constants, reason in cases:
        refuse(model_of(nodes, ["n", 4, 6, 6], constants), reason, "'some.onnx': ", kind=InputError)


def test_constants_may_not_fill_the_memory() -> None:
    nodes = [node("ConstantOfShape", ["big"], ["c"], name="zeros"), node("Add", ["x", "c"], ["y"])]
    model = model_of(nodes, ["n", 4], {"big": np.array([10**6, 10**6])})
    refuse(model, "'zeros' (ConstantOfShape)", "is too large", kind=InputError)
    assert math.prod((10**6, 10**6)) > 2**28
