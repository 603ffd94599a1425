"""`nasbench201`: the cells of NAS-Bench-201 [NB201]: six edges between four nodes, five operations each; 15,625 cells.

A point is a cell. Its Network is the published skeleton, three stages of five equal cells with residual reductions
between, without the operations that cannot matter: those fed by nothing and those that lead nowhere. Cells with the
same `isomorphism` string compute the same kind of function; there are 6,466, and tables must be split by them
(`canonical_cells`). "nasbench201@canonical" has one point for each, the first in the published order of its class.

341 cells are dead: no operation leads from input to output. They are points (tables have them), but have no Network.
Two differences from the published counts: the normalisation before the classifier is a depthwise 1 x 1 convolution
here (4,096 multiply-accumulates), and the published count adds the classifier's ten offsets. `published_sizes` gives
the published figures, which include operations that cannot matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UnsupportedError, UsageError, unknown_name
from cofront.network import Builder, Network
from cofront.network.ops import Pool2d
from cofront.problem import Trellis
from cofront.space.base import PRECISIONS, Choice, Fragments, Layered, Points, Precisions, Space
from cofront.space.columns import Columns, points_from_columns

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE, SKIP, CONV1, CONV3, POOL = range(5)
#: (from node, to node) of each edge; node 0 is the cell's input, 3 its output.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
WIDTHS, CELLS, SIDE, CLASSES = (16, 32, 64), 5, 32, 10
ARCH = "arch"

IntArray = NDArray[np.int64]


class NasBench201(Space):
    """With `canonical`, only one cell of each class of isomorphic ones."""

    name = "nasbench201"
    task = "cifar10"
    input_shape = (3, SIDE, SIDE)

    def __init__(self, canonical: bool = False) -> None:
        self._canonical = canonical
        if canonical:
            self.name = "nasbench201@canonical"

    @classmethod
    def variant(cls, text: str) -> NasBench201:
        if text != "canonical":
            raise UsageError(f"space '{cls.name}@{text}': expected canonical after the @")
        return cls(canonical=True)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(f"op{i}", OPS) for i in range(len(EDGES)))

    def canonical(self, points: Points) -> Points:
        points = self.validate(points)
        return _all_points()[canonical_cells(points)] if self._canonical else points

    def sample(self, rng: np.random.Generator, n: int) -> Points:
        """(n, 6) independent uniform cells that are not dead, canonical."""
        points = super().sample(rng, n)
        while (dead := dead_cells(points)).any():
            points[dead] = super().sample(rng, int(dead.sum()))
        return points

    def network(self, point: Points) -> Network:
        ops = tuple(int(o) for o in self.canonical(point)[0])
        if not _live(ops)[1]:
            raise UnsupportedError(
                f"cell {cell_string(ops)} is dead: no operation leads from its input to its output, so there is no "
                "network to train or cost"
            )
        return _network(ops).uniform_bits(8, 8)

    def feature_names(self) -> tuple[str, ...]:
        return tuple(self._features[0])

    def features(self, points: Points) -> NDArray[np.float64]:
        points, (names, numbers) = self.canonical(points), self._features
        out = np.zeros((len(points), len(names)))
        np.add.at(out, (np.arange(len(points))[:, None], numbers[_number(points)]), 1.0)
        return out

    @cached_property
    def _features(self) -> tuple[dict[str, int], IntArray]:
        """Feature name -> number, and the features of each of the 15,625 cells (15625, 21): ops and pairs of ops."""
        edges = range(len(EDGES))
        single = [f"op{i}={o}" for i in edges for o in OPS]
        pairs = [(i, j) for i in edges for j in edges if i < j]
        joint = [f"op{i}={a}*op{j}={b}" for i, j in pairs for a in OPS for b in OPS]
        points, n = _all_points(), len(OPS)
        columns = [points[:, i] + n * i for i in edges]
        columns += [len(single) + n * n * k + n * points[:, i] + points[:, j] for k, (i, j) in enumerate(pairs)]
        return {name: k for k, name in enumerate(single + joint)}, np.stack(columns, axis=1)

    def work(self, points: Points) -> NDArray[np.float64]:
        """All operations counted, as the tables' measurements ran them: (n, 5) how many there are of each."""
        points = self.canonical(points)
        return np.stack([(points == o).sum(axis=1) for o in range(len(OPS))], axis=1).astype(float)

    def isomorphism(self, points: Points) -> IntArray:
        """(n,) equal for isomorphic cells, which no split may tear apart."""
        return canonical_cells(self.validate(points))

    def dead(self, points: Points) -> NDArray[np.bool_]:
        """(n,) see `dead_cells`."""
        return dead_cells(self.validate(points))

    def decision_graph(self) -> NDArray[np.bool_]:
        """(6, 6) which operation reads what which other one writes."""
        return np.array([[b == a for a, _ in EDGES] for _, b in EDGES])

    def layered(self, precisions: Precisions | None = None) -> Layered:
        """One edge per live cell; its layers, a whole network, are made when asked for."""
        _only_w8a8(precisions)
        points = _all_points()
        if self._canonical:
            points = points[np.unique(canonical_cells(points))]
        points = points[[_live(tuple(p))[1] for p in points.tolist()]]
        names, numbers = self._features
        features, n = numbers[_number(points)], len(points)
        trellis = Trellis(
            n_nodes=2,
            edge_from=np.zeros(n, np.int64),
            edge_to=np.ones(n, np.int64),
            row_ptr=np.arange(n + 1),
            rows=np.arange(n),
            feature_ptr=np.arange(n + 1) * features.shape[1],
            features=features.ravel(),
            choices=tuple(tuple(enumerate(p)) for p in points.tolist()),
            n_rows=n,
            n_features=len(names),
        )
        return Layered(trellis, Fragments(n, lambda i: self.network(points[i])), np.arange(n))

    def precisions_of(self, points: Points) -> dict[str, tuple[str, ...]]:
        self.validate(points)
        return {}

    def table_columns(self) -> tuple[str, ...]:
        return (*super().table_columns(), ARCH)

    def from_table(self, columns: Columns) -> tuple[Space, Points]:
        """Also reads the published strings, such as "|nor_conv_3x3~0|+|none~0|skip_connect~1|+...", in "arch"."""
        if ARCH in columns and "op0" not in columns:
            return self, self.canonical(np.array([parse_cell(t, i) for i, t in enumerate(columns[ARCH])]))
        return self, points_from_columns(self, columns)


