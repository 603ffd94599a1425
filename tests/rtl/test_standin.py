"""Integers of untrained networks are complete, seeded, and make outputs vary."""

from __future__ import annotations

import numpy as np
from nets import chain

from cofront.network import zoo
from cofront.rtl.standin import random_integers


def test_outputs_vary_and_follow_the_seed():
    net = chain().uniform_bits(8, 8)
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 5)).astype(np.uint8)
    first = random_integers(net, 3)
    assert (first.run(images) == random_integers(net, 3).run(images)).all()
    assert (first.run(images) != random_integers(net, 4).run(images)).any()
    for name, values in first.tensors(images).items():
        assert len(np.unique(values)) > 4, name


def test_mobilenet_has_integers():
    net = zoo.load("mobilenetv2").uniform_bits(4, 8)
    quantized = random_integers(net, 0)  # checks every node
    assert set(quantized.layers) == {n.name for n in net.layers}
    assert any(layer.residual for layer in quantized.layers.values())
