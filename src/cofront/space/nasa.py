"""`nasa`: the spaces of NASA [NASA22]: FBNet's 22 layers, each a unit of convolutions, shifts or adders.

`nasa@<space>` or `nasa@<space>-cifar100`; `nasa` is `nasa@add_all` on CIFAR-10. Units are those of `fbnet@cifar100`
with other operators in them, for images of 32 x 32 pixels. Convolutions have W8A8, shifts and adders W6A8: there is no
precision to choose. `nasa@<space>-cifar10-small` has these units in eight layers (`space.small`).

Ours, where only the number of operators is known: the units of `shiftadd` (shifts, and an adder as the last layer);
the grouped shift and adder units of `no_conv`, which give its 17; and the 1 x 1 layer that a "skip" is where the shape
changes (a shift in `no_conv`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from cofront.errors import unknown_name
from cofront.network import AdderConv2d, Builder, Conv2d, Convolution, Network, Node, ShiftConv2d
from cofront.network.shift_adder import WEIGHT_BITS
from cofront.network.zoo.fbnet import STEM_WIDTH, layers
from cofront.network.zoo.units import inverted_residual
from cofront.space.base import Choice
from cofront.space.chain import Macro, Place
from cofront.space.declare import Declaration, TrellisSpace
from cofront.space.small import SMALL, VARIANT

Ops = tuple[type[Convolution], type[Convolution], type[Convolution]]

#: The operators of a unit's three layers: expansion, depthwise, projection.
KINDS: dict[str, Ops] = {
    "conv": (Conv2d,) * 3,
    "shift": (ShiftConv2d,) * 3,
    "adder": (AdderConv2d,) * 3,
    "shiftadd": (ShiftConv2d, ShiftConv2d, AdderConv2d),
}
KERNELS, EXPANSIONS = (3, 5), (1, 3, 6)
#: Kinds of units in each space, and whether there are grouped ones of expansion 1 as well.
SPACES: dict[str, tuple[tuple[str, ...], bool]] = {
    "only_conv": (("conv",), True),
    "add_shift": (("conv", "shift"), False),
    "add_add": (("conv", "adder"), False),
    "add_shift_add": (("conv", "shiftadd"), False),
    "add_all": (("conv", "shift", "adder"), False),
    "no_conv": (("shift", "adder"), True),
}
CLASSES = {"cifar10": 10, "cifar100": 100}
MACROS = {
    **{d: Macro(d, (3, 32, 32), n, (STEM_WIDTH, 1), layers(second_stride=1), 1504) for d, n in CLASSES.items()},
    VARIANT: SMALL,
}
SKIP = "skip"


@dataclass(frozen=True)
class Unit:
    """One operator of a layer."""

    kind: str
    kernel: int
    expand: int
    groups: int = 1

    @property
    def name(self) -> str:
        return f"{self.kind}_k{self.kernel}_e{self.expand}" + (f"_g{self.groups}" if self.groups > 1 else "")

    @property
    def has_adders(self) -> bool:
        return AdderConv2d in KINDS[self.kind]


def units_of(space: str) -> tuple[Unit, ...]:
    """The units of a space, "skip" aside."""
    kinds, grouped = SPACES[space]
    out = []
    for kind in kinds:
        out += [Unit(kind, k, e) for k in KERNELS for e in EXPANSIONS]
        out += [Unit(kind, k, 1, 2) for k in KERNELS] if grouped else []
    return tuple(out)


UNITS: dict[str, Unit] = {u.name: u for s in SPACES for u in units_of(s)}


def without_adders(layers: int) -> int:
    """How many layers at each end have no adders: the published three of 22, and as large a share (ours) of others."""
    return max(1, 3 * layers // 22)


def bits(node: Node) -> tuple[int, int]:
    """Weight and input bits of a layer."""
    return WEIGHT_BITS if isinstance(node.op, ShiftConv2d | AdderConv2d) else 8, 8


@dataclass(frozen=True)
class Key:
    """What determines the layers of an edge: "stem", "head", or an operator at a place."""

    part: str
    place: Place | None = None


class Nasa(TrellisSpace):
    """`which` is one of `SPACES`, `dataset` of `MACROS`."""

    name = "nasa"

    def __init__(self, which: str = "add_all", dataset: str = "cifar10") -> None:
        if which not in SPACES:
            raise unknown_name("variant of space 'nasa'", which, SPACES)
        if dataset not in MACROS:
            raise unknown_name("data set of space 'nasa'", dataset, MACROS)
        self.which, self.macro = which, MACROS[dataset]
        self.task, self.input_shape = self.macro.task, self.macro.input_shape
        if (which, dataset) != ("add_all", "cifar10"):
            self.name = f"nasa@{which}" + ("" if dataset == "cifar10" else f"-{dataset}")
        self.places = self.macro.places

    @classmethod
    def variant(cls, text: str) -> Nasa:
        which, _, dataset = text.partition("-")
        return cls(which, dataset or "cifar10")

    def operators(self, place: Place) -> tuple[str, ...]:
        """The operators that may stand at a place, "skip" last."""
        ends = without_adders(len(self.places))
        inner = ends <= place.number < len(self.places) - ends
        return (*(u.name for u in units_of(self.which) if inner or not u.has_adders), SKIP)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(f"op{p.number}", self.operators(p)) for p in self.places)

    def fragment(self, key: Hashable) -> Network:
        assert isinstance(key, Key)
        if key.place is None:
            last = self.places[-1]
            b = Builder(key.part, self.input_shape if key.part == "stem" else (last.cout, last.side, last.side))
            b.block = key.part
            if key.part == "stem":
                width, stride = self.macro.stem
                b.conv(width, 3, stride, act="relu", name="stem")
            else:
                b.conv(self.macro.head, 1, act="relu", name="head")
                b.classifier(self.macro.classes)
        else:
            place, label = key.place, f"l{key.place.number}"
            b = Builder(label, (place.cin, place.side, place.side))
            b.block = label
            if key.part == SKIP:
                op = ShiftConv2d if self.which == "no_conv" else Conv2d
                b.conv(place.cout, 1, place.stride, act="relu", op=op, name=f"{label}.skip")
            else:
                u = UNITS[key.part]
                inverted_residual(
                    b, label, place.cout, u.kernel, place.stride, u.expand * place.cin, "relu",
                    groups=u.groups, always_expand=True, ops=KINDS[u.kind],
                )  # fmt: skip
        return b.build().with_bits(bits)

    def declare(self, into: Declaration) -> None:
        """States: the layers done so far."""
        into.edge("image", 0, {}, fragment=Key("stem"), block="stem")
        for i, place in enumerate(self.places):
            label = f"l{i}"
            for o, op in enumerate(self.operators(place)):
                key = None if op == SKIP and place.same_shape else Key(op, place)
                marks = (f"{label}.op={op}", f"op={op}")
                into.edge(i, i + 1, {f"op{i}": o}, marks, fragment=key, block=label if key else None)
        into.edge(len(self.places), "logits", {}, fragment=Key("head"), block="head")
