"""Fast training against PyTorch in float32: outputs, gradients, running statistics, and that nothing else changes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cofront.network import AdderConv2d, Builder, Network, ShiftConv2d
from cofront.network.pytorch import NetworkModule, fold_batchnorm, to_torch
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.supernet import MixedSupernet
from cofront.space import load
from cofront.task import speed
from cofront.task.native import library
from cofront.task.speed import input_dtype, speed_up

needs_kernel = pytest.mark.skipif(library("normalise") is None, reason="no C compiler or no AVX-512")

CASES: dict[str, Callable[[Builder], object]] = {
    "pointwise": lambda b: b.conv(48, 1),
    "pointwise_relu": lambda b: b.conv(48, 1, act="relu"),
    "pointwise_relu6": lambda b: b.conv(48, 1, act="relu6"),
    "pointwise_hswish": lambda b: b.conv(48, 1, act="hswish"),
    "pointwise_padded": lambda b: b.conv(48, 1, padding=1, act="relu"),
    "pointwise_strided": lambda b: b.conv(48, 1, 2, act="relu"),
    "grouped": lambda b: b.conv(32, 1, groups=2, act="relu"),
    "full_strided": lambda b: b.conv(16, 3, 2, act="relu"),
    "odd_width": lambda b: b.conv(20, 1, act="relu"),
    "bias_without_norm": lambda b: b.conv(32, 1, bias=True, norm=False, act="relu"),
    "even_kernel": lambda b: b.conv(32, 2, padding=(0, 0, 1, 1), act="relu"),
    "shift": lambda b: b.depthwise(3, act="relu", op=ShiftConv2d),
    "adder": lambda b: b.conv(16, 1, act="relu", op=AdderConv2d),
    "squeeze_excite": lambda b: b.squeeze_excite(16),
    **{f"dw{k}_{s}": lambda b, k=k, s=s: b.depthwise(k, s, act="relu") for k in (3, 5, 7) for s in (1, 2)},  # type: ignore[misc]
    **{f"dw{k}_{s}_dilated": lambda b, k=k, s=s: b.depthwise(k, s, dilation=2) for k in (3, 5, 7) for s in (1, 2)},  # type: ignore[misc]
    "dw_without_norm": lambda b: b.depthwise(5, norm=False, bias=True, act="relu"),
}


def residual() -> Network:
    """An inverted residual twice, a shuffle, and a classifier: what the searched networks are made of."""
    b = Builder("residual", (3, 16, 16))
    x = b.conv(16, 3, 2, act="relu", name="stem")
    for i in range(2):
        b.conv(32, 1, groups=2, act="relu", name=f"b{i}.expand")
        b.shuffle(2)
        b.depthwise(3, act="relu", name=f"b{i}.dw")
        x = b.sum(x, b.conv(16, 1, name=f"b{i}.project"))
        b.act("relu")  # reads the sum, and must stay where it is
    b.classifier(10)
    return b.build()


def case(name: str) -> Network:
    b = Builder(name, (32, 9, 9))
    CASES[name](b)
    return b.build()


def images(*shape: int, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
    return x.to(dtype, memory_format=torch.channels_last)


def pair(network: Network) -> tuple[NetworkModule, NetworkModule]:
    """(plain, fast) with the same parameters, scales and offsets drawn too, on the same grid as the fast one's."""
    plain = to_torch(network)
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in plain.parameters():
            if p.ndim == 1:
                p.add_(0.3 * torch.randn(p.shape, generator=g))
            p.copy_(p.bfloat16().float())
    return plain, speed_up(copy.deepcopy(plain))


def off(a: Tensor, b: Tensor) -> float:
    """Distance as a share of the second's length."""
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp_min(1e-12))


