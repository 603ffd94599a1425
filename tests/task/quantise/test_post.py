"""A trained network quantised in one call: what it returns is what the integers do."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from quantise_nets import patches  # noqa: E402

from cofront.errors import InputError, UnsupportedError, UsageError  # noqa: E402
from cofront.network import Builder, Network  # noqa: E402
from cofront.network.weights import Weights, random_weights  # noqa: E402
from cofront.task.quantise import Rules, Schedule, quantise  # noqa: E402
from cofront.task.quantise.observe import watched  # noqa: E402


def network(act: str = "relu") -> tuple[Network, Weights]:
    b = Builder("n", (3, 8, 8))
    b.conv(8, 3, act=act, name="stem")  # type: ignore[arg-type]
    b.conv(8, 3, act="relu", name="body")
    b.classifier(4)
    net, weights = b.build(), random_weights(b.build(), np.random.default_rng(4))
    x = (torch.from_numpy(patches(256, seed=1)).permute(0, 3, 1, 2).float() - 128) / 64
    weights["classifier.bias"] -= watched(net, weights)(x).mean(0).numpy()  # so that every class occurs
    return net, weights


def labels(net: Network, weights: Weights, x: np.ndarray) -> np.ndarray:
    real = (torch.from_numpy(x).permute(0, 3, 1, 2).float() - 128) / 64
    found = watched(net, weights)(real).argmax(1).numpy()
    assert np.bincount(found, minlength=4).min() > 0.05 * len(x)
    return found


@pytest.mark.parametrize("refinement", [None, "moments", "rounding"])
def test_eight_bits_agree_with_the_floats(refinement: str | None) -> None:
    net, weights = network()
    x = patches(200, seed=5)
    y = labels(net, weights, x)
    found = quantise(net.uniform_bits(8, 8), weights, patches(64), refinement=refinement)
    assert found.integers is not None and found.left_in_float == ()
    assert found.accuracy(x, y) > 0.94
    assert found.accuracy(x, y) == found.integers.accuracy(x, y)
    assert (found.simulator().logits(x).argmax(1).numpy() == found.integers.run(x).argmax(1)).mean() > 0.99


def test_bits_can_be_given_and_training_added() -> None:
    net, weights = network()
    x = patches(200, seed=5)
    y = labels(net, weights, x)
    heard: set[str] = set()
    told = lambda what, done, of: heard.add(what)  # noqa: E731
    bits = {"stem": (8, 8), "body": (1, 3), "classifier": (2, 4)}
    plain = quantise(net, weights, patches(64), bits=bits, rules=Rules("max", "max"), refinement=None)
    how = Schedule(epochs=8, batch=32, mirrored=False)
    best = quantise(
        net, weights, patches(64), labels(net, weights, patches(64)), bits=bits, schedule=how, progress=told
    )
    assert best.accuracy(x, y) > plain.accuracy(x, y)
    assert heard == {"ranges", "refinement", "training"}
    assert best.integers is not None and best.integers.layers["body"].weight_bits == 1
    assert best.integers.network.by_name["body"].in_bits == 3


def test_what_has_no_integers_is_refused_or_left() -> None:
    net, weights = network("hswish")
    with pytest.raises(UnsupportedError) as error:
        quantise(net, weights, patches(16), bits={})
    assert str(error.value) == "network 'n' has no integers for 'stem.act' (hswish); keep_float leaves them real"
    found = quantise(net, weights, patches(64), bits={}, keep_float=True)
    x = patches(200, seed=5)
    assert found.integers is None and found.left_in_float == ("'stem.act' (hswish)",)
    assert found.accuracy(x, labels(net, weights, x)) > 0.94


def test_other_pixels() -> None:
    from cofront.task.kernels import Grid

    net, weights = network()
    found = quantise(net, weights, patches(64), bits={}, pixels=Grid(1 / 255, 8, False))
    assert found.integers is not None and found.integers.input_zero == 0
    x = patches(200, seed=5)
    want = watched(net, weights)(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    assert found.accuracy(x, want) > 0.9
    with pytest.raises(InputError, match="pixels are of 8 bits"):
        quantise(net, weights, patches(64), bits={}, pixels=Grid(1 / 255, 4, False))


def test_scales_of_the_rules_are_kept() -> None:
    net, weights = network()
    for rules in (Rules(power_of_two=True), Rules(per_channel=False)):
        found = quantise(net, weights, patches(64), bits={"body": (3, 8)}, rules=rules)
        for layer in found.setting.layers.values():
            if rules.power_of_two:
                assert torch.equal(layer.scale.log2(), layer.scale.log2().round())
            else:
                assert len(set(layer.scale.tolist())) == 1
        plain = quantise(net, weights, patches(64), bits={"body": (3, 8)}, rules=rules, refinement=None)
        assert not torch.equal(found.setting.layers["body"].codes, plain.setting.layers["body"].codes)
    with pytest.raises(UsageError, match="powers of two would be lost in the refinement 'moments'"):
        quantise(net, weights, patches(16), bits={}, rules=Rules(power_of_two=True), refinement="moments")
    with pytest.raises(UsageError, match="one for all channels would be lost in training"):
        quantise(net, weights, patches(16), bits={}, rules=Rules(per_channel=False), schedule=Schedule())
