"""The conformance suite of spaces: subclass `SpaceConformance`, say how to make yours, and inherit the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from cofront.errors import InputError, UnsupportedError, UsageError
from cofront.network import stack
from cofront.space import PRECISIONS, Layered, Points, Space

_SAMPLES, _MANY = 40, 2000


def random_paths(layered: Layered, rng: np.random.Generator, n: int) -> list[list[int]]:
    """n paths from source to sink, as lists of edge numbers; every edge that leaves a node is equally likely."""
    trellis = layered.trellis
    leaving: list[list[int]] = [[] for _ in range(trellis.n_nodes)]
    for i, node in enumerate(trellis.edge_from.tolist()):
        leaving[node].append(i)
    paths = []
    for _ in range(n):
        node, path = 0, []
        while node != trellis.n_nodes - 1:
            path.append(int(rng.choice(leaving[node])))
            node = int(trellis.edge_to[path[-1]])
        paths.append(path)
    return paths


def point_of(space: Space, layered: Layered, path: list[int]) -> Points:
    """(d,) the point that a path stands for: the choices along it, 0 where it makes none."""
    point = np.zeros(len(space.sizes), np.int64)
    for edge in path:
        for variable, value in layered.trellis.choices[edge]:
            point[variable] = value
    return point


class SpaceConformance:
    """Set `make` (a function without arguments that returns the space) and `n_points` if you can count them."""

    make: Callable[[], Space]
    #: How many distinct (network, precision) pairs there are, counted without the trellis; None: not checked.
    n_points: int | None = None
    #: Whether the space can be written as a trellis. If not, it must say so, and what is asked of one is skipped.
    trellis: bool = True

    @pytest.fixture(scope="class")
    @classmethod
    def space(cls) -> Space:
        return cls.make()

    @pytest.fixture(scope="class")
    @classmethod
    def layered(cls, space: Space) -> Layered:
        if not cls.trellis:
            with pytest.raises(UnsupportedError, match=f"space '{space.name}'"):
                space.layered()
            pytest.skip(f"space '{space.name}' has no trellis")
        return space.layered()

    @pytest.fixture
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(7)

    def test_choices_have_distinct_names_and_options(self, space: Space) -> None:
        names = [c.name for c in space.choices]
        assert len(set(names)) == len(names)
        assert all(len(set(c.options)) == len(c.options) >= 1 for c in space.choices)

    def test_bad_points_are_named(self, space: Space) -> None:
        good = np.zeros((1, len(space.sizes)), np.int64)
        with pytest.raises(InputError, match=f"{len(space.sizes)} coordinates"):
            space.network(np.zeros(len(space.sizes) + 1, np.int64))
        with pytest.raises(InputError, match="integers"):
            space.canonical(good + 0.5)  # type: ignore[arg-type]
        high = good.copy()
        high[0, -1] = space.sizes[-1]
        with pytest.raises(InputError, match=rf"{space.choices[-1].name} = {space.sizes[-1]}, expected 0 to"):
            space.features(high)

    def test_canonical_points_are_fixed_points_with_the_same_network(
        self, space: Space, rng: np.random.Generator
    ) -> None:
        points = rng.integers(0, space.sizes, (_SAMPLES, len(space.sizes)))
        canonical = space.canonical(points)
        assert np.array_equal(space.canonical(canonical), canonical)
        assert np.array_equal(space.features(points), space.features(canonical))
        for point, same in zip(points[:8], canonical, strict=False):
            assert space.network(point).nodes == space.network(same).nodes

    def test_the_points_are_counted(self, space: Space) -> None:
        if self.n_points is None:
            pytest.skip("the number of points is not given")
        assert space.n_points == self.n_points

    def test_every_path_is_one_canonical_point(self, space: Space, layered: Layered, rng: np.random.Generator) -> None:
        for path in random_paths(layered, rng, _SAMPLES):
            fixed = Counter(v for edge in path for v, _ in layered.trellis.choices[edge])
            assert set(fixed.values()) == {1}, "a path fixes no coordinate twice"
            point = point_of(space, layered, path)
            assert np.array_equal(space.canonical(point)[0], point)

    def test_path_features_sum_to_the_points(self, space: Space, layered: Layered, rng: np.random.Generator) -> None:
        trellis = layered.trellis
        assert trellis.n_features == len(space.feature_names())
        paths = random_paths(layered, rng, _SAMPLES)
        points = np.array([point_of(space, layered, p) for p in paths])
        for path, row in zip(paths, space.features(points), strict=True):
            total = np.zeros(trellis.n_features)
            for e in path:
                np.add.at(total, trellis.features[trellis.feature_ptr[e] : trellis.feature_ptr[e + 1]], 1.0)
            assert np.array_equal(total, row)

    def test_stacked_fragments_are_the_network(self, space: Space, layered: Layered, rng: np.random.Generator) -> None:
        for path in random_paths(layered, rng, 12):
            numbers = [int(layered.edge_fragment[e]) for e in path]
            stacked = stack(space.name, [layered.fragments[f] for f in numbers if f >= 0])
            network = space.network(point_of(space, layered, path))
            assert stacked.nodes == network.nodes
            assert stacked.macs == network.macs == sum(layered.fragments[f].macs for f in numbers if f >= 0)

    def test_rows_are_the_fragments(self, layered: Layered) -> None:
        trellis = layered.trellis
        assert trellis.n_rows == len(layered.fragments)
        for e in range(trellis.n_edges):
            rows = trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]].tolist()
            assert rows == ([int(layered.edge_fragment[e])] if layered.edge_fragment[e] >= 0 else [])

    def test_networks_are_labelled_and_quantised(self, space: Space, rng: np.random.Generator) -> None:
        for point in space.sample(rng, 6):
            network = space.network(point)
            labels = [n.block for n in network.nodes[1:]]
            assert None not in labels
            runs = 1 + sum(a != b for a, b in pairwise(labels))
            assert runs == len(set(labels)), "the layers of a block follow one another"
            for node in network.layers:
                assert (node.weight_bits, node.in_bits) in PRECISIONS.values()
            assert network.tensor_bits(network.input.name) == 8

    def test_precisions_can_be_restricted(self, space: Space, layered: Layered, rng: np.random.Generator) -> None:
        base = space.layered(("W8A8",))
        assert base.trellis.n_features == layered.trellis.n_features
        some = np.unique(np.linspace(0, len(base.fragments) - 1, 1000).round().astype(int))
        if len(base.fragments) > _MANY:  # each a network of its own
            some = rng.choice(len(base.fragments), _SAMPLES, replace=False)
        bits = {(n.weight_bits, n.in_bits) for i in some for n in base.fragments[int(i)].layers}
        assert bits == {(8, 8)}
        with pytest.raises(UsageError, match=r"no precision named 'W8A9'; did you mean .*W8A8"):
            space.layered(("W8A9",))
        offered = space.precisions_of(np.array([point_of(space, base, p) for p in random_paths(base, rng, 1)]))
        assert all(set(p) <= {"W8A8"} for p in offered.values())
        if offered:
            with pytest.raises(UsageError, match="no block named 'nonsense'"):
                space.layered({"nonsense": ("W8A8",)})

    def test_precision_features_are_named_after_their_blocks(self, space: Space) -> None:
        features = set(space.feature_names())
        for block, known in space.precisions_of(space.sample(np.random.default_rng(0), 500)).items():
            assert all(f"{block}.bits={p}" in features for p in known if p != "W8A8")
            assert f"{block}.bits=W8A8" not in features

    def test_tables_of_numbers_and_of_values_are_read(self, space: Space, rng: np.random.Generator) -> None:
        points = space.sample(rng, 20)
        numbers = {c.name: points[:, j].tolist() for j, c in enumerate(space.choices)}
        values = {c.name: [c.options[i] for i in points[:, j]] for j, c in enumerate(space.choices)}
        for columns in (numbers, values):
            read, found = space.from_table(columns)
            assert read.feature_names() == space.feature_names()
            assert np.array_equal(found, points)
