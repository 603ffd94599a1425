"""The NumPy reference against PyTorch, operator by operator and on random networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cofront.errors import InputError
from cofront.network import Builder, Conv2d, Network, Pool2d
from cofront.network.reference import ACTIVATIONS, run, run_all
from cofront.network.weights import random_weights

torch = pytest.importorskip("torch")


def _torch_output(network: Network, weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    from cofront.network.pytorch import to_torch

    with torch.no_grad():
        return to_torch(network, weights).eval()(torch.from_numpy(x)).numpy()


sides = st.tuples(*[st.integers(0, 3)] * 4)
small = st.integers(1, 3)


@settings(max_examples=40, deadline=None)
@given(
    groups=small,
    per_in=small,
    per_out=small,
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(small, small),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=sides,
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    norm=st.booleans(),
    bias=st.booleans(),
)
def test_any_convolution(groups, per_in, per_out, kernel, stride, dilation, padding, size, norm, bias) -> None:
    op = Conv2d(groups * per_out, kernel, stride, padding, groups, dilation, bias=bias, norm=norm)
    b = Builder("one", (groups * per_in, *size))
    try:
        b.add(op, "input")
    except InputError:
        assume(False)
    network = b.build()
    rng = np.random.default_rng(0)
    weights = random_weights(network, rng)
    x = rng.standard_normal((2, groups * per_in, *size), dtype=np.float32)
    ours = run(network, weights, x)
    assert ours.shape == (2, *network.shapes[network.output.name])
    np.testing.assert_allclose(ours, _torch_output(network, weights, x), rtol=1e-4, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["max", "avg"]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(small, small),
    padding=sides,
    symmetric=st.booleans(),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    ceil=st.booleans(),
    include=st.booleans(),
)
def test_any_pooling(kind, kernel, stride, padding, symmetric, size, ceil, include) -> None:
    top, left, *_ = padding
    if symmetric:
        padding = (top, left, top, left)
    # A window of nothing but padding has no maximum and no average.
    assume(max(padding[0], padding[2]) < kernel[0] and max(padding[1], padding[3]) < kernel[1])
    op = Pool2d(kind, kernel, stride, padding, ceil, include)
    b = Builder("one", (2, *size))
    b.add(op, "input")
    network = b.build()
    x = np.random.default_rng(0).standard_normal((2, 2, *size), dtype=np.float32)
    ours = run(network, {}, x)
    assert ours.shape == (2, *network.shapes[network.output.name])
    np.testing.assert_allclose(ours, _torch_output(network, {}, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", list(ACTIVATIONS))
def test_activations(kind) -> None:
    b = Builder("one", (1, 1, 401))
    b.act(kind)
    network = b.build()
    x = np.linspace(-100, 100, 401, dtype=np.float32).reshape(1, 1, 1, 401)
    ours = run(network, {}, x)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, _torch_output(network, {}, x), rtol=1e-5, atol=1e-6)


def test_everything_else_in_one_graph() -> None:
    b = Builder("all", (4, 6, 6))
    a = b.conv(8, 3, act="hswish", name="a")
    s = b.shuffle(4)
    g = b.squeeze_excite(3)
    c = b.concat(a, s, g)
    p = b.add(_global(), c)
    total = b.sum(c, p, c)  # (c, 1, 1) broadcasts
    b.sum(total, c)
    b.classifier(5)
    network = b.build()
    rng = np.random.default_rng(1)
    weights = random_weights(network, rng)
    x = rng.standard_normal((3, 4, 6, 6), dtype=np.float32)
    np.testing.assert_allclose(run(network, weights, x), _torch_output(network, weights, x), rtol=1e-4, atol=1e-4)
    values = run_all(network, weights, x)
    assert {k: v.shape[1:] for k, v in values.items()} == network.shapes


def _global():
    from cofront.network import GlobalPool

    return GlobalPool()


def test_channel_shuffle_by_hand() -> None:
    b = Builder("s", (6, 1, 1))
    b.shuffle(2)
    x = np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
    assert run(b.build(), {}, x).ravel().tolist() == [0, 3, 1, 4, 2, 5]


def test_wrong_input_shape() -> None:
    b = Builder("s", (6, 4, 4))
    b.act("relu")
    with pytest.raises(InputError, match=r"'s' takes inputs of shape \(n, 6, 4, 4\), got \(6, 4, 4\)"):
        run(b.build(), {}, np.zeros((6, 4, 4), dtype=np.float32))
