"""The spaces of small searches on CIFAR-10: the conformance suite, the layout that they share, and their units."""

import numpy as np
import pytest
from test_space_nasa import COUNTS, WithoutPrecisions

from cofront.errors import InputError, UsageError
from cofront.network import AdderConv2d, Conv2d
from cofront.network.ops import Linear
from cofront.space import Space, load
from cofront.space.nasa import SPACES, without_adders
from cofront.testing.spaces import SpaceConformance

NAMES = ("fbnet@cifar10-small", "light_nas@cifar10-small", *(f"nasa@{s}-cifar10-small" for s in SPACES))


class TestFBNetSmall(SpaceConformance):
    make = staticmethod(lambda: load("fbnet@cifar10-small"))
    # three precisions of an operator; a skip has none in the four layers that keep the shape
    n_points = 25**4 * 27**4


class TestLightNasSmall(SpaceConformance):
    make = staticmethod(lambda: load("light_nas@cifar10-small"))
    n_points = 19**4 * 21**4


class TestNasaSmall(WithoutPrecisions):
    make = staticmethod(lambda: load("nasa@add_all-cifar10-small"))
    n_points = 19**6 * 13**2


def first(space: Space, op: str) -> np.ndarray:
    """The point with one operator in every layer, the first of its name's beginning that a layer offers."""
    point = np.zeros(len(space.sizes), np.int64)
    for i, c in enumerate(space.choices[:8]):
        point[i] = next(j for j, o in enumerate(c.options) if str(o).startswith(op))
    return point


@pytest.mark.parametrize("name", NAMES)
def test_they_share_one_layout(name: str) -> None:
    space = load(name)
    assert (space.name, space.task, space.input_shape) == (name, "cifar10", (3, 32, 32))
    network = space.network(np.zeros(len(space.sizes), np.int64))
    outputs = [network.shapes[[n for n in network.nodes if n.block == f"l{i}"][-1].name] for i in range(8)]
    assert network.shapes["stem"] == (16, 16, 16)
    assert outputs == [
        (16, 16, 16), (32, 8, 8), (32, 8, 8), (48, 8, 8), (64, 4, 4), (64, 4, 4), (96, 4, 4), (96, 4, 4)
    ]  # fmt: skip
    assert network.shapes["head"] == (256, 4, 4)
    assert [n.op.out_features for n in network.layers if isinstance(n.op, Linear)] == [10]
    shapes = [network.in_shapes(n)[0][0] for n in network.layers[1:]]
    assert all(c % 16 == 0 for c in shapes)


def test_fbnets_units_are_the_published_ones() -> None:
    space = load("fbnet@cifar10-small")
    network = space.network(first(space, "k3_e1"))
    assert [n.name for n in network.layers if n.block == "l2"] == ["l2.dw", "l2.project"]
    grouped = space.network(first(space, "k5_e1_g2"))
    assert [n.op.groups for n in grouped.layers if n.block == "l2" and isinstance(n.op, Conv2d)] == [32, 2]


def test_light_nas_reads_architectures_of_eight_numbers() -> None:
    space = load("light_nas@cifar10-small")
    _, points = space.from_table({"op_idx_list": [[0, 1, 2, 3, 4, 5, 6, 0]], **{f"op{i}_bits": [0] for i in range(8)}})
    assert points[0, :8].tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
    with pytest.raises(InputError, match="row 0: expected 8 numbers from 0 to 6"):
        space.from_table({"op_idx_list": [[0] * 21]})
    assert {n.op.kernel for n in space.network(first(space, "k7_e3")).layers[1:-1] if "dw" in n.name} == {(7, 7)}


@pytest.mark.parametrize("which", SPACES)
def test_only_the_ends_are_without_adders(which: str) -> None:
    space = load(f"nasa@{which}-cifar10-small")
    counts = [len(c.options) for c in space.choices]
    assert counts[1] == COUNTS[which]
    with_adders = [any("add" in str(o) for o in c.options) for c in space.choices]
    has = which in ("add_add", "add_shift_add", "add_all", "no_conv")
    assert with_adders == [False, *[has] * 6, False]


def test_the_share_without_adders_is_the_published_one() -> None:
    assert [without_adders(n) for n in (8, 14, 15, 22)] == [1, 1, 2, 3]
    space = load("nasa@add_add-cifar10-small")
    network = space.network(np.array([len(c.options) - 2 for c in space.choices]))
    assert any(isinstance(n.op, AdderConv2d) for n in network.layers)


def test_unknown_variants_are_named() -> None:
    with pytest.raises(UsageError, match=r"^space 'light_nas@small': expected cifar10-small after the @$"):
        load("light_nas@small")
    with pytest.raises(UsageError, match=r"^no data set of space 'nasa' named 'small'; .*cifar10-small[^\n]*$"):
        load("nasa@add_all-small")
