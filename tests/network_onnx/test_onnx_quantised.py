"""Quantised networks as QONNX and QDQ: executed, compared with the grids' own arithmetic, and read back."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx_helpers import close, every_operator, execute

from cofront.errors import InputError, UnsupportedError
from cofront.network import Builder, Flatten, Linear, Network, zoo
from cofront.network.onnx_io import (
    Grid,
    IntegerLayer,
    Quantisation,
    calibrate,
    from_onnx,
    integers,
    to_qdq,
    to_qonnx,
)
from cofront.network.reference import apply, run
from cofront.network.weights import random_weights


def expected(network: Network, q: Quantisation, x: np.ndarray) -> np.ndarray:
    """What the quantised network computes, with `Grid` as the quantiser."""
    weights = {f"{k}.weight": v.real() for k, v in q.layers.items()}
    weights |= {f"{k}.bias": v.bias for k, v in q.layers.items() if v.bias is not None}
    values: dict[str, np.ndarray] = {}
    for node in network.nodes:
        if node.inputs:
            inputs = tuple(values[i] for i in node.inputs)
            if node.name in q.read:
                inputs = (q.read[node.name](inputs[0]),)
            y = apply(node, inputs, weights, network.shapes[node.name])
        else:
            y = x
        values[node.name] = q.stored[node.name](y) if node.name in q.stored else y
    return values[network.output.name]


def execute_qonnx(model: onnx.ModelProto, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The output by the qonnx package, node by node."""
    onnx_exec = pytest.importorskip("qonnx.core.onnx_exec")
    from qonnx.core.modelwrapper import ModelWrapper

    # It makes models in the newest IR version that onnx knows, which onnxruntime may not know yet.
    make = functools.partial(onnx_exec.qonnx_make_model, ir_version=8)
    monkeypatch.setattr(onnx_exec, "qonnx_make_model", make)
    out = onnx_exec.execute_onnx(ModelWrapper(model), {model.graph.input[0].name: x})
    return np.asarray(out[model.graph.output[0].name])


def small(weight_bits: int, act_bits: int) -> Network:
    """Operators that are exact in floating point on grids of powers of two."""
    b = Builder("small", (3, 10, 10))
    b.block = "a"
    x = b.conv(8, 3, 2, act="relu6")
    b.depthwise(3, act="relu")
    b.sum(x, b.conv(8, 1))
    b.block = "b"
    b.shuffle(2)
    b.conv(12, 3, groups=2, act="relu")
    b.pool("max", 2, 2)
    b.block = None
    b.classifier(5)
    return b.build().uniform_bits(weight_bits, act_bits)


def dyadic(value: float | np.ndarray) -> np.ndarray:
    return np.asarray(2.0 ** np.ceil(np.log2(value)), np.float32)


