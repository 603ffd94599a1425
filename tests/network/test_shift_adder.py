"""Shift and adder convolutions: powers of two, gradients by their formulas, reference against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UnsupportedError
from cofront.hardware.subgraph import lower
from cofront.hardware.tables.operators import operator_key
from cofront.network import AdderConv2d, Builder, Conv2d, Network, ShiftConv2d
from cofront.network.reference import run
from cofront.network.shift_adder import power_of_two, shift_codes
from cofront.network.weights import load, random_weights, save, weight_shapes

torch = pytest.importorskip("torch")

KINDS = (ShiftConv2d, AdderConv2d)
floats = st.floats(-4, 4, width=32, allow_subnormal=True)


def small(op: type, groups: int = 1, stride: int = 1, norm: bool = True, bias: bool = False) -> Network:
    b = Builder("small", (4, 7, 6))
    b.block = "a"
    b.conv(8, 3, stride, groups=groups, act="relu", norm=norm, bias=bias, op=op, name="first")
    b.depthwise(3, op=op, name="second")
    b.conv(5, 1, op=op, name="third")
    return b.build()


def plain_adder(x: np.ndarray, w: np.ndarray, stride: int, pad: int, groups: int) -> np.ndarray:
    """One scalar after the other."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, _, height, width = x.shape
    o, per, k, _ = w.shape
    out = np.zeros((n, o, (height - k) // stride + 1, (width - k) // stride + 1))
    for i, f, r, s in np.ndindex(*out.shape):
        first = f // (o // groups) * per
        for d, u, v in np.ndindex(per, k, k):
            out[i, f, r, s] -= abs(x[i, first + d, r * stride + u, s * stride + v] - w[f, d, u, v])
    return out


def plain_gradients(x, w, g, stride: int, pad: int, groups: int):
    """sum g hardtanh(w - x) and sum g (x - w), one scalar after the other."""
    xp = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    gx, gw = np.zeros_like(xp), np.zeros(w.shape)
    o, per, k, _ = w.shape
    for i, f, r, s in np.ndindex(*g.shape):
        first = f // (o // groups) * per
        for d, u, v in np.ndindex(per, k, k):
            at = (i, first + d, r * stride + u, s * stride + v)
            gx[at] += g[i, f, r, s] * np.clip(w[f, d, u, v] - xp[at], -1, 1)
            gw[f, d, u, v] += g[i, f, r, s] * (xp[at] - w[f, d, u, v])
    end = (slice(pad, -pad or None),) * 2
    return gx[(..., *end)], gw


@given(st.lists(floats, min_size=1, max_size=30), st.integers(2, 6))
def test_shift_weights_are_powers_of_two_and_stay(values: list[float], bits: int) -> None:
    w = np.array(values, np.float32)
    q = power_of_two(w, bits)
    sign, places = shift_codes(w, bits)
    assert np.array_equal(q, sign * 2.0 ** -places.astype(float))
    assert set(np.unique(sign)) <= {-1, 1} and places.min() >= 0 and places.max() <= 2 ** (bits - 1) - 1
    assert np.array_equal(power_of_two(q, bits), q)
    from cofront.network.torch_io.shift_adder import power_of_two as in_torch

    assert np.array_equal(in_torch(torch.from_numpy(w), bits).numpy(), q)
    inside = (np.abs(w) >= 2.0 ** -(2.0 ** (bits - 1) - 1)) & (np.abs(w) <= 1)
    ratio = np.abs(np.log2(np.abs(q[inside] / w[inside])))
    assert np.all(ratio <= 0.5 + 1e-6)


def test_what_a_code_cannot_say() -> None:
    assert power_of_two(np.zeros(1, np.float32)).tolist() == [2.0**-31]
    assert power_of_two(np.array([-9.0], np.float32)).tolist() == [-1.0]
    with pytest.raises(InputError, match="2 to 8 bits, got 9"):
        power_of_two(np.zeros(1, np.float32), 9)


def test_shift_gradient_passes_straight_through() -> None:
    from cofront.network.torch_io.shift_adder import power_of_two as in_torch

    torch.manual_seed(0)
    w, x = torch.randn(3, 2, 3, 3, requires_grad=True), torch.randn(2, 2, 5, 5)
    q = in_torch(w.detach()).requires_grad_()
    g = torch.randn(2, 3, 3, 3)
    torch.nn.functional.conv2d(x, in_torch(w)).backward(g)
    torch.nn.functional.conv2d(x, q).backward(g)
    assert torch.equal(w.grad, q.grad)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("groups", "stride", "pad", "k", "out"),
    [(1, 1, 1, 3, 4), (1, 2, 0, 1, 4), (2, 1, 2, 3, 4), (4, 2, 1, 3, 4), (1, 1, 0, 1, 9)],
)
def test_adder_forward_and_gradients_are_the_formulas(
    groups: int, stride: int, pad: int, k: int, out: int, compiled: bool, monkeypatch
) -> None:
    from cofront.network.torch_io import shift_adder

    monkeypatch.setattr(shift_adder, "COMPILED", compiled)
    rng = np.random.default_rng(groups)
    x = rng.standard_normal((2, 4, 6, 5)).astype(np.float32)
    w = rng.standard_normal((out, 4 // groups, k, k)).astype(np.float32)
    expected = plain_adder(x, w, stride, pad, groups)
    g = rng.standard_normal(expected.shape).astype(np.float32)
    gx, gw = plain_gradients(x, w, g, stride, pad, groups)
    for rescale in (False, True):
        tx, tw = torch.from_numpy(x).requires_grad_(), torch.from_numpy(w).requires_grad_()
        y = shift_adder.adder_conv2d(tx, tw, (stride,) * 2, (pad,) * 2, groups=groups, rescale=rescale)
        np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-5, rtol=1e-6)
        y.backward(torch.from_numpy(g))
        np.testing.assert_allclose(tx.grad.numpy(), gx, atol=1e-5, rtol=1e-6)
        length = 0.2 * np.sqrt(gw.size) / np.linalg.norm(gw) if rescale else 1.0
        np.testing.assert_allclose(tw.grad.numpy(), length * gw, atol=1e-5, rtol=1e-5)


def test_gradients_do_not_depend_on_the_chunks(monkeypatch) -> None:
    from cofront.network.torch_io import shift_adder

    out = []
    monkeypatch.setattr(shift_adder, "COMPILED", False)
    for chunk in (1, 1 << 18):
        monkeypatch.setattr(shift_adder, "CHUNK", chunk)
        torch.manual_seed(1)
        x, w = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(5, 3, 1, 1)
        shift_adder.adder_conv2d(x, w).square().sum().backward()
        out.append(x.grad)
    torch.testing.assert_close(out[0], out[1])


def test_compiled_loops_do_not_hide_what_is_not_finite() -> None:
    from cofront.network.torch_io.shift_adder import adder_conv2d

    for bad in (np.nan, np.inf):
        x, w = torch.zeros(1, 3, 2, 2), torch.ones(5, 3, 1, 1)
        x[0, 1, 0, 0] = bad
        y = adder_conv2d(x, w)
        assert not torch.isfinite(y[0, :, 0, 0]).any() and torch.isfinite(y[0, :, 1, 1]).all()


@settings(max_examples=20)
@given(st.sampled_from(KINDS), st.sampled_from([1, 2, 4]), st.integers(1, 2), st.booleans(), st.booleans())
def test_module_and_reference_agree(op: type, groups: int, stride: int, norm: bool, bias: bool) -> None:
    from cofront.network.pytorch import fold_batchnorm, to_torch

    network = small(op, groups, stride, norm, bias)
    rng = np.random.default_rng(0)
    weights = random_weights(network, rng)
    assert ("first.scale" in weights) == norm
    x = rng.standard_normal((2, 4, 7, 6)).astype(np.float32)
    ours = run(network, weights, x)
    with torch.no_grad():
        module = to_torch(network, weights).eval()
        np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), ours, rtol=1e-4, atol=1e-4)
        trained = to_torch(network)
        for _ in range(3):
            trained(torch.randn(8, 4, 7, 6))
        trained.eval()
        np.testing.assert_allclose(
            run(network, fold_batchnorm(trained), x), trained(torch.from_numpy(x)).numpy(), rtol=1e-3, atol=1e-4
        )