def parse_cell(text: object, row: int = 0) -> tuple[int, ...]:
    """The six operation numbers of a published cell string."""
    parts = [p for group in str(text).split("+") for p in group.strip("|").split("|")]
    wanted = [f"~{a}" for a, _ in EDGES]
    found = [(p[: -len(w)], p.endswith(w)) for p, w in zip(parts, wanted, strict=False)]
    if len(parts) != len(EDGES) or not all(end and name in OPS for name, end in found):
        raise InputError(
            f"column '{ARCH}', row {row}: expected a cell such as {cell_string((3,) * 6)}, got {text!r:.80}"
        )
    return tuple(OPS.index(name) for name, _ in found)


def cell_string(ops: tuple[int, ...]) -> str:
    """The published string of a cell."""
    groups: dict[int, list[str]] = {}
    for op, (a, b) in zip(ops, EDGES, strict=True):
        groups.setdefault(b, []).append(f"{OPS[op]}~{a}")
    return "+".join(f"|{'|'.join(g)}|" for g in groups.values())


def canonical_cells(points: Points) -> IntArray:
    """(n,) the class of each cell (n, 6): cells with equal numbers are isomorphic. 6,466 distinct ones exist.

    The number is that of the class's first cell. Two cells are isomorphic when their `expression` is the same.
    """
    return _classes()[_number(np.asarray(points, np.int64))]


def dead_cells(points: Points) -> NDArray[np.bool_]:
    """(n,) whether nothing leads from input to output."""
    return np.array([not _live(tuple(p))[1] for p in np.asarray(points).tolist()], dtype=bool)


