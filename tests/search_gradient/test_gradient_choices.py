"""Layers: from a chain's trellis, from any space's choices, and what cannot be searched."""

import numpy as np
import pytest

from cofront.errors import UsageError
from cofront.search.gradient.choices import Layers
from cofront.space import load


def test_a_chain_gives_operator_and_precision_together():
    space = load("nasbench_macro")
    layers = Layers.of_trellis(space, space.layered(("W8A8", "W4A4")).trellis)
    assert layers.shape == (8, 6)
    # the identity has no precision where the shape stays: 1 + 2 * 2 options, else 3 * 2
    assert layers.mask.sum(axis=1).tolist() == [6, 5, 6, 5, 5, 6, 5, 5]
    assert layers.n_networks == 6**3 * 5**5
    assert layers.name(0, 0) == "op1=identity" and "W4A4" in layers.name(0, 1)
    assert len(layers.fixed) == 2


def test_points_are_those_of_the_trellis_path(macro):
    space = macro.space
    choices = macro.sample(np.random.default_rng(0), 20)
    points = macro.points(choices)
    assert np.array_equal(points[:, :8], choices)
    assert np.array_equal(points, space.canonical(points))


def test_any_space_by_its_choices():
    space = load("ofa_mobilenetv3")
    first = space.choices[1]
    layers = Layers.of_choices(space, {first.name: [1]})
    assert layers.mask[1].sum() == 1
    assert layers.mask.sum() == space.sizes.sum() - space.sizes[1] + 1
    choice = layers.sample(np.random.default_rng(1), 5)
    assert np.array_equal(layers.points(choice), space.canonical(layers.points(choice)))
    with pytest.raises(UsageError, match="no choice of space 'ofa_mobilenetv3' named"):
        Layers.of_choices(space, {"colour": [0]})
    with pytest.raises(UsageError, match="has options 0 to"):
        Layers.of_choices(space, {first.name: [99]})


def test_what_cannot_be_searched_is_one_line(macro):
    with pytest.raises(UsageError, match=r"^space 'nasbench_macro' has a single network here: .*nothing to search.*$"):
        macro.restrict(np.arange(3)[None] == np.zeros((8, 1)))
    none = np.ones(macro.shape, bool)
    none[2] = False
    with pytest.raises(UsageError, match="no option is left of op3=identity, op3=mb3_k3"):
        macro.restrict(none)
    space = load("ofa_mobilenetv3")
    with pytest.raises(UsageError, match=r"not a chain of layers .*surrogate"):
        Layers.of_trellis(space, space.layered(("W8A8",)).trellis)
    with pytest.raises(UsageError, match="were not made from a trellis"):
        Layers.of_choices(space).per_option(np.zeros(3))