def test_padding_that_differs_from_side_to_side() -> None:
    from cofront.network.pytorch import to_torch

    for op in KINDS:
        b = Builder("odd", (2, 5, 5))
        b.conv(3, 3, 2, padding=(0, 1, 2, 1), op=op)
        network, rng = b.build(), np.random.default_rng(3)
        weights, x = random_weights(network, rng), rng.standard_normal((1, 2, 5, 5)).astype(np.float32)
        with torch.no_grad():
            theirs = to_torch(network, weights).eval()(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(run(network, weights, x), theirs, rtol=1e-4, atol=1e-5)


def test_sizes_count_weights_scale_and_offset(tmp_path) -> None:
    twins = [small(op).uniform_bits(8, 8) for op in (Conv2d, *KINDS)]
    assert len({n.macs for n in twins}) == len({n.params for n in twins}) == 1
    channels = 8 + 8 + 5
    assert [n.weight_bytes - twins[0].weight_bytes for n in twins] == [0, 4 * channels, 4 * channels]
    weights = random_weights(twins[1], np.random.default_rng(0))
    save(tmp_path / "w.safetensors", weights)
    assert load(tmp_path / "w.safetensors", twins[1]).keys() == weight_shapes(twins[1]).keys()


@pytest.mark.parametrize("op", KINDS)
def test_who_cannot_run_them_says_so(op: type, tmp_path) -> None:
    network = small(op).uniform_bits(8, 8)
    weights = random_weights(network, np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match=rf"subgraph accelerator cannot run 'first' \({op.__name__}\)"):
        lower(network)
    from cofront.network.onnx_io.write import Writer

    with pytest.raises(InputError, match=f"node 'first': no ONNX form for the operator {op.__name__}"):
        Writer(network, weights).model(None)


def test_operator_keys_tell_kinds_apart() -> None:
    keys = [operator_key(small(op)) for op in (Conv2d, *KINDS)]
    assert len(set(keys)) == 3
    assert keys[0].split("|")[1] == "conv8k3float" and keys[1].split("|")[1] == "shift8k3float"
    assert keys[2].split("|")[1] == "adder8k3float"
