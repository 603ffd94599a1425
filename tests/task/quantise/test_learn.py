"""Gradients through the rounding, and training that makes a setting better."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from quantise_nets import learnable, module_of, patches  # noqa: E402

from cofront.network import Network  # noqa: E402
from cofront.network.weights import Weights  # noqa: E402
from cofront.task.quantise.inputs import pixels_of  # noqa: E402
from cofront.task.quantise.learn import Learner  # noqa: E402
from cofront.task.quantise.refine import refine  # noqa: E402
from cofront.task.quantise.straight import rounded, signs  # noqa: E402


@given(
    seed=st.integers(0, 10**6), bits=st.integers(2, 8), size=st.floats(0.01, 10), channels=st.booleans(),
)  # fmt: skip
@settings(max_examples=50)
def test_gradients_of_the_rounding(seed: int, bits: int, size: float, channels: bool) -> None:
    g = torch.Generator().manual_seed(seed)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    x = (torch.randn(3, 50, generator=g) * high * size / 2).requires_grad_()
    step = torch.full((3, 1) if channels else (), size, requires_grad=True)
    up = torch.randn(3, 50, generator=g)
    y = rounded(x, step, low, high)
    (y * up).sum().backward()
    q = (x / step).detach()
    inside = (q > low - 0.5) & (q < high + 0.5)
    assert torch.equal(y.detach(), q.round().clamp(low, high) * step.detach())
    assert torch.equal(x.grad, up * inside)
    by_step = torch.where(inside, q.round() - q, q.round().clamp(low, high)) * up
    want = by_step.sum(1, keepdim=True) if channels else by_step.sum()
    assert torch.allclose(step.grad, want, rtol=1e-3, atol=1e-3 * (1 + float(by_step.abs().sum())))


def test_the_step_s_gradient_is_that_of_the_range_where_values_are_clipped() -> None:
    x, step = torch.tensor([100.0, -100.0]), torch.tensor(0.5, requires_grad=True)
    rounded(x, step, -8, 7).backward(torch.tensor([1.0, 0.0]))
    # 7 times the step is what comes out, so this derivative is no approximation.
    assert float(step.grad) == 7


def test_one_bit_is_a_sign_times_a_step() -> None:
    x = torch.tensor([[-3.0, -0.5, 0.0, 0.4, 5.0]], requires_grad=True)
    step = torch.tensor([[1.0]], requires_grad=True)
    y = signs(x, step)
    assert y.tolist() == [[-1, -1, 1, 1, 1]]
    y.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    assert float(step.grad) == -1 - 2 + 3 + 4 + 5
    assert x.grad.tolist() == [[0, 2, 3, 4, 0]]


@pytest.fixture(scope="module")
def made() -> tuple[Network, Weights]:
    return learnable()


@pytest.mark.parametrize("bits", [(8, 8), (4, 4), (2, 3), (1, 8)])
def test_training_starts_with_the_setting(made: tuple[Network, Weights], bits: tuple[int, int]) -> None:
    network, weights = made
    module = module_of(made, bits)
    x = patches(32, seed=3)
    for setting in (module.setting, refine(module.setting, network, weights, patches(64), "rounding")):
        learner = Learner(setting, weights)
        module.use(setting)
        want = module.logits(x)
        got = learner(pixels_of(x, network)).flatten(1).detach()
        assert float((got - want).square().mean()) < 5e-3 * float(want.var())
        again = learner.learned()
        clipped = sum(int((again.layers[n].codes != setting.layers[n].codes).sum()) for n in setting.layers)
        assert clipped == 0
        assert all(again.stored[t].scale == pytest.approx(setting.stored[t].scale, rel=1e-5) for t in setting.stored)
