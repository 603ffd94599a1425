"""The precisions of one network as a space."""

from __future__ import annotations

import numpy as np
import pytest

from cofront.errors import UsageError
from cofront.network import Network, zoo
from cofront.network.bits import PRECISIONS
from cofront.space.bits_of import BitsOf
from cofront.testing.spaces import SpaceConformance


def mobilenet() -> Network:
    return zoo.load("mobilenet_v2", resolution=64)


class TestBitsOf(SpaceConformance):
    make = staticmethod(lambda: BitsOf(mobilenet()))
    n_points = 3**18  # its inverted bottlenecks and its head: the stem and the classifier keep 8 bits


def test_a_point_is_the_network_with_the_bits_of_its_blocks() -> None:
    network = mobilenet()
    space = BitsOf(network)
    names = list(PRECISIONS)
    point = space.sample(np.random.default_rng(0), 1)[0]
    chosen = space.describe(point)
    found = space.network(point)
    assert (found.macs, found.params) == (network.macs, network.params)
    assert [type(n.op) for n in found.nodes] == [type(n.op) for n in network.nodes]
    widths = {n.block: (n.weight_bits, n.in_bits) for n in found.layers}
    assert all(widths[label.removesuffix("_bits")] == PRECISIONS[str(p)] for label, p in chosen.items())
    uniform = space.network(np.full(len(space.sizes), names.index("W4A4")))
    inner = [n for n in uniform.layers if n.block not in (space.blocks[0], space.blocks[-1])]
    assert {(n.weight_bits, n.in_bits) for n in inner} == {(4, 4)}
    assert {n.weight_bits for n in uniform.layers if n not in inner} == {8}


def test_blocks_may_be_named_and_are_checked() -> None:
    network = mobilenet()
    blocks = BitsOf(network).blocks
    space = BitsOf(network, ("W8A8", "W4A8"), wide=blocks[:-1])
    assert [c.name for c in space.choices] == [f"{blocks[-1]}_bits"] and space.n_points == 2
    with pytest.raises(UsageError, match="no block whose precision can be chosen"):
        BitsOf(network, wide=blocks)
    with pytest.raises(UsageError, match="block"):
        BitsOf(network, wide=("u99",))
    with pytest.raises(UsageError, match="W2A2"):
        BitsOf(network, ("W2A2",))
