"""Refinement: moments restored, roundings of lesser error, and nothing made worse on the way."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from quantise_nets import bottleneck, patches  # noqa: E402

from cofront.errors import InputError, UsageError  # noqa: E402
from cofront.network import Builder, Network  # noqa: E402
from cofront.network.weights import Weights, random_weights  # noqa: E402
from cofront.task.quantise.convert import to_integers  # noqa: E402
from cofront.task.quantise.grids import Rules, top_of, weight_codes, weight_scales  # noqa: E402
from cofront.task.quantise.observe import observe, watched  # noqa: E402
from cofront.task.quantise.refine import Seen, bias, refine  # noqa: E402
from cofront.task.quantise.rounding import descend, moments, rounding  # noqa: E402
from cofront.task.quantise.setting import LayerSetting, Setting  # noqa: E402
from cofront.task.quantise.simulate import QuantModule, Simulator  # noqa: E402
from cofront.task.quantise.steps import Step  # noqa: E402


def images(n: int, seed: int = 0) -> np.ndarray:
    return patches(n, 3, seed)


def network() -> Network:
    b = Builder("n", (3, 12, 12))
    bottleneck(b)
    b.conv(8, 3, 2, groups=2, act="relu6", name="grouped")
    b.classifier(6)
    return b.build()


@pytest.fixture(scope="module")
def made() -> tuple[Network, Weights]:
    return network(), random_weights(network(), np.random.default_rng(4))


def form(codes: torch.Tensor, scale: torch.Tensor, xx: torch.Tensor, xt: torch.Tensor) -> torch.Tensor:
    w = codes * scale[..., None]
    return (w @ xx * w).sum(2) - 2 * (w * xt.transpose(1, 2)).sum(2)


@given(seed=st.integers(0, 10**6), bits=st.integers(1, 5), groups=st.integers(1, 3), free=st.booleans())
@settings(max_examples=40)
def test_descent_never_raises_the_error(seed: int, bits: int, groups: int, free: bool) -> None:
    g = torch.Generator().manual_seed(seed)
    x, w = torch.randn(groups, 40, 6, generator=g), torch.randn(groups, 3, 6, generator=g)
    xx, xt = x.transpose(1, 2) @ x / 40, x.transpose(1, 2) @ (x @ w.transpose(1, 2)) / 40
    scale = weight_scales(w.flatten(0, 1), bits, Rules("max")).view(groups, 3)
    codes = weight_codes(w.flatten(0, 1), scale.flatten(), bits).view(w.shape)
    new, own = descend(codes, scale, xx, xt, bits, 4, free)
    assert (form(new, own, xx, xt) <= form(codes, scale, xx, xt) + 1e-4).all()
    assert new.abs().max() <= top_of(bits) and torch.equal(new, new.round())
    assert free or torch.equal(own, scale)
    if bits == 1:
        assert (new.abs() == 1).all()


def test_descent_is_near_the_best_of_all_roundings() -> None:
    g = torch.Generator().manual_seed(0)
    better, total, best_of_all = 0.0, 0.0, 0.0
    for _ in range(20):
        mix = torch.randn(5, 5, generator=g)
        x, w = torch.randn(1, 60, 5, generator=g) @ mix, torch.randn(1, 1, 5, generator=g)
        xx, xt = x.transpose(1, 2) @ x / 60, x.transpose(1, 2) @ (x @ w.transpose(1, 2)) / 60
        scale = torch.full((1, 1), float(w.abs().max()))
        codes = (w / scale).round()
        new, _ = descend(codes, scale, xx, xt, 2, 8, False)
        every = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=5)))[None, :]
        wanted = (w @ xx * w).sum()
        errors = form(every, scale.expand(1, len(every[0])), xx, xt.expand(1, 5, len(every[0]))) + wanted
        total += float(form(codes, scale, xx, xt) + wanted)
        better += float(form(new, scale, xx, xt) + wanted)
        best_of_all += float(errors.min())
        assert form(new, scale, xx, xt) + wanted >= errors.min() - 1e-4
    assert better < 0.6 * total and better < 2 * best_of_all


def test_second_moments_are_those_of_the_layer(made: tuple[Network, Weights]) -> None:
    net, _ = made
    g = torch.Generator().manual_seed(1)
    for name in ("stem", "dw", "grouped", "classifier"):
        node = net.by_name[name]
        shape = node.op.weight_shape(net.in_shapes(node))
        w = torch.randn(shape, generator=g)
        x = torch.randn(6, *net.shapes[node.inputs[0]], generator=g)
        step = Step(node, "layer", name, node.inputs, True)
        want = Simulator.product(step, x, w, None)
        seen = Seen(step, LayerSetting(w, torch.ones(len(w)), torch.zeros(len(w)), 8), w, x, want)
        xx, xt, mx, mt = moments(seen)
        rows = w.view(len(xx), -1, xx.shape[1])
        # T is X w, so that the error form of w itself is minus the variance of T, channel by channel.
        channels = want.transpose(0, 1).flatten(1)
        variance = channels.var(1, correction=0).view(len(xx), -1)
        assert torch.allclose(-form(rows, torch.ones(rows.shape[:2]), xx, xt), variance, rtol=1e-3, atol=1e-3)
        assert torch.allclose(mt.flatten(), channels.mean(1), atol=1e-4)
        assert torch.allclose((rows @ mx[..., None])[..., 0], mt, atol=1e-3)


def off(setting: Setting, net: Network, weights: Weights, x: np.ndarray) -> float:
    """Mean squared error of the logits beside their variance."""
    module = Simulator(net)
    module.use(setting)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2).float()
    want = watched(net, weights)((pixels - 128) / 64)
    return float((module.logits(x) - want).square().mean() / want.var())


@pytest.mark.parametrize(("method", "share"), [("bias", 0.9), ("moments", 0.9), ("rounding", 0.5)])
def test_other_images_gain_too(made: tuple[Network, Weights], method: str, share: float) -> None:
    net, weights = made
    module = QuantModule(net, weights, observe(net, weights, images(128)), Rules("max", "mse"))
    setting = module.set_bits({n.name: (2, 8) for n in net.layers})
    new = refine(setting, net, weights, images(128), method)
    other = images(64, seed=7)
    assert off(new, net, weights, other) < share * off(setting, net, weights, other)
    to_integers(new)  # every code and gain is one that the integers have
    again = refine(setting, net, weights, images(128), method)
    assert all(torch.equal(again.layers[n].codes, new.layers[n].codes) for n in new.layers)


def test_moments_are_those_of_the_float_layer(made: tuple[Network, Weights]) -> None:
    net, weights = made
    module = QuantModule(net, weights, observe(net, weights, images(64)))
    new = refine(module.set_bits({"stem": (2, 8)}), net, weights, images(64), "moments")
    x = (torch.from_numpy(images(64)).permute(0, 3, 1, 2).float() - 128) / 64
    step = next(s for s in new.steps if s.node.name == "stem")
    layer = new.layers["stem"]
    got = Simulator.product(step, x, layer.real(), layer.bias).transpose(0, 1).flatten(1)
    want = Simulator.product(step, x, torch.from_numpy(weights["stem.weight"]), torch.from_numpy(weights["stem.bias"]))
    want = want.transpose(0, 1).flatten(1)
    assert torch.allclose(got.mean(1), want.mean(1), atol=1e-3)
    assert torch.allclose(got.std(1), want.std(1), rtol=1e-2)


def test_progress_and_bad_input(made: tuple[Network, Weights]) -> None:
    net, weights = made
    module = QuantModule(net, weights, observe(net, weights, images(16)))
    heard: list[tuple[int, int]] = []
    refine(module.set_bits({}), net, weights, images(16), "bias", lambda *p: heard.append(p))
    assert heard == [(i + 1, 6) for i in range(6)]
    with pytest.raises(UsageError, match="refinement 'best' is unknown; known: bias, moments, rounding"):
        refine(module.setting, net, weights, images(16), "best")
    with pytest.raises(InputError, match="at least 16 images, got 2"):
        refine(module.setting, net, weights, images(2))


def test_rounding_sees_all_of_a_map_whose_sides_are_powers_of_two() -> None:
    """With as many positions as 256 images of 32 x 32 have, of which it takes a few."""
    b = Builder("wide", (3, 32, 32))
    b.conv(4, 3, act="relu", name="a")
    b.classifier(3)
    net = b.build()
    weights = random_weights(net, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    x = np.clip(rng.normal(128, 40, (256, 32, 32, 3)) + 20 * np.arange(32)[None, :, None, None] % 90, 0, 255)
    pixels = x.astype(np.uint8)
    module = QuantModule(net, weights, observe(net, weights, pixels[:64]))
    plain = module.set_bits({"a": (3, 8)})
    seen: list[Seen] = []

    def keep(one: Seen) -> LayerSetting:
        seen.append(one)
        return one.layer

    refine(plain, net, weights, pixels, keep)
    one = seen[0]
    better = rounding(one)

    def error(layer: LayerSetting) -> float:
        return float((one.product(layer.real()) + layer.bias.view(1, -1, 1, 1) - one.wanted).square().mean())

    assert error(better) < 0.5 * error(plain.layers["a"]) and error(better) < error(bias(one))
