"""Shift and adder layers on integers: against loops over Python's own shifts, on disk, and against floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UnsupportedError
from cofront.network import AdderConv2d, Builder, Conv2d, Network, Node, ShiftConv2d
from cofront.network.reference import run
from cofront.network.shift_adder import shift_codes
from cofront.network.weights import random_weights
from cofront.task.hybrid import quantise, real_inputs
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, accumulate

ADDER, SHIFT = AdderConv2d, ShiftConv2d


def one(op: type, cin: int, cout: int, kernel: int, stride: int, depthwise: bool, side: int) -> Node:
    b = Builder("n", (cin, side, side))
    b.conv(cin if depthwise else cout, kernel, stride, groups=cin if depthwise else 1, op=op, name="c")
    return b.build().by_name["c"]


@settings(max_examples=40)
@given(st.data())
def test_accumulators_are_loops_of_integer_shifts_and_differences(data: st.DataObject) -> None:
    pick = lambda *a: data.draw(st.sampled_from(a))  # noqa: E731
    op, kernel, stride, side, depthwise = pick(SHIFT, ADDER), pick(1, 3), pick(1, 2), pick(4, 5), pick(True, False)
    cin, cout, align, zero = pick(2, 5), pick(1, 3), pick(0, 3, 9, 16), pick(0, 8, 128)
    node = one(op, cin, cout, kernel, stride, depthwise, side)
    cout = cin if depthwise else cout
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    shape = (cout, 1 if depthwise else cin, kernel, kernel)
    w = rng.integers(1, 33, shape) * rng.choice([-1, 1], shape) if op is SHIFT else rng.integers(-31, 32, shape)
    align = align if op is SHIFT else align % 5
    bias = rng.integers(-1000, 1000, cout).astype(np.int32)
    layer = QuantizedLayer(w.astype(np.int8), bias, np.ones(cout, np.int32), 1, zero, 0, 8, 6, "c", align=align)
    a = rng.integers(0, 256, (2, side, side, cin)).astype(np.int32)
    got = accumulate(node, layer, a)
    pad = kernel // 2
    x = np.pad(a, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=zero).astype(int) - zero
    for n, i, j, c in np.ndindex(*got.shape):
        total = int(bias[c])
        for d, u, v in np.ndindex(*shape[1:]):
            value = int(x[n, i * stride + u, j * stride + v, c if depthwise else d])
            code = int(w[c, d, u, v])
            if op is SHIFT:
                shifted = (value << align) >> (abs(code) - 1)
                total += shifted if code > 0 else -shifted
            else:
                total -= abs(value - (code << align))
        assert got[n, i, j, c] == total


@given(st.integers(0, 255), st.integers(-31, 0), st.integers(0, 16))
def test_a_shift_layer_multiplies_by_its_power_of_two_where_no_bit_is_lost(q: int, power: int, align: int) -> None:
    node = one(SHIFT, 1, 1, 1, 1, False, 1)
    sign, places = shift_codes(np.array([2.0**power], np.float32))
    code = np.array(sign * (places + 1), np.int8).reshape(1, 1, 1, 1)
    layer = QuantizedLayer(code, np.zeros(1, np.int32), np.ones(1, np.int32), 1, 128, 0, 8, 6, "c", align=align)
    got = int(accumulate(node, layer, np.array(q).reshape(1, 1, 1, 1))[0, 0, 0, 0])
    exact = (q - 128) * 2.0 ** (power + align)
    assert got == np.floor(exact)


def pictures(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 8, 8, 3) each of a colour of its own, and some noise."""
    colour = rng.integers(0, 256, (n, 1, 1, 3))
    return np.clip(colour + rng.integers(-40, 41, (n, 8, 8, 3)), 0, 255).astype(np.uint8)


def hybrid(op: type, bits: int = 6) -> Network:
    b = Builder("hybrid", (3, 8, 8))
    b.block = "stem"
    b.conv(8, 3, act="relu", name="stem")
    b.block = "a"
    b.conv(16, 1, act="relu", op=op, name="expand")
    b.depthwise(3, act="relu", op=op, name="dw")
    b.conv(8, 1, op=op, name="project")
    b.sum("stem.act", b.last, name="add")
    b.block = "head"
    b.conv(12, 1, act="relu", name="head")
    b.classifier(5)
    return b.build().with_bits(lambda n: (8 if not isinstance(n.op, SHIFT | ADDER) else bits, 8))


