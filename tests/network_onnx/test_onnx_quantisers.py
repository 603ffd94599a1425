"""Quantisers of files that cofront did not write: their ranges are non-linearities that the file has nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_helpers import execute, model_of
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from cofront.errors import UnsupportedError
from cofront.network import Builder, Conv2d, Network
from cofront.network.onnx_io import Imported, Quantisation, from_onnx, to_onnx, to_qdq, to_qonnx
from cofront.network.onnx_io.grids import Grid, integers
from cofront.network.ops import Activation
from cofront.network.reference import run
from cofront.network.weights import random_weights

node = helper.make_node


class Images(CalibrationDataReader):
    def __init__(self, x: np.ndarray) -> None:
        self.left = iter(x)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.left, None)
        return None if image is None else {"x": image[None]}


def plain(seed: int = 0) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """conv, Relu, conv, Clip(0, 6), global average, Gemm; every other channel is negative nearly always."""
    rng = np.random.default_rng(seed)
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2", "b2"], ["c"], pads=[1, 1, 1, 1]),
        node("Clip", ["c", "low", "high"], ["d"]),
        node("GlobalAveragePool", ["d"], ["e"]),
        node("Flatten", ["e"], ["f"]),
        node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    sign = np.tile([4.0, -4.0], 4)
    constants = {
        "w1": rng.normal(size=(8, 3, 3, 3)), "b1": sign, "w2": rng.normal(size=(8, 8, 3, 3)), "b2": sign,
        "w3": rng.normal(size=(10, 8)), "low": np.zeros(()), "high": np.full((), 6.0),
    }  # fmt: skip
    return nodes, constants


def activations(found: Imported) -> list[str]:
    return [n.op.kind for n in found.network.nodes if isinstance(n.op, Activation)]


def agrees(found: Imported, model: onnx.ModelProto, x: np.ndarray, share: float = 0.05) -> None:
    """The network computes the file's numbers but for rounding, at most `share` of their spread."""
    wanted = execute(model, x)
    assert np.abs(run(found.network, found.weights, x) - wanted).max() < share * np.ptp(wanted)


@pytest.mark.parametrize("kind", [QuantType.QUInt8, QuantType.QInt8])
def test_activations_that_quantize_static_deletes_come_back(kind: QuantType, tmp_path: Path) -> None:
    nodes, constants = plain()
    x = np.random.default_rng(1).normal(size=(16, 3, 8, 8)).astype(np.float32)
    onnx.save(model_of(nodes, ["n", 3, 8, 8], constants), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "qdq.onnx", Images(x), quant_format=QuantFormat.QDQ,
        activation_type=kind, weight_type=QuantType.QInt8, per_channel=True,
    )  # fmt: skip
    model = onnx.load(tmp_path / "qdq.onnx")
    assert not {"Relu", "Clip"} & {n.op_type for n in model.graph.node}, "onnxruntime keeps them now: test another way"
    found = from_onnx(model)
    assert activations(found) == ["relu", "relu6"]
    agrees(found, model, x)
    assert any("read as relu6" in note for note in found.notes)
    assert all(n.out_bits == 8 for n in found.network.nodes[:5])


def test_activations_deleted_from_a_file_of_ours_come_back(tmp_path: Path) -> None:
    b = Builder("ours", (3, 8, 8))
    b.conv(8, 3, act="relu", name="one")
    b.conv(8, 3, act="relu6", name="two")
    b.classifier(10)
    network = b.build()
    onnx.save(to_onnx(network, random_weights(network, np.random.default_rng(0))), tmp_path / "float.onnx")
    x = np.random.default_rng(1).normal(size=(16, 3, 8, 8)).astype(np.float32)

    class Ours(Images):
        def get_next(self) -> dict[str, np.ndarray] | None:
            image = super().get_next()
            return None if image is None else {network.input.name: image["x"]}

    quantize_static(tmp_path / "float.onnx", tmp_path / "qdq.onnx", Ours(x), quant_format=QuantFormat.QDQ)
    model = onnx.load(tmp_path / "qdq.onnx")
    found = from_onnx(model)
    assert len(activations(found)) == 2
    agrees(found, model, x)


