"""A space small enough to enumerate: everything `TrellisSpace` derives, against brute force."""

import itertools

import numpy as np
import pytest

from cofront.errors import InputError, UsageError
from cofront.network import Builder
from cofront.space import Choice
from cofront.space.columns import points_from_columns
from cofront.space.declare import Declaration, TrellisSpace
from cofront.testing.spaces import SpaceConformance, point_of


class Tiny(TrellisSpace):
    """A width that the next block sees, an optional second block, a precision on the first."""

    name = "tiny"
    input_shape = (3, 4, 4)
    choices = (
        Choice("width", (4, 8)),
        Choice("depth", (1, 2)),
        Choice("kernel", (1, 3, 5)),
        Choice("a_bits", ("W8A8", "W4A4")),
    )

    def declare(self, into: Declaration) -> None:
        for w, width in enumerate((4, 8)):
            for p, bits in enumerate(("W8A8", "W4A4")):
                names = (f"width={width}",) + ((f"a.bits={bits}",) if p else ())
                into.edge(
                    "in", ("a", width), {"width": w, "a_bits": p}, names,
                    fragment=("a", 3, width, 1, bits), block="a", precision=bits,
                )  # fmt: skip
            into.edge(("a", width), "out", {"depth": 0, "kernel": 0}, ("depth=1",), match=1)
            for k, kernel in enumerate((1, 3, 5)):
                into.edge(
                    ("a", width), "out", {"depth": 1, "kernel": k}, (f"kernel={kernel}",),
                    fragment=("b", width, 8, kernel, "W8A8"), block="b",
                )  # fmt: skip

    def fragment(self, key):
        label, cin, cout, kernel, bits = key
        b = Builder(label, (cin, 4, 4))
        b.block = label
        b.conv(cout, kernel, name=f"{label}.conv")
        return b.build().uniform_bits(*((8, 8) if bits == "W8A8" else (4, 4)))


class TestTiny(SpaceConformance):
    make = Tiny
    n_points = 2 * 2 * (1 + 3)


def every_path(layered):
    def walk(node, path):
        if node == layered.trellis.n_nodes - 1:
            yield path
        for e in np.flatnonzero(layered.trellis.edge_from == node):
            yield from walk(int(layered.trellis.edge_to[e]), [*path, int(e)])

    return list(walk(0, []))


def test_paths_are_exactly_the_canonical_points():
    space = Tiny()
    layered = space.layered()
    points = np.array(list(itertools.product(*(range(n) for n in space.sizes))))
    canonical = {tuple(p) for p in space.canonical(points).tolist()}
    by_hand = {(w, d, k if d else 0, p) for w, d, k, p in points.tolist()}
    on_paths = [tuple(point_of(space, layered, p).tolist()) for p in every_path(layered)]
    assert canonical == by_hand == set(on_paths)
    assert len(on_paths) == len(by_hand) == layered.trellis.n_paths()


def test_numbering_is_topological_and_repeats():
    first, second = (Tiny().declaration.nodes for _ in range(2))
    assert first == second
    assert (first["in"], first["out"]) == (0, len(first) - 1)


def test_restricted_to_some_precisions():
    space = Tiny()
    assert space.layered({"a": ("W4A4",)}).trellis.n_paths() == 2 * 4
    assert space.layered({"*": ("W8A8",)}).trellis.n_paths() == 2 * 4
    assert space.precisions_of(np.array([[0, 0, 0, 1], [1, 0, 0, 1]])) == {"a": ("W4A4",)}
    with pytest.raises(UsageError, match="no network does without the blocks a"):
        space.layered({"a": ()})
    with pytest.raises(UsageError, match=r"no precision is left for block 'a'; it has \('W8A8', 'W4A4'\)"):
        space.layered(("W4A8",))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", "b", {}), ("b", "a", {})], "one first and one last state, got 0 and 0"),
        ([("s", "a", {}), ("a", "b", {"x": 0}), ("b", "a", {}), ("a", "t", {"x": 1})], "must not form a cycle"),
        ([("s", "t", {"x": 0}), ("s", "t", {"x": 0})], "two edges leave state s with the same choices"),
        ([("s", "t", {"x": 0})], "has no edge to take"),
    ],
)
def test_wrong_declarations_are_refused(edges, message):
    into = Declaration(("x",), np.array([2]))
    for src, dst, choices in edges:
        into.edge(src, dst, choices)
    with pytest.raises(InputError, match=message):
        into.walk(np.array([[1]]))


TABLE = {"width": [0, 1], "depth": [1, 0], "kernel": [2, 0], "a_bits": [0, 1]}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (TABLE, [[0, 1, 2, 0], [1, 0, 0, 1]]),
        ({**TABLE, "width": [4, 8.0], "depth": [2, 1], "kernel": [5, 1], "a_bits": ["W8A8", " W4A4"]}, "same"),
        ({"width": [0, 1], "depth": [1, 0], "kernel": [2, None]}, [[0, 1, 2, 0], [1, 0, 0, 0]]),  # no bits: W8A8
        ({**TABLE, "kernel": [2, float("nan")]}, "same"),
        ({**TABLE, "depth": [1, 1], "kernel": [0, 1]}, [[0, 1, 0, 0], [1, 1, 1, 1]]),
    ],
)
def test_columns(columns, expected):
    expected = [[0, 1, 2, 0], [1, 0, 0, 1]] if expected == "same" else expected
    assert points_from_columns(Tiny(), columns).tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": [None, 0]}, "column 'kernel', row 0: no entry, but the network of this row needs one"),
        ({"width": [None, 0]}, "column 'width', row 0: no entry"),
        ({"width": [4, 0]}, r"column 'width', row 0: 4 is outside space 'tiny'; expected 0 to 1 \(.* option numbers"),
        ({"a_bits": ["W8A8", "W2A2"]}, "column 'a_bits', row 0: 'W8A8' is outside"),
        (
            {"width": [4, 8], "depth": [1, 2], "kernel": [5, 5], "a_bits": ["W8A8", "W2A2"]},
            r"column 'a_bits', row 1: 'W2A2' is outside space 'tiny'; expected W8A8, W4A4 \(.* option values",
        ),
        ({"width": [True, 0]}, "column 'width', row 0: True is outside"),
        ({"width": [[0], 0]}, r"column 'width', row 0: \[0\] is outside"),
        ({"width": [0, 10**60]}, "column 'width', row 1: 1000000000.* is outside"),
    ],
)
def test_bad_columns(change, message):
    with pytest.raises(InputError, match=message):
        points_from_columns(Tiny(), {**TABLE, **change})


def test_missing_columns():
    with pytest.raises(InputError, match="no column depth, kernel, which space 'tiny' needs"):
        points_from_columns(Tiny(), {"width": [0]})


def test_a_table_without_any_column_of_choices_has_as_many_points_as_rows():
    class Fixed(Tiny):
        choices = tuple(Choice(c.name, c.options[:1]) for c in Tiny.choices)

        def declare(self, into: Declaration) -> None:
            into.edge("in", "out", dict.fromkeys(["width", "depth", "kernel", "a_bits"], 0), ("f",), block="a")

    assert points_from_columns(Fixed(), {"accuracy": [0.5, 0.6]}).tolist() == [[0, 0, 0, 0]] * 2
    assert points_from_columns(Fixed(), {}).shape == (0, 4)
