"""Integers where flattened maps, global averages and broadcasting sums meet: right, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.errors import UnsupportedError  # noqa: E402
from cofront.network import Activation, Add, Builder, Flatten, GlobalPool, Linear, Network  # noqa: E402
from cofront.network.weights import random_weights  # noqa: E402
from cofront.task.quantise.convert import to_integers  # noqa: E402
from cofront.task.quantise.observe import observe  # noqa: E402
from cofront.task.quantise.simulate import QuantModule  # noqa: E402
from cofront.task.quantise.steps import without_integers  # noqa: E402


def agreement(network: Network) -> float:
    """Correlation of the integers' logits with those of the simulation."""
    rng = np.random.default_rng(0)
    weights = random_weights(network, rng)
    images = rng.integers(0, 256, (48, 8, 8, 3)).astype(np.uint8)
    module = QuantModule(network, weights, observe(network, weights, images))
    integers = to_integers(module.set_bits({}))
    return float(np.corrcoef(integers.run(images).ravel(), module.logits(images).numpy().ravel())[0, 1])


def begun() -> Builder:
    b = Builder("n", (3, 8, 8))
    b.conv(4, 3, 2, act="relu", name="c")
    return b


def test_a_flattened_map_before_a_linear_layer_is_put_in_order() -> None:
    b = begun()
    b.add(Flatten(), name="f")
    b.add(Linear(5), name="l")
    assert agreement(b.build()) > 0.999


def test_global_averages_meet_maps_of_one_pixel() -> None:
    for join in ("sum", "concat"):
        b = begun()
        b.add(GlobalPool(), name="p")
        b.conv(4, 1, name="d", src="p")
        getattr(b, join)("d", "p")
        b.add(Flatten(), name="f")
        b.add(Linear(5), name="l")
        assert agreement(b.build()) > 0.999


def test_what_would_be_in_another_order_is_refused() -> None:
    b = begun()
    b.add(Flatten(), name="f")
    b.add(Activation("relu"), name="r")
    b.add(Linear(5), name="l")
    network = b.build()
    assert without_integers(network) == ["'f' (Flatten of a map that something else than a linear layer reads)"]
    with pytest.raises(UnsupportedError, match="'f' \\(Flatten"):
        agreement(network)


def test_a_sum_that_broadcasts_is_refused() -> None:
    b = begun()
    b.add(GlobalPool(), "c.act", name="p")
    b.add(Add(), "c.act", "p", name="s")
    b.classifier(5, name="l")
    assert without_integers(b.build()) == ["'s' (Add that broadcasts)"]