def published_sizes(points: Points) -> tuple[IntArray, IntArray]:
    """(n,) multiply-accumulates and (n,) parameters as published, operations without effect included."""
    points = np.asarray(points)
    ones, threes = (points == CONV1).sum(axis=1), (points == CONV3).sum(axis=1)
    macs = 27 * WIDTHS[0] * SIDE**2 + WIDTHS[-1] * CLASSES + CLASSES + 0 * ones
    params = (27 + 2) * WIDTHS[0] + 2 * WIDTHS[-1] + WIDTHS[-1] * CLASSES + CLASSES + 0 * ones
    for i, c in enumerate(WIDTHS):
        area = (SIDE >> i) ** 2
        macs = macs + CELLS * c * c * area * (ones + 9 * threes)
        params = params + CELLS * ((c * c + 2 * c) * ones + (9 * c * c + 2 * c) * threes)
        if i:
            macs = macs + c * (c // 2) * area * 10 + 9 * c * c * area
            params = params + c * (c // 2) * 10 + 9 * c * c + 4 * c
    return macs, params


def _only_w8a8(precisions: Precisions | None) -> None:
    """The space has one precision: a restriction must allow it, by its name."""
    wanted = precisions if isinstance(precisions, Mapping) else {"*": precisions or ("W8A8",)}
    for block, names in wanted.items():
        if block != "*":
            raise unknown_name("block", block, ())
        for name in names:
            if name not in PRECISIONS:
                raise unknown_name("precision", name, PRECISIONS)
        if "W8A8" not in names:
            raise UsageError("space 'nasbench201' has only precision W8A8")


def _number(points: IntArray) -> IntArray:
    """(n, 6) -> (n,) place in the order of `_all_points`."""
    return np.asarray(points @ len(OPS) ** np.arange(len(EDGES))[::-1], dtype=np.int64)


@cache
def _all_points() -> IntArray:
    return np.array(list(product(range(len(OPS)), repeat=len(EDGES))), dtype=np.int64)


@cache
def _classes() -> IntArray:
    """(15625,) number of the first cell with the same expression."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(expression(tuple(p)), i) for i, p in enumerate(_all_points().tolist())])


def expression(ops: tuple[int, ...]) -> str:
    """What a cell computes of its input "0", as the benchmark writes it: "#" is zero, an identity writes nothing."""
    nodes = ["0"]
    for node in (1, 2, 3):
        terms = []
        for op, (a, b) in zip(ops, EDGES, strict=True):
            if b == node:
                zero = op == NONE or nodes[a] == "#"
                terms.append("#" if zero else nodes[a] if op == SKIP else f"({nodes[a]})@{OPS[op]}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _live(ops: tuple[int, ...]) -> tuple[tuple[bool, ...], bool]:
    """Which edges lie on a path from input to output, and whether any does."""
    fed = {0}
    for op, (a, b) in zip(ops, EDGES, strict=True):
        if op != NONE and a in fed:
            fed.add(b)
    used = {3}
    for op, (a, b) in reversed(list(zip(ops, EDGES, strict=True))):
        if op != NONE and b in used:
            used.add(a)
    edges = tuple(op != NONE and a in fed and b in used for op, (a, b) in zip(ops, EDGES, strict=True))
    return edges, any(edges)


def _network(ops: tuple[int, ...]) -> Network:
    b = Builder(NasBench201.name, (3, SIDE, SIDE))
    b.block = "stem"
    b.conv(WIDTHS[0], 3, name="stem")
    for stage, width in enumerate(WIDTHS, 1):
        if stage > 1:
            _reduction(b, f"r{stage}", width)
        for i in range(1, CELLS + 1):
            _cell(b, f"s{stage}c{i}", ops, width)
    b.block = "head"
    # The affine map of the last batch normalisation, which no convolution stands before.
    b.conv(WIDTHS[-1], 1, groups=WIDTHS[-1], bias=True, norm=False, act="relu", name="last")
    b.classifier(CLASSES)
    return b.build()


def _reduction(b: Builder, label: str, width: int) -> None:
    """The residual block with stride 2 between stages."""
    b.block, x = label, b.last
    b.act("relu", x, name=f"{label}.a.relu")
    b.conv(width, 3, 2, act="relu", name=f"{label}.a")
    main = b.conv(width, 3, name=f"{label}.b")
    b.pool("avg", 2, 2, src=x, name=f"{label}.pool")
    b.sum(b.conv(width, 1, norm=False, name=f"{label}.shortcut"), main, name=f"{label}.add")


def _cell(b: Builder, label: str, ops: tuple[int, ...], width: int) -> None:
    b.block, live = label, _live(ops)[0]
    tensors, activated = {0: b.last}, dict[int, str]()
    for node in (1, 2, 3):
        terms = []
        for i, (op, (a, to)) in enumerate(zip(ops, EDGES, strict=True)):
            if to == node and live[i]:
                terms.append(_operation(b, f"{label}.e{i}", op, (a, tensors[a]), width, activated))
        if terms:
            tensors[node] = terms[0] if len(terms) == 1 else b.sum(*terms, name=f"{label}.n{node}")
    assert b.last == tensors[3], "what is live leads to the output, so the output comes last"


def _operation(b: Builder, name: str, op: int, source: tuple[int, str], width: int, activated: dict[int, str]) -> str:
    node, x = source
    if op == SKIP:
        return x
    if op == POOL:
        return b.add(Pool2d("avg", (3, 3), (1, 1), (1, 1, 1, 1), count_include_pad=False), x, name=name)
    if node not in activated:
        activated[node] = b.act("relu", x, name=f"{name}.relu")
    return b.conv(width, 3 if op == CONV3 else 1, src=activated[node], name=name)
