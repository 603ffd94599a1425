"""Relaxations: weights of one, masks, gradients; temperatures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cofront.errors import UsageError
from cofront.search.gradient.relax import Temperature, by_name, entropy, one_hot, single_path

NAMES = ("softmax", "gumbel", "gumbel-hard", "single-path", "top-2")
MASK = torch.tensor([[True, True, True], [True, False, True]])


def logits(seed: int) -> torch.Tensor:
    return torch.randn((2, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(name: str, theta: torch.Tensor, seed: int = 3, tau: float = 0.7):
    return by_name(name)(theta.masked_fill(~MASK, -math.inf), tau, torch.Generator().manual_seed(seed))


@given(st.sampled_from(NAMES), st.integers(0, 1000))
def test_weights_sum_to_one_and_masked_options_get_none(name, seed):
    relaxed = draw(name, logits(seed), seed)
    for w in (relaxed.weights, relaxed.encoding):
        assert torch.allclose(w.sum(1), torch.ones(2, dtype=torch.float64))
        assert torch.all(w[~MASK] == 0)
    if relaxed.paths is not None:
        outside = torch.ones_like(relaxed.weights).scatter(1, relaxed.paths, 0.0)
        assert torch.all(relaxed.weights[outside > 0] == 0)
    if name in ("gumbel-hard", "single-path"):
        assert sorted(relaxed.weights.unique().round(decimals=9).tolist()) == [0.0, 1.0]


@pytest.mark.parametrize("name", ["softmax", "gumbel", "top-2"])
def test_soft_gradients_are_finite_differences(name):
    costs = torch.tensor([[1.0, 4.0, 2.0], [3.0, 9.0, 1.0]], dtype=torch.float64)
    theta = logits(0).requires_grad_()
    (grad,) = torch.autograd.grad((draw(name, theta).weights * costs).sum(), [theta])
    step = 1e-6
    for i in range(2):
        for j in range(3):
            shift = torch.zeros_like(theta)
            shift[i, j] = step
            with torch.no_grad():
                up, down = ((draw(name, theta + s * shift).weights * costs).sum() for s in (1, -1))
            assert float(grad[i, j]) == pytest.approx(float((up - down) / (2 * step)), abs=1e-7)


def test_straight_through_has_the_gradient_of_the_soft_weights():
    costs = torch.tensor([[1.0, 4.0, 2.0], [3.0, 9.0, 1.0]], dtype=torch.float64)
    grads = {}
    for name in ("gumbel", "gumbel-hard", "single-path"):
        theta = logits(1).requires_grad_()
        (grads[name],) = torch.autograd.grad((draw(name, theta).encoding * costs).sum(), [theta])
    assert torch.allclose(grads["gumbel"], grads["gumbel-hard"])
    assert torch.allclose(grads["gumbel"], grads["single-path"])
    theta = logits(1).requires_grad_()
    relaxed = draw("single-path", theta)
    (only,) = torch.autograd.grad((relaxed.weights * costs).sum(), [theta])
    assert not torch.allclose(only, grads["gumbel"])  # a loss is felt through the drawn option alone
    assert relaxed.paths is not None and relaxed.paths.shape == (2, 1)


def test_draws_follow_the_softmax():
    theta = torch.log(torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    counts = sum(single_path(theta, 1.0, generator).weights[0] for _ in range(2000)) / 2000
    assert counts.tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_temperature_and_entropy():
    t = Temperature(5.0, 0.045, hold=10)
    assert t.at(0) == t.at(10) == 5.0
    assert t.at(11) / t.at(10) == pytest.approx(0.956, abs=1e-3)
    assert Temperature(1.0, 10.0, least=0.1).at(5) == 0.1
    assert entropy(torch.zeros((2, 4))) == pytest.approx(math.log(4))
    assert entropy(torch.tensor([[0.0, -math.inf]])) == 0.0
    assert np.array_equal(one_hot(torch.tensor([2, 0]), (2, 3)).weights.numpy(), [[0, 0, 1], [1, 0, 0]])


def test_bad_names():
    with pytest.raises(UsageError, match="no relaxation named 'gumble'; did you mean gumbel"):
        by_name("gumble")
    with pytest.raises(UsageError, match="at least one path"):
        by_name("top-0")
    with pytest.raises(UsageError, match="above 0"):
        Temperature(0.0)
