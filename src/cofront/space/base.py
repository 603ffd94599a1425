"""Space: named choices, points as small integer vectors, and the Network of each point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError
from cofront.network import Network
from cofront.network.bits import PRECISIONS as PRECISIONS
from cofront.problem import Trellis

Points = NDArray[np.int64]

#: Which precisions a search may use: names for every block, or names by block label with "*" for the others. A block
#: with an empty tuple of its own is left out: networks that need it are not searched.
Precisions = tuple[str, ...] | Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Choice:
    """One variable: its name and the values its integer indexes."""

    name: str
    options: tuple[object, ...]


class Fragments(Sequence[Network]):
    """`n` Networks that are made when first asked for: `make(i)` gives the i-th."""

    def __init__(self, n: int, make: Callable[[int], Network]) -> None:
        self._made: list[Network | None] = [None] * n
        self._make = make

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> Network: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Network, ...]: ...
    def __getitem__(self, index: int | slice) -> Network | tuple[Network, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        i = range(len(self))[index]
        found = self._made[i]
        if found is None:
            found = self._made[i] = self._make(i)
        return found

    def __iter__(self) -> Iterator[Network]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class Layered:
    """A space as a Trellis plus what its rows stand for.

    `fragments[f]` is a Network with the shapes and bit-widths of one edge's layers; edge i runs
    `fragments[edge_fragment[i]]`, or nothing when that is -1 (a skipped block). The fragments along a path, stacked,
    are the layers of the path's Network. The `rows` of `trellis` are filled in by the accelerator that lowers the
    fragments; here they are the fragments themselves.
    """

    trellis: Trellis
    fragments: Sequence[Network]
    edge_fragment: NDArray[np.int64]  # (e,)

    def per_edge(self, per_fragment: Sequence[float] | NDArray[Any]) -> NDArray[Any]:
        """(e,) a figure of each edge's fragment; 0 where nothing runs."""
        return np.array([*per_fragment, 0])[self.edge_fragment]

    def with_rows(self, per_fragment: Sequence[NDArray[np.int64]], n_rows: int) -> Trellis:
        """The trellis with the rows that each fragment has been lowered to."""
        nothing = np.zeros(0, dtype=np.int64)
        parts = [per_fragment[i] if i >= 0 else nothing for i in self.edge_fragment]
        pointer = np.cumsum([0, *map(len, parts)])
        return replace(self.trellis, row_ptr=pointer, rows=np.concatenate([nothing, *parts]), n_rows=n_rows)


class Space(ABC):
    """Named choices. Shapes: n points, d choices, f features."""

    name: str
    #: What accuracy refers to, e.g. "cifar10"; and the number of classes.
    task: str = ""
    input_shape: tuple[int, int, int]
    #: Blocks outside the repeated part that have a precision of their own, e.g. ("stem", "head").
    ends: tuple[str, ...] = ()

    @classmethod
    def variant(cls, text: str) -> Space:
        """The space that `load("name@text")` gives, for spaces that have options of their own."""
        raise UsageError(f"space '{cls.name}' has no variants, got '{cls.name}@{text}'")

    @property
    @abstractmethod
    def choices(self) -> tuple[Choice, ...]:
        """The variables, in the order of a point's coordinates."""

    @abstractmethod
    def network(self, point: Points) -> Network:
        """The Network of one point (d,), bit-widths included."""

    @abstractmethod
    def canonical(self, points: Points) -> Points:
        """(n, d) -> (n, d): coordinates without effect (blocks beyond the depth) set to 0."""

    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of the additive accuracy model, (f,).

        An interaction joins its parts with "*"; a precision other than W8A8 is named "<block>.bits=<precision>".
        """

    @abstractmethod
    def features(self, points: Points) -> NDArray[np.float64]:
        """(n, d) -> (n, f) counts, mostly 0/1; the sum along a trellis path equals this row for the path's point."""

    @abstractmethod
    def layered(self, precisions: Precisions | None = None) -> Layered:
        """The space as a Trellis, restricted to `precisions` (names such as "W8A8") where it has them.

        An UnsupportedError where its networks are no chain of decisions.
        """

    @abstractmethod
    def precisions_of(self, points: Points) -> dict[str, tuple[str, ...]]:
        """Block -> precisions that it has in at least one of the points, for the blocks that have a choice."""

    @property
    def n_points(self) -> int:
        """How many (network, precision) pairs there are: an exact Python integer."""
        return self.layered().trellis.n_paths()

    def work(self, points: Points) -> NDArray[np.float64]:
        """(n, w) totals of the networks, in the order of `cofront.space.work.WORK`."""
        from cofront.space.work import network_work

        return np.array([network_work(self.network(p)) for p in self.validate(points)])

    def table_columns(self) -> tuple[str, ...]:
        """Columns of a table of measurements that `from_table` can read."""
        return tuple(c.name for c in self.choices)

    def from_table(self, columns: Mapping[str, Sequence[object]]) -> tuple[Space, Points]:
        """This space (or one like it, if the table needs other options) and the table's canonical points (n, d)."""
        from cofront.space.columns import points_from_columns

        return self, points_from_columns(self, columns)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Options per choice, (d,)."""
        return np.array([len(c.options) for c in self.choices], dtype=np.int64)

    def validate(self, points: Points) -> Points:
        """The points as an int64 (n, d) array, or an InputError that names the first bad coordinate."""
        array = np.atleast_2d(np.asarray(points))
        if array.ndim != 2 or array.shape[1] != len(self.sizes):
            raise InputError(
                f"space '{self.name}': expected points of {len(self.sizes)} coordinates, got {array.shape}"
            )
        if not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"space '{self.name}': points are integers, got {array.dtype}")
        bad = np.argwhere((array < 0) | (array >= self.sizes))
        if len(bad):
            i, j = bad[0]
            raise InputError(
                f"space '{self.name}': point {i} has {self.choices[j].name} = {array[i, j]}, "
                f"expected 0 to {self.sizes[j] - 1}"
            )
        return array.astype(np.int64)

    def sample(self, rng: np.random.Generator, n: int) -> Points:
        """(n, d) independent uniform points, canonical."""
        return self.canonical(rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64))

    def describe(self, point: Points) -> dict[str, object]:
        """Choice name -> chosen value, for people and JSON."""
        row = self.validate(point)[0]
        return {c.name: c.options[int(i)] for c, i in zip(self.choices, row, strict=True)}