@needs_kernel
@pytest.mark.parametrize("name", CASES)
def test_training_is_pytorchs_within_bfloat16(name: str) -> None:
    plain, fast = pair(case(name))
    ours = images(8, 32, 9, 9).requires_grad_()
    theirs = ours.detach().float().requires_grad_()
    y, z = fast(ours), plain(theirs)
    assert y.dtype == torch.bfloat16
    # next to an activation's bends bfloat16 may fall on the other side, which would be most of the difference
    agreed = (y.sign() == z.sign()) & ((y < 6) == (z < 6)) & ((y < 3) == (z < 3))
    assert float(agreed.float().mean()) > 0.998
    g = images(*z.shape, seed=1) * agreed
    y.backward(g)
    z.backward(g.float())
    assert ours.grad is not None
    assert theirs.grad is not None
    assert off(y, z) < 0.01
    assert off(ours.grad, theirs.grad) < 0.025
    for (key, p), q in zip(fast.named_parameters(), plain.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert p.grad.dtype == torch.float32
        assert off(p.grad, q.grad) < 0.025, key
    for key, value in plain.named_buffers():
        assert off(fast.get_buffer(key), value) < 0.005, key
        assert fast.get_buffer(key).dtype == value.dtype


@needs_kernel
def test_running_statistics_are_moved_once_a_step() -> None:
    plain, fast = pair(residual())
    for i in range(5):
        x = images(8, 3, 16, 16, seed=i)
        fast(x)
        plain(x.float())
    for key, value in plain.named_buffers():
        assert off(fast.get_buffer(key), value) < 0.01, key
        if key.endswith("num_batches_tracked"):
            assert int(fast.get_buffer(key)) == 5
    x = images(8, 3, 16, 16, dtype=torch.float32)
    assert off(fast.eval()(x), plain.eval()(x)) < 0.02


@needs_kernel
def test_a_network_with_residuals_learns_as_in_float32() -> None:
    plain, fast = pair(residual())
    x = images(16, 3, 16, 16)
    labels = torch.arange(16) % 10
    losses = [nn.functional.cross_entropy(n, labels) for n in (fast(x), plain(x.float()))]
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=0.02)
    for (key, p), q in zip(fast.named_parameters(), plain.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert off(p.grad, q.grad) < 0.35, key  # bends of ReLUs again, seven layers deep


@needs_kernel
def test_relu_runs_in_the_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fast = pair(residual())
    found: list[bool] = []

    def spy(*args: object, **kw: object) -> Tensor:
        found.append(bool(args[4]))
        return real(*args, **kw)  # type: ignore[arg-type]

    real = speed.norm_relu
    monkeypatch.setattr(speed, "norm_relu", spy)
    fast(images(4, 3, 16, 16))
    assert found == [True, True, True, False, True, True, False]


@pytest.mark.parametrize("training", [True, False])
def test_float32_is_bit_for_bit_what_it_was(training: bool) -> None:
    for network, shape in ((residual(), (8, 3, 16, 16)), *((case(n), (8, 32, 9, 9)) for n in CASES)):
        plain, fast = pair(network)
        x = images(*shape, dtype=torch.float32)
        y, z = fast.train(training)(x), plain.train(training)(x)
        assert torch.equal(y, z)
        y.square().sum().backward()
        z.square().sum().backward()
        for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            assert torch.equal(p.grad, q.grad)
        for b, c in zip(fast.buffers(), plain.buffers(), strict=True):
            assert torch.equal(b, c)


def test_eval_mode_takes_bfloat16_images_and_computes_in_float32() -> None:
    plain, fast = pair(residual())
    x = images(8, 3, 16, 16)
    assert torch.equal(fast.eval()(x), plain.eval()(x.float()))


def test_names_in_the_state_are_the_same() -> None:
    plain, fast = pair(residual())
    assert list(plain.state_dict()) == list(fast.state_dict())
    again = to_torch(residual())
    again.load_state_dict(fast.state_dict())
    ours, theirs = fold_batchnorm(fast), fold_batchnorm(again)
    assert all((ours[k] == theirs[k]).all() for k in theirs)
    assert list(ours) == list(theirs)


def test_once_more_changes_nothing() -> None:
    _, fast = pair(residual())
    x = images(4, 3, 16, 16, dtype=torch.float32)
    before = fast.eval()(x)
    assert speed_up(fast) is fast
    assert torch.equal(fast(x), before)


def test_without_kernels_images_are_float32_and_bfloat16_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    import cofront.task.depthwise
    import cofront.task.normalise

    for module in (speed, cofront.task.depthwise, cofront.task.normalise):
        monkeypatch.setattr(module, "library", lambda name: None)
    assert input_dtype() == torch.float32
    plain, fast = pair(residual())
    x = images(8, 3, 16, 16)
    y, z = fast(x), plain(x.float())
    assert off(y, z) < 0.05
    for key, value in plain.named_buffers():
        assert off(fast.get_buffer(key), value) < 0.01, key


def test_types_of_images() -> None:
    assert input_dtype() in (torch.float32, torch.bfloat16)
    assert input_dtype("meta") == torch.float32


@needs_kernel
@pytest.mark.parametrize("name", ["fbnet@cifar10-small", "light_nas@cifar10-small"])
def test_supernets_are_sped_up_inside(name: str) -> None:
    space = load(name)
    layered = space.layered(("W8A8",))
    layers = Layers.of_trellis(space, layered.trellis)
    plain = MixedSupernet(layers, layered)
    fast = speed_up(copy.deepcopy(plain))
    weights = torch.full(layers.shape, 1.0 / layers.shape[1], dtype=torch.float64, requires_grad=True)
    x, labels = images(16, 3, 32, 32), torch.arange(16) % 10
    out = []
    for net, batch in ((fast, x), (plain, x.float())):
        w = weights.detach().clone().requires_grad_()
        loss = nn.functional.cross_entropy(net(batch, Relaxed(w, w)).float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        assert w.grad is not None
        out.append((float(loss.detach()), w.grad))
    assert out[0][0] == pytest.approx(out[1][0], rel=0.02)
    # sums with much cancellation: what counts is that rounding is little beside what another batch would change
    assert float(torch.cosine_similarity(out[0][1].flatten(), out[1][1].flatten(), 0)) > 0.8


@pytest.mark.parametrize("cap", [6.0, float("inf")])
def test_what_is_no_number_stays_none(cap):
    """A training must see it: the fused activation may not make a number of it."""
    from cofront.task.normalise import norm_relu

    x = torch.randn((2, 16, 4, 4)).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    x[0, 3, 1, 2] = float("nan")
    y = norm_relu(x, torch.ones(16), torch.zeros(16), 1e-5, True, cap=cap)
    assert bool(torch.isnan(y[:, 3]).all()) and bool(torch.isfinite(y[:, :3]).all())
