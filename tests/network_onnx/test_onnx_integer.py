"""The integer network as ONNX: bit for bit in integers, and to a rounding step as QONNX and QDQ."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_helpers import execute

from cofront.errors import InputError
from cofront.network import Builder, Network
from cofront.network.onnx_io import quantisation_of, to_integer_onnx, to_qdq, to_qonnx
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual

SCALE = {"stem.act": 0.05, "pw.act": 0.04, "dw.act": 0.03, "sum": 0.06, "pool": 0.02, "fc": 1 / 4096}


def network() -> Network:
    b = Builder("tiny", (3, 9, 9))
    b.block = "a"
    x = b.conv(8, 3, 2, act="relu", name="stem")
    x = b.last
    b.conv(16, 1, act="relu", name="pw")
    b.depthwise(3, act="relu6", name="dw")
    b.sum(x, b.conv(8, 1, name="back"), name="sum")
    b.block = None
    b.classifier(5, name="fc")
    return b.build().with_bits(lambda n: (4, 4) if n.name in ("dw", "back") else (8, 8))


def integers(net: Network, seed: int) -> QuantizedNetwork:
    """Random integers of plausible size on the scales above."""
    rng = np.random.default_rng(seed)
    scales = {"input": 1 / 64, **{{"pool": "fc.pool"}.get(k, k): v for k, v in SCALE.items()}}

    def layer(name: str, output: str, zero_in: int, zero_out: int, out_bits: int, **kw: object) -> QuantizedLayer:
        node = net.by_name[name]
        shape = node.op.weight_shape(net.in_shapes(node))
        assert shape is not None
        bits = node.weight_bits or 8
        top = 2 ** (bits - 1) - 1
        return QuantizedLayer(
            rng.integers(-top, top + 1, shape).astype(np.int8),
            rng.integers(-400, 400, shape[0]).astype(np.int32),
            rng.integers(16384, 32768, shape[0]).astype(np.int32),
            {"dw": 18, "back": 18, "fc": 15}.get(name, 23),
            zero_in, zero_out, out_bits, bits, output, **kw,  # type: ignore[arg-type]
        )  # fmt: skip

    layers = {
        "stem": layer("stem", "stem.act", 128, 0, 8),
        "pw": layer("pw", "pw.act", 0, 0, 8),
        "dw": layer("dw", "dw.act", 0, 0, 4, read=Rescale(1639, 14, 0, 0, 4)),
        "back": layer("back", "sum", 0, 131, 8, residual=Residual("stem.act", 0, 218453)),
        "fc": layer("fc", "fc", 128, 0, 0),
    }
    pools = {"fc.pool": Rescale(7864, 16, 131, 128, 8)}
    return QuantizedNetwork(net, layers, pools, 128, 1 / 64, scales)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_integer_file_is_bit_exact(seed: int) -> None:
    net = integers(network(), seed)
    model = to_integer_onnx(net)
    onnx.checker.check_model(model, full_check=True)
    images = np.random.default_rng(seed).integers(0, 256, (16, 9, 9, 3)).astype(np.uint8)
    want = net.run(images)
    got = execute(model, np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    assert got.dtype == np.int64
    assert np.array_equal(got, want)
    assert len(np.unique(want)) > 10


def test_the_files_say_what_their_numbers_mean() -> None:
    net = integers(network(), 0)
    graph = to_integer_onnx(net).graph
    assert (graph.input[0].name, graph.output[0].name) == (net.network.input.name, net.network.output.name)
    assert graph.input[0].doc_string == "pixels from 0 to 255"
    assert graph.output[0].doc_string == f"logits, in steps of {SCALE['fc']:.6g}"
    real = to_qonnx(net.network, quantisation_of(net)).graph
    assert real.input[0].doc_string == "(whole number from 0 to 255 - 128) * 0.015625"


def test_as_qonnx_it_differs_by_rounding_only() -> None:
    net = integers(network(), 0)
    q = quantisation_of(net)
    assert to_qonnx(net.network, q).graph.name == "tiny"
    images = np.random.default_rng(2).integers(0, 256, (16, 9, 9, 3)).astype(np.uint8)
    real = ((images.astype(np.float32) - 128) / 64).transpose(0, 3, 1, 2)
    got = execute(to_qdq(net.network, q), np.ascontiguousarray(real), optimise=False) / np.float32(SCALE["fc"])
    want = net.run(images)
    # One step of the pooled vector, at 8 bits, moves a logit by at most 127 * multiplier / 2^15.
    assert np.abs(got - want).max() <= 127
    assert (got.argmax(1) == want.argmax(1)).mean() > 0.9


def test_a_scale_that_is_missing_is_named() -> None:
    net = integers(network(), 0)
    with pytest.raises(InputError, match=r"no scale for tensor 'dw\.act'"):
        quantisation_of(QuantizedNetwork(net.network, net.layers, net.pools, scales={"pw.act": 1, "stem.act": 1}))
