"""`darts`: the cells of DARTS [DARTS19]: a normal and a reduction cell of 14 edges, one of eight operations on each.

A cell has two inputs (the outputs of the two cells before it) and four nodes; a node sums what two of the edges that
can reach it bring, and the cell's output is all four, concatenated. A point is a code of 28 digits, the normal cell's
edges first: 0 where an edge is absent, otherwise the operation's number. `encode` and `decode` are between codes and
the published way to write cells. Two digits of each node are not 0: `canonical` makes it so.

"darts" is the published network for CIFAR-10: 36 channels, 20 cells. "darts@channels=16,cells=8" is a smaller one;
`side` and `classes` can be given too. A precision is not a choice: everything is W8A8.

Where a shape shrinks without an operation (a skip in a reduction cell, the input behind one), the published code joins
two strided 1 x 1 convolutions of half the channels, the second on a grid moved by a pixel. A Network cannot move a
grid: here one strided 1 x 1 convolution has all channels. Parameters and multiply-accumulates are the same, but not the
function. The auxiliary head of training is not part of a Network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UnsupportedError, UsageError, unknown_name
from cofront.network import Builder, Network, Shape
from cofront.space.base import Choice, Layered, Points, Precisions, Space

OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NONE, MAX_POOL, AVG_POOL, SKIP = range(4)
CELLS = ("normal", "reduce")
#: (node, tensor it reads) of each edge of a cell; tensors 0 and 1 are the cell's inputs, 2 + i is node i.
NODES, KEPT = 4, 2
EDGES = tuple((node, source) for node in range(NODES) for source in range(2 + node))
#: Output channels of the stem, in those of the first cells' nodes.
STEM = 3

#: Operation and the tensor it reads, two for each node in turn, as published.
Pairs = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Genotype:
    """Both cells as they are published."""

    normal: Pairs
    reduce: Pairs


#: [DARTS19]'s cells for CIFAR-10, found with the second-order search.
DARTS_V2 = Genotype(
    (
        ("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2),
    ),
    (
        ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1),
        ("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1),
    ),
)  # fmt: skip


def encode(genotype: Genotype) -> Points:
    """(28,) the code of published cells; an InputError where a node has not two different inputs."""
    code = np.zeros((len(CELLS), len(EDGES)), np.int64)
    for cell, digits in zip(CELLS, code, strict=True):
        pairs: Pairs = getattr(genotype, cell)
        if len(pairs) != KEPT * NODES:
            raise InputError(f"cell '{cell}': expected {KEPT * NODES} operations, got {len(pairs)}")
        for i, (op, source) in enumerate(pairs):
            if op not in OPS[1:]:
                raise unknown_name(f"operation of cell '{cell}'", op, OPS[1:])
            node = i // KEPT
            if (node, source) not in EDGES or digits[EDGES.index((node, source))]:
                raise InputError(
                    f"cell '{cell}', node {node}: expected two different inputs of 0 to {node + 1}, got {source}"
                )
            digits[EDGES.index((node, source))] = OPS.index(op)
    return code.ravel()


def decode(code: Points) -> Genotype:
    """The cells of a code (28,) in which every node keeps two inputs; inputs in rising order."""
    digits = np.asarray(code, np.int64).reshape(len(CELLS), len(EDGES))
    cells = [tuple((OPS[o], source) for o, (_, source) in zip(row, EDGES, strict=True) if o) for row in digits.tolist()]
    found = Genotype(*cells)
    if not np.array_equal(encode(found), digits.ravel()):
        raise InputError("code: expected two edges that are not 0 at every node; make it so with `canonical`")
    return found


@dataclass(frozen=True)
class Place:
    """Where a cell stands: `channels` of its nodes, shapes of its inputs and the strides that bring them to size."""

    number: int
    reduces: bool
    channels: int
    inputs: tuple[Shape, Shape]
    strides: tuple[int, int]

    @property
    def before_side(self) -> int:
        """Rows of the cell's inputs, at size."""
        return self.inputs[1][1]

    @property
    def side(self) -> int:
        """Rows of its nodes."""
        return -(-self.before_side // (1 + self.reduces))


class Darts(Space):
    """`channels` are those of the nodes of the first cells, doubled by each of two reduction cells."""

    name = "darts"
    task = "cifar10"

    def __init__(self, channels: int = 36, cells: int = 20, side: int = 32, classes: int = 10) -> None:
        self.channels, self.cells, self.side, self.classes = channels, cells, side, classes
        given = {
            "channels": (channels, 36, 1),
            "cells": (cells, 20, 3),
            "side": (side, 32, 4),
            "classes": (classes, 10, 2),
        }
        for key, (value, _, least) in given.items():
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 4096:
                raise UsageError(f"space 'darts': {key} must be a whole number of {least} to 4096, got {value!r}")
        told = ",".join(f"{k}={v}" for k, (v, default, _) in given.items() if v != default)
        self.name = f"darts@{told}" if told else "darts"
        self.input_shape = (3, side, side)

    @classmethod
    def variant(cls, text: str) -> Darts:
        known = ("channels", "cells", "side", "classes")
        found = {}
        for part in text.split(","):
            key, _, value = part.partition("=")
            if key not in known or not value.isdecimal() or key in found:
                raise UsageError(
                    f"space '{cls.name}@{text}': expected some of {', '.join(known)}, such as channels=16,cells=8"
                )
            found[key] = int(value)
        return cls(**found)

    @cached_property
    def _choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(f"{cell}{node}_{source}", OPS) for cell in CELLS for node, source in EDGES)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return self._choices

    @cached_property
    def n_points(self) -> int:
        cell = 1
        for node in range(NODES):
            cell *= (len(OPS) - 1) ** KEPT * comb(2 + node, KEPT)
        return cell * cell

    def canonical(self, points: Points) -> Points:
        """Of more than two inputs a node keeps the first two; of fewer, the first absent ones become skips."""
        points = self.validate(points).copy()
        for columns in self.groups:
            digits = points[:, columns]
            present = digits > 0
            kept = np.where(present & (present.cumsum(axis=1) <= KEPT), digits, NONE)
            missing = np.maximum(KEPT - present.sum(axis=1, keepdims=True), 0)
            points[:, columns] = np.where(~present & ((~present).cumsum(axis=1) <= missing), SKIP, kept)
        return points

    @cached_property
    def groups(self) -> tuple[NDArray[np.int64], ...]:
        """The digits of each node of both cells."""
        nodes = np.array([n + NODES * c for c in range(len(CELLS)) for n, _ in EDGES])
        return tuple(np.flatnonzero(nodes == i) for i in range(nodes.max() + 1))

    def sample(self, rng: np.random.Generator, n: int) -> Points:
        """(n, 28) independent codes, uniform over all that there are."""
        points = np.zeros((n, len(self.sizes)), np.int64)
        for columns in self.groups:
            pairs = np.array(list(combinations(columns, KEPT)))
            points[np.arange(n)[:, None], pairs[rng.integers(len(pairs), size=n)]] = rng.integers(
                1, len(OPS), size=(n, KEPT)
            )
        return points

    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"{c.name}={o}" for c in self.choices for o in OPS[1:])

    def features(self, points: Points) -> NDArray[np.float64]:
        digits = self.canonical(points)
        return np.asarray((digits[:, :, None] == np.arange(1, len(OPS))).reshape(len(digits), -1), float)

    def layered(self, precisions: Precisions | None = None) -> Layered:
        raise UnsupportedError(
            f"space '{self.name}' has no trellis, since a cell's operations read one another and stand in many places: "
            "sample it, or search it by gradient (cofront.systems.eh_dnas)"
        )

    def precisions_of(self, points: Points) -> dict[str, tuple[str, ...]]:
        self.validate(points)
        return {}

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The cells, in order."""
        out: list[Place] = []
        channels, side, shrunk = self.channels, self.side, 1
        before = last = (STEM * channels, side, side)
        for i in range(self.cells):
            reduces = i in (self.cells // 3, 2 * self.cells // 3)
            channels *= 1 + reduces
            out.append(Place(i, reduces, channels, (before, last), (shrunk, 1)))
            shrunk = 1 + reduces
            side = -(-side // shrunk)
            before, last = last, (NODES * channels, side, side)
        return tuple(out)

    def network(self, point: Points) -> Network:
        cells = self.canonical(point)[0].reshape(len(CELLS), -1)
        b = Builder(self.name, self.input_shape)
        b.block = "stem"
        self._stem(b)
        before = last = b.last
        for place in self.places:
            b.block = f"c{place.number}"
            inputs = [_fit(b, place, i, source) for i, source in enumerate((before, last))]
            before, last = last, self._cell(b, place, cells[int(place.reduces)].tolist(), inputs)
        b.block = "head"
        b.classifier(self.classes)
        return b.build().uniform_bits(8, 8)

    def _stem(self, b: Builder) -> None:
        b.conv(STEM * self.channels, 3, name="stem")

    def stem(self) -> Network:
        """What every network begins with."""
        b = Builder("stem", self.input_shape)
        self._stem(b)
        return b.build()

    def head(self) -> Network:
        """What every network ends with."""
        last = self.places[-1]
        b = Builder("head", (NODES * last.channels, last.side, last.side))
        b.classifier(self.classes)
        return b.build()

    def fit(self, place: Place, which: int) -> Network:
        """What brings input 0 or 1 to a cell's channels and side."""
        b = Builder(f"c{place.number}.in{which}", place.inputs[which])
        _fit(b, place, which, b.last)
        return b.build()

    def operation(self, place: Place, edge: int, op: int) -> Network | None:
        """What an operation on edge 0 to 13 of a cell computes; None where it has no layers (absent, the identity)."""
        _, source = EDGES[edge]
        side = place.side if source >= 2 else place.before_side
        b = Builder(f"c{place.number}", (place.channels, side, side))
        if op == NONE or _operation(b, place, edge, op, "input", {}) == "input":
            return None
        return b.build()

    def _cell(self, b: Builder, place: Place, digits: Sequence[int], tensors: list[str]) -> str:
        activated: dict[str, str] = {}
        for node in range(NODES):
            terms = [
                _operation(b, place, edge, op, tensors[source], activated)
                for edge, (op, (to, source)) in enumerate(zip(digits, EDGES, strict=True))
                if to == node and op != NONE
            ]
            tensors.append(b.sum(*terms, name=f"c{place.number}.n{node}"))
        return b.concat(*tensors[2:], name=f"c{place.number}.out")

    def edge_of(self, node: str) -> int | None:
        """Which digit (0 to 27) a node of a Network is there for, by its name; None: all networks have it."""
        return self._edge_numbers.get(node.split(".")[1]) if "." in node else None

    @cached_property
    def _edge_numbers(self) -> dict[str, int]:
        return {c.name: i for i, c in enumerate(self.choices)}

    def cover(self) -> Points:
        """(21, 28) codes in which every operation stands on every edge at least once."""
        codes = []
        for i in range(max(len(g) for g in self.groups) // KEPT + 1):
            code = np.zeros(len(self.sizes), np.int64)
            for columns in self.groups:
                code[columns[np.arange(KEPT * i, KEPT * (i + 1)) % len(columns)]] = 1
            codes += [code * op for op in range(1, len(OPS))]
        return np.array(codes)


def _fit(b: Builder, place: Place, which: int, source: str) -> str:
    name = f"c{place.number}.in{which}"
    x = b.act("relu", source, name=f"{name}.relu")
    return b.conv(place.channels, 1, place.strides[which], src=x, name=name)


def _operation(b: Builder, place: Place, edge: int, number: int, source: str, activated: dict[str, str]) -> str:
    """Adds an operation; gives the node that it ends in. `activated`: tensor -> its ReLU, for those that have one."""
    node, reads = EDGES[edge]
    op, stride = OPS[number], 2 if place.reduces and reads < 2 else 1
    name = f"c{place.number}.{CELLS[place.reduces]}{node}_{reads}"
    if number in (MAX_POOL, AVG_POOL):
        return b.pool(op[:3], 3, stride, 1, src=source, name=name, count_include_pad=False)
    if number == SKIP and stride == 1:
        return source
    if source not in activated:  # all others begin with it
        activated[source] = b.act("relu", source, name=f"{name}.relu")
    x = activated[source]
    if number == SKIP:
        return b.conv(place.channels, 1, stride, src=x, name=name)
    kernel = int(op[-1])
    if op.startswith("dil"):
        b.depthwise(kernel, stride, src=x, dilation=2, norm=False, name=f"{name}.dw")
        return b.conv(place.channels, 1, name=name)
    b.depthwise(kernel, stride, src=x, norm=False, name=f"{name}.dw1")
    b.conv(place.channels, 1, act="relu", name=f"{name}.pw1")
    b.depthwise(kernel, norm=False, name=f"{name}.dw2")
    return b.conv(place.channels, 1, name=name)
