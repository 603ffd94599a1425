"""The spaces of NASA: the conformance suite, and the counts of operators that are known."""

import numpy as np
import pytest

from cofront.errors import UsageError
from cofront.network import AdderConv2d, Conv2d, ShiftConv2d
from cofront.space import Space, load
from cofront.space.nasa import SPACES, Nasa
from cofront.testing.spaces import SpaceConformance

COUNTS = {"only_conv": 9, "add_shift": 13, "add_add": 13, "add_shift_add": 13, "add_all": 19, "no_conv": 17}


class WithoutPrecisions(SpaceConformance):
    """Their layers have the precision of their kind, which no search may restrict."""

    def test_networks_are_labelled_and_quantised(self, space: Space, rng: np.random.Generator) -> None:
        for point in space.sample(rng, 6):
            network = space.network(point)
            assert None not in [n.block for n in network.nodes[1:]]
            for node in network.layers:
                expected = (6, 8) if isinstance(node.op, ShiftConv2d | AdderConv2d) else (8, 8)
                assert (node.weight_bits, node.in_bits) == expected
            assert network.tensor_bits(network.input.name) == 8

    def test_precisions_can_be_restricted(self, space: Space, rng: np.random.Generator) -> None:
        points = space.sample(rng, 3)
        assert space.precisions_of(points) == {}
        assert space.layered(("W8A8",)).trellis.n_paths() == space.layered().trellis.n_paths()


class TestAddAll(WithoutPrecisions):
    make = Nasa
    n_points = 19**16 * 13**6


class TestNoConv(WithoutPrecisions):
    make = staticmethod(lambda: load("nasa@no_conv"))
    n_points = 17**16 * 9**6


@pytest.mark.parametrize("which", SPACES)
def test_operators_are_as_many_as_published(which: str) -> None:
    space = Nasa(which)
    counts = [len(c.options) for c in space.choices]
    assert max(counts) == counts[10] == COUNTS[which]
    for i, choice in enumerate(space.choices):
        ends = i < 3 or i >= 19
        adders = [o for o in choice.options if "adder" in o or "shiftadd" in o]
        assert bool(adders) == (not ends and which in ("add_add", "add_shift_add", "add_all", "no_conv"))


def test_units_are_made_of_their_operators() -> None:
    kinds = {"conv": {Conv2d}, "shift": {ShiftConv2d}, "adder": {AdderConv2d}, "shiftadd": {ShiftConv2d, AdderConv2d}}
    for which in SPACES:
        space = Nasa(which)
        for o, name in enumerate(space.choices[5].options):
            point = np.full(len(space.sizes), [len(c.options) - 1 for c in space.choices])
            point[5] = o
            found = {type(n.op) for n in space.network(point).layers if n.block == "l5"}
            if name == "skip":  # the fifth layer changes the shape
                assert found == ({ShiftConv2d} if which == "no_conv" else {Conv2d})
            else:
                assert found == kinds[name.partition("_")[0]]


def test_twins_do_the_same_number_of_operations() -> None:
    space = Nasa()
    names = space.choices[5].options
    macs = []
    for name in ("conv_k5_e3", "shift_k5_e3", "adder_k5_e3"):
        point = np.zeros(len(space.sizes), np.int64)
        point[5] = names.index(name)
        macs.append(space.network(point).macs)
    assert len(set(macs)) == 1


def test_macro_is_fbnets_at_32_pixels() -> None:
    network = load("nasa@only_conv-cifar100").network(np.zeros(22, np.int64))
    assert network.shapes["stem"] == (16, 32, 32) and network.shapes["head"] == (1504, 4, 4)
    assert network.shapes[network.output.name] == (100,)
    assert load("nasa@only_conv-cifar100").name == "nasa@only_conv-cifar100" and load("nasa").name == "nasa"


def test_unknown_variants_are_named() -> None:
    with pytest.raises(UsageError, match=r"no variant of space 'nasa' named 'add_al'; did you mean .*add_all"):
        load("nasa@add_al")
    with pytest.raises(UsageError, match="no data set of space 'nasa' named 'mnist'"):
        load("nasa@add_all-mnist")