def calibrated(network: Network, images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Random weights whose batch norms, as in training, give every channel a variance near 1; some gammas below 0."""
    torch = pytest.importorskip("torch")
    from cofront.network.pytorch import fold_batchnorm, to_torch

    rng = np.random.default_rng(seed)
    module = to_torch(network, rng=rng)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
                layer.weight.copy_(torch.from_numpy(rng.uniform(0.7, 1.3, len(layer.weight))))
                layer.weight[rng.random(len(layer.weight)) < 0.1] *= -1
        module(torch.from_numpy(real_inputs(images, 8)))
    return fold_batchnorm(module)


@pytest.mark.parametrize(
    ("op", "bits", "least"), [(Conv2d, 8, 0.98), (SHIFT, 6, 0.98), (ADDER, 8, 0.98), (ADDER, 6, 0.9)]
)
def test_integers_follow_the_floats(op: type, bits: int, least: float, tmp_path) -> None:
    images = pictures(np.random.default_rng(1), 200)
    network = hybrid(op, bits)
    weights = calibrated(network, images, 2)
    net = quantise(network, weights, images[:100])
    if op is not Conv2d:
        assert {net.layers[n].weight_bits for n in ("expand", "dw", "project")} == {bits}
    real = run(network, weights, real_inputs(images[100:], 8))
    logits = net.run(images[100:]).astype(float)
    correlation = [np.corrcoef(real[:, j], logits[:, j])[0, 1] for j in range(5)]
    assert min(correlation) > least, correlation
    assert float((real.argmax(1) == logits.argmax(1)).mean()) > 0.8
    net.save(tmp_path / "net.safetensors")
    again = QuantizedNetwork.load(tmp_path / "net.safetensors")
    assert again.network == network
    assert np.array_equal(again.run(images[100:110]), net.run(images[100:110]))


def test_bad_integers_are_named() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)
    for op in (SHIFT, ADDER):
        net = quantise(hybrid(op), random_weights(hybrid(op), rng), images)
        good = net.layers["expand"]

        def broken(**change: object) -> None:
            QuantizedNetwork(net.network, {**net.layers, "expand": replace(good, **change)}, net.pools)  # noqa: B023

        with pytest.raises(InputError, match="'expand': align must be a whole number from 0 to 16, found 17"):
            broken(align=17)
        with pytest.raises(InputError, match="'expand': weights exceed 6 bits"):
            broken(weight=np.full_like(good.weight, 40))
        with pytest.raises(InputError, match="sums may reach"):
            broken(bias=np.full_like(good.bias, 2**31 - 1))
        if op is SHIFT:
            with pytest.raises(InputError, match="0 is no code of a shift weight"):
                broken(weight=np.zeros_like(good.weight))
            with pytest.raises(InputError, match=r"multipliers must be 0\.\.32767"):
                broken(multiplier=-np.abs(good.multiplier) - 1)
    conv = quantise(hybrid(Conv2d), random_weights(hybrid(Conv2d), rng), images)
    with pytest.raises(InputError, match="align must be a whole number from 0 to 0"):
        QuantizedNetwork(conv.network, {**conv.layers, "stem": replace(conv.layers["stem"], align=1)}, conv.pools)


def test_what_has_no_integers_is_named() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    b = Builder("swish", (3, 8, 8))
    b.conv(4, 1, act="hswish", name="first")
    b.classifier(2)
    network = b.build()
    with pytest.raises(UnsupportedError, match="'first': layers here have weights of known bits and read 8 bits"):
        quantise(network, random_weights(network, rng), images)
    network = network.uniform_bits(8, 8)
    with pytest.raises(UnsupportedError, match=r"'first.act': hswish has no integers; known: relu"):
        quantise(network, random_weights(network, rng), images)


@pytest.mark.parametrize("op", [SHIFT, ADDER])
def test_neither_onnx_nor_rtl_take_their_integers(op: type) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    net = quantise(hybrid(op), random_weights(hybrid(op), rng), images)
    from cofront.network.onnx_io.integer import to_integer_onnx

    with pytest.raises(UnsupportedError, match=f"'expand': {op.__name__} has no ONNX form"):
        to_integer_onnx(net)
    from cofront.hardware.subgraph import lower

    with pytest.raises(UnsupportedError, match="the subgraph accelerator cannot run 'expand'"):
        lower(net.network)
