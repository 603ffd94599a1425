"""Measured sensitivities: the suffix that is computed again gives what the whole network gives."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.errors import UsageError  # noqa: E402
from cofront.network import Builder  # noqa: E402
from cofront.network.weights import random_weights  # noqa: E402
from cofront.task.quantise.curvature import curvature_tables  # noqa: E402
from cofront.task.quantise.inputs import PIXELS, pixels_of  # noqa: E402
from cofront.task.quantise.measured import ChosenQuantisers, measured_tables  # noqa: E402
from cofront.task.quantise.observe import observe, watched  # noqa: E402
from cofront.task.quantise.simulate import QuantModule  # noqa: E402

WIDTHS = (2, 4, 8)


@pytest.fixture(scope="module")
def scene():
    b = Builder("small", (3, 8, 8))
    b.block = "first"
    b.conv(8, 3, act="relu", name="a")
    b.block = "second"
    b.conv(8, 3, act="relu", name="b")
    b.conv(8, 3, name="c")
    b.sum("a.act", "c")
    b.block = None
    b.classifier(5, name="d")
    network = b.build()
    rng = np.random.default_rng(0)
    weights = random_weights(network, rng)
    images = rng.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    labels = rng.integers(0, 5, 40)
    ranges = observe(network, weights, images)
    return network, weights, images, labels, ranges


def test_rises_are_those_of_the_whole_network(scene):
    network, weights, images, labels, ranges = scene
    module = QuantModule(network, weights, ranges)
    found = measured_tables(module, images, labels, weight_bits=WIDTHS, act_bits=WIDTHS, fixed_reads=("a",), batch=16)
    module.set_bits({})
    base = module.loss(images, labels)
    for i, name in enumerate(found.layers):
        for j, bits in enumerate(WIDTHS):
            module.set_bits({name: (bits, 8)})
            assert found.weight[i, j] == pytest.approx(module.loss(images, labels) - base, abs=1e-5)
            if name != "a":
                module.set_bits({name: (8, bits)})
                assert found.act[i, j] == pytest.approx(module.loss(images, labels) - base, abs=1e-5)
    assert found.model == "loss" and not found.act[0].any() and not found.weight[:, 2].any()
    assert np.abs(found.weight[:, 0]).min() > 0.01


def test_divergence_from_the_network_in_floating_point_needs_no_labels(scene):
    network, weights, images, _, ranges = scene
    module = QuantModule(network, weights, ranges)
    real = (pixels_of(images, network) - PIXELS.zero) * PIXELS.scale
    with torch.inference_mode():
        target = watched(network, weights)(real)
    found = measured_tables(module, images, target=target, weight_bits=WIDTHS, act_bits=WIDTHS)
    assert found.model == "divergence" and (found.weight[:, 0] > found.weight[:, 1]).all()
    with pytest.raises(UsageError, match="need labels or the outputs"):
        measured_tables(module, images, weight_bits=WIDTHS, act_bits=WIDTHS)


def test_the_same_quantisers_serve_curvature(scene):
    network, weights, images, _, ranges = scene
    module = QuantModule(network, weights, ranges)
    real = (pixels_of(images, network) - PIXELS.zero) * PIXELS.scale
    hessian, fisher = curvature_tables(
        watched(network, weights), ChosenQuantisers(module.chooser), real, weight_bits=WIDTHS, act_bits=WIDTHS
    )
    for table in (hessian, fisher):
        assert (np.diff(table.weight, axis=1) < 0).all() and (np.diff(table.act, axis=1) < 0).all()