def exact(network: Network, seed: int) -> tuple[Quantisation, np.ndarray]:
    """A quantisation whose scales are powers of two, so that every sum is exact and ties are many; and inputs."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((8, 3, 10, 10)).astype(np.float32)
    q = calibrate(network, random_weights(network, rng), x)
    layers = {
        k: replace(v, scale=dyadic(v.scale), bias=None if v.bias is None else np.round(v.bias * 256) / 256)
        for k, v in q.layers.items()
    }

    def on_dyadic(grid: Grid) -> Grid:
        # QuantizeLinear rounds before it adds the zero point: with an odd one, ties to even go the other way.
        return replace(grid, scale=float(dyadic(grid.scale)), zero_point=grid.zero_point & ~1)

    stored, read = ({k: on_dyadic(g) for k, g in d.items()} for d in (q.stored, q.read))
    return Quantisation(layers, stored, read), x


@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (4, 4), (3, 5)])
def test_qonnx_computes_what_the_grids_say(bits: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    network = small(*bits)
    q, x = exact(network, 0)
    model = to_qonnx(network, q)
    onnx.checker.check_model(model)
    got = execute_qonnx(model, x[:1], monkeypatch)
    assert np.array_equal(got, expected(network, q, x[:1]))
    assert len(np.unique(got)) > 1
    # Reading back: the same network, and the weights on their grid.
    back = from_onnx(model)
    assert back.network == network
    assert all(np.array_equal(back.weights[f"{k}.weight"], v.real()) for k, v in q.layers.items())
    # A file whose metadata was lost still has the bits of the multipliers and of what is stored.
    del model.metadata_props[:]
    bare = from_onnx(model).network
    assert {(n.weight_bits, n.in_bits) for n in bare.layers} == {bits}
    assert {n.out_bits for n in bare.nodes[:-1]} == {8, bits[1]}


@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (4, 4)])
def test_qdq_computes_what_the_grids_say(bits: tuple[int, int]) -> None:
    network = small(*bits)
    q, x = exact(network, 1)
    model = to_qdq(network, q)
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(execute(model, x, optimise=False), expected(network, q, x))
    assert from_onnx(model).network == network
    del model.metadata_props[:]
    assert {(n.weight_bits, n.in_bits) for n in from_onnx(model).network.layers} == {bits}


# Below, values that lie next to a tie may be rounded either way, which random weights amplify: hence the tolerance.


def test_every_operator_has_a_quantised_form(monkeypatch: pytest.MonkeyPatch) -> None:
    network = every_operator().uniform_bits(8, 8)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 4, 13, 11)).astype(np.float32)
    weights = random_weights(network, rng)
    q = calibrate(network, weights, x)
    want = expected(network, q, x)
    assert close(want, run(network, weights, x), 0.1)
    for model in (to_qdq(network, q), to_qonnx(network, q, batch=2)):
        qonnx = any(n.op_type == "Quant" for n in model.graph.node)
        got = execute_qonnx(model, x, monkeypatch) if qonnx else execute(model, x, optimise=False)
        assert close(got, want, 0.02)
        assert from_onnx(model).network == network


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv3-large"])
def test_zoo_networks_are_read_back_from_quantised_files(name: str) -> None:
    network = zoo.load(name, classes=10, resolution=32).uniform_bits(4, 4)
    rng = np.random.default_rng(0)
    q = calibrate(network, random_weights(network, rng), rng.standard_normal((1, 3, 32, 32)).astype(np.float32))
    for model in (to_qonnx(network, q), to_qdq(network, q)):
        found = from_onnx(model)
        assert found.network == network
        assert all(np.array_equal(found.weights[f"{k}.weight"], v.real()) for k, v in q.layers.items())


def linear(bits: int = 4, weight: list[list[int]] | None = None, **read: Grid) -> tuple[Network, Quantisation]:
    b = Builder("n", (2, 1, 1))
    b.add(Flatten(), name="flat")
    b.add(Linear(2, bias=True), name="fc")
    w = np.array(weight or [[-8, 7], [1, 2]], np.int8)
    layer = IntegerLayer(w, np.array([0.5, 0.25], np.float32), bits, np.array([0.125, -1], np.float32))
    return b.build(), Quantisation({"fc": layer}, {"input": Grid(0.5, 100, 8)}, read)


def test_given_integers_are_written_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    network, q = linear(fc=Grid(1.0, 8, 4))
    x = np.array([3.4, -20.0], np.float32).reshape(1, 2, 1, 1)
    # stored: 3.5 and -20; read: round(3.5) = 4 (ties to even), and -8, the least value of the grid
    want = np.array([[-4 * 4 - 8 * 3.5 + 0.125, 4 * 0.25 - 8 * 0.5 - 1]], np.float32)
    assert np.array_equal(execute_qonnx(to_qonnx(network, q), x, monkeypatch), want)
    assert np.array_equal(execute(to_qdq(network, q), x, optimise=False), want)
    weight = from_onnx(to_qonnx(network, q)).weights["fc.weight"]
    assert np.array_equal(weight, [[-4, 3.5], [0.25, 0.5]])


def test_readers_in_one_grid_share_a_quantiser() -> None:
    b = Builder("n", (2, 4, 4))
    x = b.conv(4, 1, name="a", norm=False)
    b.sum(b.conv(4, 1, src=x, name="b", norm=False), b.conv(4, 1, src=x, name="c", norm=False))
    network = b.build()
    layers = integers(network, random_weights(network, np.random.default_rng(0)))
    grid = Grid(0.1, 8, 4)
    model = to_qonnx(network, Quantisation(layers, {}, {"b": grid, "c": grid}))
    assert sum(n.op_type == "Quant" for n in model.graph.node) == 3 + 1


def test_weights_take_the_whole_range() -> None:
    network = small(4, 8)
    for layer in integers(network, random_weights(network, np.random.default_rng(0))).values():
        assert np.abs(layer.weight).reshape(len(layer.weight), -1).max(axis=1).tolist() == [7] * len(layer.weight)


def test_what_does_not_fit_is_refused() -> None:
    network, q = linear()
    layer = q.layers["fc"]

    def refused(match: str, changed: Quantisation, of: Network = network) -> None:
        with pytest.raises(InputError, match=match):
            to_qonnx(of, changed)

    refused("quantisation of node 'fc': no integers", Quantisation({}))
    refused("'stored' names 'q', which is no node", replace(q, stored={"q": Grid(1.0)}))
    refused("'read' names 'q', which is no node", replace(q, read={"q": Grid(1.0)}))
    refused("weights are not integers of 3 bits", replace(q, layers={"fc": replace(layer, bits=3)}))
    refused("weights are not integers of 4", replace(q, layers={"fc": replace(layer, weight=layer.weight * 0.5)}))
    refused("biases should be of shape", replace(q, layers={"fc": replace(layer, bias=None)}))
    refused("scales must be positive", replace(q, layers={"fc": replace(layer, scale=-layer.scale)}))
    refused(r"weights \(2, 2\) and scales \(1,\)", replace(q, layers={"fc": replace(layer, scale=layer.scale[:1])}))
    refused("the network states 8 weight bits, the quantisation 4", q, network.uniform_bits(8, 8))
    refused("the network states 4 input bits, the quantisation 8", q, network.uniform_bits(4, 4))
    with pytest.raises(InputError, match="a scale must be a positive number, got nan"):
        Grid(float("nan"))
    with pytest.raises(InputError, match="zero point 16 is outside the range of 4 bits"):
        Grid(1.0, 16, 4)
    with pytest.raises(UnsupportedError, match="QDQ files hold 4 and 8 bits, not 5; write QONNX instead"):
        to_qdq(network, replace(q, read={"fc": Grid(1.0, 0, 5)}))
    with pytest.raises(InputError, match=r"weights of 16 bit\(s\); integers of 2 to 8 bits"):
        integers(network.uniform_bits(16, 16), random_weights(network, np.random.default_rng(0)))
    with pytest.raises(InputError, match=r"weights of 1 bit\(s\); integers of 2 to 8 bits"):
        integers(network.uniform_bits(1, 8), random_weights(network, np.random.default_rng(0)))
    signs = replace(layer, weight=np.full_like(layer.weight, -1), bits=1)
    assert to_qonnx(network.uniform_bits(1, 8), replace(q, layers={"fc": signs})).graph.node
    refused(
        "weights of one bit are -1 or 1", replace(q, layers={"fc": replace(layer, bits=1)}), network.uniform_bits(1, 8)
    )
