"""Spaces that are a chain of layers, each with operators to choose from and a precision: FBNet, NAS-Bench-Macro.

A precision per layer is our addition; stem and head stay at W8A8.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass

from cofront.errors import InputError
from cofront.network import Builder, Network
from cofront.space.base import PRECISIONS, Choice, Points, Space
from cofront.space.columns import Columns, points_from_columns
from cofront.space.declare import Declaration, TrellisSpace

PRECISION_NAMES = tuple(PRECISIONS)


@dataclass(frozen=True)
class Place:
    """Where a layer stands: its number from 0, what comes in, what it must give. `side` is of its input."""

    number: int
    side: int
    cin: int
    cout: int
    stride: int

    @property
    def same_shape(self) -> bool:
        return self.stride == 1 and self.cin == self.cout


@dataclass(frozen=True)
class LayerKey:
    """Everything that determines the layers of an edge; stem and head have no place and the key's `part`."""

    part: str
    place: Place | None = None
    op: int = 0
    precision: str = PRECISION_NAMES[0]


class ChainSpace(TrellisSpace):
    """`ops` at each of `places`; an operator without layers (the identity) gives a skipped edge."""

    #: Names of the operators, the same for every layer, and of the choice variables with the layer's number.
    ops: tuple[str, ...]
    variable: str
    #: Number of the first layer in names.
    first: int
    #: The column of published tables that holds a whole architecture, if there is one, and what stands in it.
    arch: str | None = None
    arch_format: str = ""

    @property
    @abstractmethod
    def places(self) -> tuple[Place, ...]:
        """The layers to choose."""

    @abstractmethod
    def build_ends(self, b: Builder, part: str) -> None:
        """Adds "stem" or "head"."""

    @abstractmethod
    def build_layer(self, b: Builder, label: str, place: Place, op: int) -> None:
        """Adds one layer with one operator."""

    @abstractmethod
    def is_identity(self, place: Place, op: int) -> bool:
        """Whether the operator has no layers there."""

    def operators(self, value: object) -> list[int]:
        """The operators' numbers, as an entry of column `arch` holds them; anything else where it is malformed."""
        raise InputError(f"space '{self.name}' has no column for whole architectures")

    def table_columns(self) -> tuple[str, ...]:
        return (*super().table_columns(), *([self.arch] if self.arch else []))

    def from_table(self, columns: Columns) -> tuple[Space, Points]:
        """Also reads whole architectures from the column `arch`."""
        names = [f"{self.variable}{p.number + self.first}" for p in self.places]
        if self.arch and self.arch in columns and names[0] not in columns:
            found = []
            for i, value in enumerate(columns[self.arch]):
                ops = self.operators(value)
                if len(ops) != len(names) or not set(ops) <= set(range(len(self.ops))):
                    raise InputError(f"column '{self.arch}', row {i}: expected {self.arch_format}, got {value!r:.60}")
                found.append(ops)
            rest = {n: c for n, c in columns.items() if n != self.arch}
            columns = {**rest, **{n: [ops[j] for ops in found] for j, n in enumerate(names)}}
        return self, points_from_columns(self, columns)

    @property
    def choices(self) -> tuple[Choice, ...]:
        numbers = [p.number + self.first for p in self.places]
        return (
            *(Choice(f"{self.variable}{n}", self.ops) for n in numbers),
            *(Choice(f"{self.variable}{n}_bits", PRECISION_NAMES) for n in numbers),
        )

    def fragment(self, key: Hashable) -> Network:
        assert isinstance(key, LayerKey)
        place = key.place
        if place is None:
            last = self.places[-1]
            shape = (last.cout, -(-last.side // last.stride), -(-last.side // last.stride))
            b = Builder(key.part, self.input_shape if key.part == "stem" else shape)
            b.block = key.part
            self.build_ends(b, key.part)
            return b.build().uniform_bits(8, 8)
        label, bits = f"l{place.number + self.first}", PRECISIONS[key.precision]
        b = Builder(label, (place.cin, place.side, place.side))
        b.block = label
        self.build_layer(b, label, place, key.op)
        return b.build().with_bits(lambda _: bits)

    def declare(self, into: Declaration) -> None:
        """States: the layers done so far."""
        into.edge("image", 0, {}, fragment=LayerKey("stem"), block="stem")
        for i, place in enumerate(self.places):
            number = place.number + self.first
            label, op_name, bits_name = f"l{number}", f"{self.variable}{number}", f"{self.variable}{number}_bits"
            for o, op in enumerate(self.ops):
                features = (f"{label}.op={op}", f"op={op}")
                if self.is_identity(place, o):
                    into.edge(i, i + 1, {op_name: o, bits_name: 0}, features, match=1)
                    continue
                for p, precision in enumerate(PRECISION_NAMES):
                    marks = (f"{label}.bits={precision}", f"bits={precision}") if p else ()
                    into.edge(
                        i,
                        i + 1,
                        {op_name: o, bits_name: p},
                        (*features, *marks),
                        fragment=LayerKey("layer", place, o, precision),
                        block=label,
                        precision=precision,
                    )
        into.edge(len(self.places), "logits", {}, fragment=LayerKey("head"), block="head")


@dataclass(frozen=True)
class Macro:
    """What surrounds the choices: a 3 x 3 stem, layers, and a 1 x 1 head before the pooling and the classifier.

    `stem` and each of `layers` are (output channels, stride); `head` is the head's output channels.
    """

    task: str
    input_shape: tuple[int, int, int]
    classes: int
    stem: tuple[int, int]
    layers: tuple[tuple[int, int], ...]
    head: int

    @property
    def places(self) -> tuple[Place, ...]:
        width, stride = self.stem
        return places(self.layers, width, -(-self.input_shape[1] // stride))


def places(layers: tuple[tuple[int, int], ...], cin: int, side: int) -> tuple[Place, ...]:
    """Places of layers given as (output channels, stride), behind a stem of `cin` channels and `side` pixels."""
    out = []
    for i, (cout, stride) in enumerate(layers):
        out.append(Place(i, side, cin, cout, stride))
        cin, side = cout, -(-side // stride)
    return tuple(out)
