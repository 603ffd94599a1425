"""The pieces of training: images, quantisers, own kernels against PyTorch, the loop and its resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.task import network_of, quantize, subnet
from cofront.task.augment import augment, cutmix, resize
from cofront.task.data import Dataset
from cofront.task.depthwise import SIZES, depthwise
from cofront.task.finetune import finetune
from cofront.task.native import library
from cofront.task.normalise import norm_relu, quant_kernel
from cofront.task.quant import FakeAct, act_range, fake_weight, weight_integers, weight_scale
from cofront.task.release import load_supernet, save_supernet
from cofront.task.resize import resize_images, resize_matrix
from cofront.task.supernet import Supernet, convs
from cofront.task.train import Recipe, Trainer

needs_kernel = pytest.mark.skipif(library("normalise") is None, reason="no C compiler or no AVX-512")


def near(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    return float((a.detach().double() - b.detach().double()).abs().max() / b.detach().abs().max()) < tolerance


def last(*shape: int, seed: int = 0) -> torch.Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("side", [24, 28, 32, 40])
def test_resize_is_the_same_integers_in_torch_and_numpy(side: int) -> None:
    x = np.random.default_rng(side).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    assert (resize_matrix(32, side).sum(1) == 128).all()
    there = resize(torch.from_numpy(x).permute(0, 3, 1, 2), side).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(resize_images(x, side), there)
    np.testing.assert_array_equal(resize_images(np.full_like(x, 200), side), 200)


def test_augment_moves_and_flips() -> None:
    x = torch.randint(0, 256, (64, 16, 16, 3), dtype=torch.uint8)
    plain = augment(x, torch.Generator().manual_seed(1), pad=0, hole=0).permute(0, 2, 3, 1)
    kept = [bool((p == a).all()) for p, a in zip(plain, x, strict=True)]
    flipped = [bool((p == a.flip(1)).all()) for p, a in zip(plain, x, strict=True)]
    assert all(k != f for k, f in zip(kept, flipped, strict=True))
    assert 10 < sum(kept) < 54
    holes = augment(torch.zeros_like(x), torch.Generator().manual_seed(1), hole=4)
    assert ((holes == 128).sum((1, 2, 3)) <= 3 * 16).all()


@settings(max_examples=30, deadline=None)
@given(bits=st.sampled_from([4, 8]), seed=st.integers(0, 99), spread=st.floats(0.01, 100))
def test_weights_are_on_their_grid(bits: int, seed: int, spread: float) -> None:
    w = torch.randn((8, 4, 3, 3), generator=torch.Generator().manual_seed(seed)) * spread
    s = weight_scale(w, bits)
    q = weight_integers(w, s, bits)
    assert float(q.abs().max()) <= 2 ** (bits - 1) - 1
    assert torch.equal(q, q.round())
    inside = w.abs() <= s.view(-1, 1, 1, 1) * (2 ** (bits - 1) - 1)
    assert bool((((fake_weight(w, bits) - w).abs() <= s.view(-1, 1, 1, 1) * 0.501) | ~inside).all())


def test_gradients_pass_inside_the_range_only() -> None:
    x = torch.tensor([-9.0, -8.4, 0.2, 7.4, 7.6], requires_grad=True)
    FakeAct.apply(x, 1.0, *act_range(4, True)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


@needs_kernel
@pytest.mark.parametrize("shape", [(7, 48, 9, 9), (3, 16, 1, 1), (2, 1024, 4, 4)])
@pytest.mark.parametrize("relu", [True, False])
def test_norm_kernel(shape: tuple[int, ...], relu: bool) -> None:
    x, g = last(*shape).requires_grad_(), last(*shape, seed=1)
    gamma, beta = (torch.randn(shape[1]).requires_grad_() for _ in range(2))
    y = norm_relu(x, gamma, beta, 1e-5, relu)
    y.backward(g)
    a, b, c = (t.detach().double().requires_grad_() for t in (x, gamma, beta))
    z = F.batch_norm(a, None, None, b, c, True, 0.1, 1e-5)
    z = F.relu(z) if relu else z
    z.backward(g.double())
    assert near(y, z, 0.01)
    for ours, theirs in ((x, a), (gamma, b), (beta, c)):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert near(ours.grad, theirs.grad, 0.01)


@needs_kernel
@pytest.mark.parametrize(("kernel", "dilation"), SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 8, 9])
def test_depthwise_kernel(kernel: int, dilation: int, stride: int, side: int) -> None:
    x, w = last(5, 32, side, side).requires_grad_(), torch.randn(32, 1, kernel, kernel).requires_grad_()
    y = depthwise(x, w, stride, dilation)
    g = last(*y.shape, seed=1)
    y.backward(g)
    a, b = x.detach().double().requires_grad_(), w.detach().double().requires_grad_()
    z = F.conv2d(a, b, stride=stride, padding=kernel // 2 * dilation, dilation=dilation, groups=32)
    z.backward(g.double())
    assert x.grad is not None
    assert w.grad is not None
    assert near(y, z, 0.01)
    assert near(x.grad, a.grad, 0.01)  # type: ignore[arg-type]
    assert near(w.grad, b.grad, 1e-4)  # type: ignore[arg-type]


@needs_kernel
def test_quant_kernel() -> None:
    x, g = last(4, 32, 5, 5).requires_grad_(), last(4, 32, 5, 5, seed=1)
    y = quant_kernel(x, 0.17, -8, 7)
    y.backward(g)
    a = x.detach().float().requires_grad_()
    z = FakeAct.apply(a, 0.17, -8, 7)
    z.backward(g.float())
    assert near(y, z, 0.01)
    assert torch.equal(x.grad.float(), a.grad)  # type: ignore[union-attr]


def test_subnetworks_share_weights() -> None:
    net = Supernet(torch.Generator().manual_seed(0))
    small, big = (convs(subnet.decode(make()).blocks[0]) for make in (subnet.smallest, subnet.largest))
    wide = net.weights[small[1].name]
    assert torch.equal(net.weight(small[1]), wide[: small[1].cout, :, 1:4, 1:4])
    assert net.weight(big[0]).shape == net.weights[big[0].name].shape
    x = torch.zeros(2, 3, 24, 24)
    for q in (False, True):
        assert net(x, subnet.decode(subnet.smallest(2)), quantised=q).shape == (2, 10)


def recipe(**changes: object) -> Recipe:
    small: dict[str, object] = {"minutes": 1, "batch": 8, "warm": 0.0, "quantised_from": 0.0, "teach_from": 0.0}
    small |= {"path_batch": 8, "every": 2, "threads": 1}
    return Recipe(**{**small, **changes})  # type: ignore[arg-type]


def test_resumes_exactly(tiny: Dataset, tmp_path: Path) -> None:
    a = Trainer(tiny, recipe(), tmp_path)
    for _ in range(2):
        a.elapsed += 2
        a.train_step()
    a.save()
    b = Trainer(tiny, recipe(), tmp_path)
    b.load()
    assert (b.step, b.epoch, b.position) == (a.step, a.epoch, a.position)
    assert a.train_step() == b.train_step()
    for (name, p), q in zip(a.net.named_parameters(), b.net.parameters(), strict=True):
        assert torch.equal(p, q), name


def test_finetuning_learns(tiny: Dataset, tmp_path: Path) -> None:
    point = tuple(int(i) for i in subnet.smallest(2))
    t = Trainer(tiny, recipe(point=point, lr=((0.0, 0.05), (1.0, 0.05))), tmp_path)
    losses = [t.train_step()["loss"] for _ in range(12)]
    assert np.mean(losses[-3:]) < losses[0]


def test_finetune_starts_from_weights_and_resumes(tiny: Dataset, tmp_path: Path) -> None:
    save_supernet(Supernet(torch.Generator().manual_seed(0)), tmp_path / "w.safetensors", {})
    first = finetune(subnet.smallest(1), 0.005, 0, tiny, tmp_path / "run", tmp_path / "w.safetensors")
    again = finetune(subnet.smallest(1), 0.005, 0, tiny, tmp_path / "run", tmp_path / "w.safetensors")
    assert first.meta["steps"] == again.meta["steps"] > 0
    assert torch.equal(first.net.linear, again.net.linear)
    assert quantize(first.net, first.point, tiny).network.name == network_of(first.point).name


def test_cutmix_pastes_one_box_and_tells_its_share() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.arange(8).view(8, 1, 1, 1).expand(8, 3, 32, 24).to(torch.uint8)
    shares = []
    for _ in range(20):
        out, labels, others, share = cutmix(x, torch.arange(8), g)
        own = (out == x).float().mean((1, 2, 3))
        assert torch.allclose(own[labels != others], torch.tensor(share))
        assert all(set(o.unique().tolist()) <= {i, int(others[i])} for i, o in enumerate(out))
        shares.append(share)
    assert min(shares) < 0.4 < 0.8 < max(shares)


def test_the_mean_of_weights_is_kept_resumed_and_handed_on(tiny: Dataset, tmp_path: Path) -> None:
    point = tuple(int(i) for i in subnet.smallest(0))
    how = recipe(point=point, lr=((0.0, 0.05), (1.0, 0.05)), cutmix=0.5, average_from=0.0)
    a = Trainer(tiny, how, tmp_path)
    seen = []
    for _ in range(3):
        a.train_step()
        a.average()
        seen.append(a.net.linear.detach().clone())
    a.save()
    b = Trainer(tiny, how, tmp_path)
    b.load()
    assert b.averaged == 3
    assert a.train_step() == b.train_step()
    b.settle()
    assert torch.allclose(b.net.linear, torch.stack(seen).mean(0), atol=1e-6)
    assert torch.equal(load_supernet(a.checkpoint)[0].linear, b.net.linear)


def test_a_longer_time_box_averages_anew(tiny: Dataset, tmp_path: Path) -> None:
    point = tuple(int(i) for i in subnet.smallest(0))
    how = recipe(point=point, lr=((0.0, 0.05), (1.0, 0.05)), average_from=0.5)
    a = Trainer(tiny, how, tmp_path)
    a.train_step()
    a.average()
    a.elapsed = 0.75 * 60
    a.save()
    for minutes, kept in ((1.0, 1), (10.0, 0)):
        b = Trainer(tiny, replace(how, minutes=minutes), tmp_path)
        b.load()
        b.train_step = lambda b=b: setattr(b, "elapsed", 1e9) or {}  # type: ignore[method-assign,misc]
        b.run()
        assert (b.averaged, bool(b.mean)) == (kept, bool(kept))
        a.save()


def test_a_checkpoint_of_another_training_is_refused(tiny: Dataset, tmp_path: Path) -> None:
    for i in range(2):
        save_supernet(Supernet(torch.Generator().manual_seed(i)), tmp_path / f"{i}.safetensors", {})

    def train(point: int, seed: int, data: Dataset, weights: int, minutes: float = 0.001, threads: int = 1) -> None:
        start = tmp_path / f"{weights}.safetensors"
        finetune(subnet.smallest(point), minutes, seed, data, tmp_path / "run", start, threads=threads)

    train(1, 0, tiny, 0)
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    kept = checkpoint.read_bytes()
    other = replace(tiny, x_train=tiny.x_train[::-1].copy())
    for named, wrong in (
        ("point", (0, 0, tiny, 0)),
        ("seed 0, not 7", (1, 7, tiny, 0)),
        ("training images", (1, 0, other, 0)),
        ("weights to start from", (1, 0, tiny, 1)),
    ):
        with pytest.raises(UsageError, match=f"is of another training .*{named}.*name another folder"):
            train(*wrong)
        assert checkpoint.read_bytes() == kept
    train(1, 0, tiny, 0, minutes=0.03, threads=2)  # the same for longer
    assert checkpoint.read_bytes() != kept


def test_a_checkpoint_that_does_not_tell_its_start_goes_on(tiny: Dataset, tmp_path: Path) -> None:
    a = Trainer(tiny, recipe(), tmp_path, start="something")
    a.start = a.images = None  # as checkpoints were once
    a.save()
    b = Trainer(tiny, recipe(minutes=2), tmp_path, start="something else")
    b.load()
    b.save()
    Trainer(tiny, recipe(), tmp_path, start="anything").load()  # what was unknown does not become known


def test_time_box_ends_and_logs(tiny: Dataset, tmp_path: Path) -> None:
    t = Trainer(tiny, Recipe(minutes=0.01, batch=8, threads=1, point=tuple(map(int, subnet.smallest()))), tmp_path)
    t.run(log_s=0.1)
    assert t.share >= 1
    assert "validation at" in (tmp_path / "log.txt").read_text()


def test_release_round_trip_and_errors(tmp_path: Path) -> None:
    net = Supernet(torch.Generator().manual_seed(0))
    save_supernet(net, tmp_path / "w.safetensors", {"seed": 0})
    back, meta = load_supernet(tmp_path / "w.safetensors")
    assert meta == {"seed": 0}
    assert torch.equal(back.linear, net.linear.half().float())
    assert (tmp_path / "w.safetensors").stat().st_size < 20e6
    (tmp_path / "w.safetensors").write_bytes(b"12345678" * 9)
    with pytest.raises(InputError, match="does not hold the weights"):
        load_supernet(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no supernet weights"):
        load_supernet(tmp_path / "none")
