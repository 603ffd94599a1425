"""The simulation computes what the integers compute, on every operator that has integers, at every width."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from quantise_nets import noise, separable  # noqa: E402

from cofront.errors import CofrontError, InputError, UnsupportedError, UsageError  # noqa: E402
from cofront.network import Builder, Flatten, Linear, Network, Pool2d  # noqa: E402
from cofront.network.reference import run  # noqa: E402
from cofront.network.weights import Weights, random_weights  # noqa: E402
from cofront.task.integer import QuantizedNetwork  # noqa: E402
from cofront.task.quantise.convert import to_integers  # noqa: E402
from cofront.task.quantise.grids import Rules  # noqa: E402
from cofront.task.quantise.inputs import pixels_of  # noqa: E402
from cofront.task.quantise.observe import observe  # noqa: E402
from cofront.task.quantise.simulate import QuantModule  # noqa: E402


def everything() -> Network:
    """Every operator that has integers: fused and free additions and activations, groups, dilation, odd padding."""
    b = Builder("everything", (3, 12, 12))
    b.block = "one"
    y = separable(b)
    b.block = "two"
    z = b.conv(8, 3, 2, src=y, padding=(0, 0, 1, 1), groups=2, name="grouped")
    p = b.pool("max", 2, 2, src=y, name="greatest")
    q = b.pool("avg", 3, 2, 1, src=y, name="mean")
    b.concat(z, p, q, name="concat")
    b.act("relu", name="free")
    b.shuffle(2, name="shuffle")
    b.conv(8, 3, dilation=2, name="dilated")
    r = b.last
    s = b.conv(8, 1, src="shuffle", name="side")
    b.sum(r, s, name="met")
    t = b.act("relu", name="met.act")
    b.sum(t, z, name="double")
    b.pool("max", 3, 2, 1, ceil_mode=True, name="ceil")
    b.add(Flatten(), name="flat")
    b.add(Linear(10), name="head")
    return b.build()


@pytest.fixture(scope="module")
def made() -> tuple[Network, Weights]:
    network = everything()
    return network, random_weights(network, np.random.default_rng(1))


WIDTHS = [(8, 8), (4, 8), (4, 4), (3, 5), (2, 2), (1, 3), (6, 7)]


@pytest.mark.parametrize("bits", WIDTHS)
def test_stored_tensors_are_those_of_the_integers(made: tuple[Network, Weights], bits: tuple[int, int]) -> None:
    network, weights = made
    module = QuantModule(network, weights, observe(network, weights, noise(32)))
    module.set_bits({n.name: bits for n in network.layers})
    x = noise(24, seed=5)
    integers = to_integers(module.setting)
    want, got = integers.tensors(x), module.tensors(pixels_of(x, network))
    for step in module.setting.steps:
        if step.output == "head":
            continue
        q = got[step.output].numpy()
        q = q.transpose(0, 2, 3, 1) if q.ndim == 4 else q
        if step.output == "flat":  # integers are flattened in the order in which maps are stored
            q = q.reshape(24, *network.shapes["ceil"]).transpose(0, 2, 3, 1).reshape(24, -1)
        off = np.abs(want[step.output] - module.setting.grid(step.output).zero - q)
        assert off.max() <= 1 and (off > 0).mean() < 0.01, step.output
    logits = module.logits(x).numpy()
    real = integers.run(x) * integers.scales["head"]
    assert np.abs(logits - real).max() < 0.02 * np.abs(real).max() + integers.scales["head"]


def test_eight_bits_are_near_the_floats(made: tuple[Network, Weights]) -> None:
    network, weights = made
    module = QuantModule(network, weights, observe(network, weights, noise(64)), Rules("max", "max"))
    module.set_bits({})
    x = noise(32, seed=3)
    want = run(network, weights, ((pixels_of(x, network) - 128) / 64).numpy())
    got = module.logits(x).numpy()
    assert np.abs(got - want).max() < 0.1 * np.abs(want).max()
    coarse = QuantModule(network, weights, observe(network, weights, noise(64)), Rules("max", "max"))
    coarse.set_bits({n.name: (3, 8) for n in network.layers})
    assert np.abs(coarse.logits(x).numpy() - want).mean() > 2 * np.abs(got - want).mean()


def test_bits_may_be_set_again_and_again(made: tuple[Network, Weights]) -> None:
    network, weights = made
    ranges = observe(network, weights, noise(32))
    module, fresh = QuantModule(network, weights, ranges), QuantModule(network, weights, ranges)
    x = noise(8, seed=9)
    for bits in WIDTHS:
        module.set_bits({n.name: bits for n in network.layers})
        module.logits(x)
    module.set_bits({"stem": (4, 8), "head": (2, 4)})
    fresh.set_bits({"stem": (4, 8), "head": (2, 4)})
    assert torch.equal(module.logits(x), fresh.logits(x))
    assert module.setting.network.by_name["side"].weight_bits == 8


def test_integers_are_kept_in_a_file(made: tuple[Network, Weights], tmp_path_factory: pytest.TempPathFactory) -> None:
    network, weights = made
    module = QuantModule(network, weights, observe(network, weights, noise(32)))
    module.set_bits({n.name: (1, 3) for n in network.layers})
    integers = to_integers(module.setting)
    path = tmp_path_factory.mktemp("integers") / "n.safetensors"
    integers.save(path)
    x = noise(4)
    assert np.array_equal(QuantizedNetwork.load(path).run(x), integers.run(x))
    assert {abs(int(v)) for v in np.unique(integers.layers["stem"].weight)} == {1}


def test_power_of_two_scales_are_powers_of_two(made: tuple[Network, Weights]) -> None:
    network, weights = made
    ranges = observe(network, weights, noise(32))
    module = QuantModule(network, weights, ranges, Rules(per_channel=False, power_of_two=True))
    setting = module.set_bits({n.name: (4, 6) for n in network.layers})
    for layer in setting.layers.values():
        assert len(set(layer.scale.tolist())) == 1 and float(torch.log2(layer.scale[0])).is_integer()
    assert all(float(np.log2(g.scale)).is_integer() for g in setting.stored.values())
    assert module.accuracy(noise(16), np.zeros(16, np.int64)) >= 0


def test_relu6_never_goes_beyond_six() -> None:
    b = Builder("six", (3, 8, 8))
    b.conv(4, 1, act="relu6", bias=True, name="c")
    b.classifier(4)
    network = b.build()
    weights = random_weights(network, np.random.default_rng(0))
    weights["c.bias"][:] = 50
    module = QuantModule(network, weights, observe(network, weights, noise(16, 8)))
    for bits in (2, 5, 8):
        setting = module.set_bits({"c": (8, 8), "classifier": (8, bits)})
        assert setting.grid("c.act").scale * setting.grid("c.act").high == pytest.approx(6, rel=1e-3)


def test_what_has_no_integers_is_named() -> None:
    b = Builder("swish", (3, 8, 8))
    b.conv(8, 3, act="hswish", name="a")
    b.squeeze_excite(4, prefix="se")
    b.classifier(4)
    network = b.build()
    weights = random_weights(network, np.random.default_rng(0))
    module = QuantModule(network, weights, observe(network, weights, noise(16, 8)))
    module.set_bits({n.name: (8, 8) for n in network.layers})
    want = run(network, weights, ((pixels_of(noise(16, 8), network) - 128) / 64).numpy())
    assert np.abs(module.logits(noise(16, 8)).numpy() - want).max() < 0.1 * np.abs(want).max()
    with pytest.raises(UnsupportedError) as error:
        to_integers(module.setting)
    assert str(error.value) == (
        "network 'swish' has no integers for 'a.act' (hswish), 'se.expand.act' (hsigmoid), 'se.scale' (Mul)"
    )


def test_bad_input_is_one_line(made: tuple[Network, Weights]) -> None:
    network, weights = made
    cases: list[tuple[type[CofrontError], str, object]] = [
        (InputError, "calibration needs at least 16 images, got 3", lambda: observe(network, weights, noise(3))),
        (InputError, "takes 3 channels, the images have 1", lambda: observe(network, weights, noise(16)[..., :1])),
        (InputError, "expected uint8 images", lambda: observe(network, weights, noise(16).astype(float))),
        (InputError, "comes without weights", lambda: observe(network, None, noise(16))),
    ]
    module = QuantModule(network, weights, observe(network, weights, noise(16)))
    cases += [
        (UsageError, "no bits are set yet", lambda: module.logits(noise(2))),
        (UsageError, "'stem': weights of 9 bits; 1 to 8 are possible", lambda: module.set_bits({"stem": (9, 8)})),
        (UsageError, "'stem': activations of 1 bits; 2 to 8", lambda: module.set_bits({"stem": (4, 1)})),
        (UsageError, "no layer named 'stam'; did you mean stem?", lambda: module.set_bits({"stam": (4, 8)})),
        (UsageError, "layer 'stem' has no bits", lambda: module.set_bits()),
        (UsageError, "rule 'best' of weights is unknown", lambda: Rules("best")),
    ]
    for kind, text, call in cases:
        with pytest.raises(kind) as error:
            call()  # type: ignore[operator]
        assert text in str(error.value) and "\n" not in str(error.value)
    module.set_bits({})
    with pytest.raises(InputError, match="labels go from 0 to 10; network 'everything' has 10 classes"):
        module.accuracy(noise(11), np.arange(11))
    with pytest.raises(InputError, match="expected one label per image"):
        module.accuracy(noise(4), np.zeros(3, np.int64))


def test_an_average_with_several_divisors_has_no_integers() -> None:
    b = Builder("n", (3, 8, 8))
    b.conv(4, 3, act="relu", name="c")
    b.add(Pool2d("avg", (3, 3), (2, 2), (1, 1, 1, 1), False, False), name="mean")
    b.classifier(4)
    network = b.build()
    module = QuantModule(
        network, w := random_weights(network, np.random.default_rng(0)), observe(network, w, noise(16))
    )
    module.set_bits({})
    with pytest.raises(UnsupportedError, match=r"no integers for 'mean' \(Pool2d\)"):
        to_integers(module.setting)