def qonnx(signed: int, bits: float, scale: float, zero: float = 0.0) -> tuple[onnx.ModelProto, np.ndarray]:
    """A QONNX quantiser between two convolutions, and the same file with standard operators' arithmetic."""
    nodes, constants = plain()
    flags = {"domain": "qonnx.custom_op.general", "signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [nodes[0], node("Quant", ["a", "s", "z", "n"], ["b"], **flags), *nodes[2:]]
    constants |= {"s": np.full((), scale), "z": np.full((), zero), "n": np.full((), bits)}
    return model_of(nodes, ["n", 3, 8, 8], constants, domains=["qonnx.custom_op.general"]), constants


def standard(model: onnx.ModelProto, low: float, high: float, scale: float) -> onnx.ModelProto:
    """The file with its Quant node written as scaling, rounding, clipping and scaling back."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    nodes = list(out.graph.node)
    del out.graph.node[:]
    for n in nodes:
        if n.op_type != "Quant":
            out.graph.node.append(n)
            continue
        out.graph.initializer.extend(
            onnx.numpy_helper.from_array(np.array(v, np.float32), k)
            for k, v in (("q_low", low), ("q_high", high), ("q_s", scale))
        )
        out.graph.node.extend([
            node("Div", [n.input[0], "q_s"], ["q1"]), node("Round", ["q1"], ["q2"]),
            node("Clip", ["q2", "q_low", "q_high"], ["q3"]), node("Mul", ["q3", "q_s"], [n.output[0]]),
        ])  # fmt: skip
    del out.opset_import[1:]
    return out


def test_an_unsigned_quant_is_a_relu() -> None:
    model, _ = qonnx(0, 8.0, 0.1)
    found = from_onnx(model)
    assert activations(found) == ["relu", "relu6"]
    assert (found.network.nodes[1].out_bits, found.network.nodes[2].out_bits) == (8, 8)
    agrees(found, standard(model, 0, 255, 0.1), np.random.default_rng(1).normal(size=(8, 3, 8, 8)).astype(np.float32))


def test_its_top_tells_relu6() -> None:
    assert activations(from_onnx(qonnx(0, 8.0, 6 / 255)[0]))[0] == "relu6"
    assert activations(from_onnx(qonnx(0, 4.0, 6 / 15)[0]))[0] == "relu6"
    assert activations(from_onnx(qonnx(0, 8.0, 5 / 255)[0]))[0] == "relu"


def test_a_range_below_zero_is_noted_and_adds_nothing() -> None:
    found = from_onnx(qonnx(1, 8.0, 1 / 127)[0])
    assert activations(found) == ["relu6"]
    assert any("clip at the ends" in note and "[-1.01, 1]" in note for note in found.notes)
    assert activations(from_onnx(qonnx(0, 8.0, 1 / 127, 3.0)[0])) == ["relu6"]


def test_what_is_not_negative_needs_no_relu() -> None:
    nodes, constants = plain()
    flags = {"domain": "qonnx.custom_op.general", "signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        *nodes[:2],
        node("MaxPool", ["b"], ["p"], kernel_shape=[2, 2]),
        node("Quant", ["p", "s", "z", "n"], ["q"], **flags),
        node("Conv", ["q", "w2"], ["c"]),
        *nodes[3:],
    ]
    constants |= {"s": np.full((), 0.1), "z": np.zeros(()), "n": np.full((), 8.0)}
    found = from_onnx(model_of(nodes, ["n", 3, 8, 8], constants, domains=["qonnx.custom_op.general"]))
    assert activations(found) == ["relu", "relu6"]


@pytest.mark.parametrize("op", ["BipolarQuant", "Quant"])
def test_signs_of_activations_are_refused(op: str) -> None:
    model, _ = qonnx(1, 1.0, 0.5)
    for n in model.graph.node:
        if n.op_type == "Quant":
            n.op_type = op
    with pytest.raises(UnsupportedError, match="takes the sign of activations"):
        from_onnx(model)


@pytest.mark.parametrize("change", ["s", "z"])
def test_integers_are_read_as_they_were_written(change: str) -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "t", "o"], ["d"]),
        node("Relu", ["d"], ["y"]),
    ]
    constants = {"s": np.full((), 0.5), "t": np.full((), 0.5), "z": np.array(3, np.uint8), "o": np.array(3, np.uint8)}
    assert activations(from_onnx(model_of(nodes, ["n", 3, 8, 8], constants))) == ["relu"]
    constants[change] = constants[change] + np.ones((), constants[change].dtype)
    with pytest.raises(UnsupportedError, match="another scale or zero point than they were written with"):
        from_onnx(model_of(nodes, ["n", 3, 8, 8], constants))


def linear_bottleneck() -> tuple[Network, Quantisation]:
    b = Builder("bottleneck", (2, 4, 4))
    b.add(Conv2d(2, (1, 1), norm=False), name="one")
    b.add(Conv2d(2, (1, 1), norm=False), name="two")
    network = b.build()
    weights = random_weights(network, np.random.default_rng(0))
    grids = {"input": Grid(0.1), "one": Grid(0.1)}
    return network, Quantisation(integers(network, weights), {k: g for k, g in grids.items() if k in network.by_name})


def test_files_of_ours_keep_their_layers() -> None:
    network, grids = linear_bottleneck()
    for write in (to_qonnx, to_qdq):
        found = from_onnx(write(network, grids))
        assert [n.name for n in found.network.nodes] == [n.name for n in network.nodes]
        assert not found.notes
