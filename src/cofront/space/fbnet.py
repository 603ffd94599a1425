"""`fbnet`: the space of FBNet [FBNet19]: 22 layers, each one of nine units.

`fbnet` is the published one: 224 x 224 images of 1000 classes, head of 1984 channels (FBNet-B and C are points of it).
`fbnet@cifar100` is the one of HW-NAS-Bench's and HELP's tables [HWNAS21, HELP21]: 32 x 32 images of 100 classes, stem
and second stage at stride 1, head of 1504 channels, and a first 1 x 1 convolution in every unit, also those of
expansion 1, which FBNet's own code leaves out. A "skip" where the shape changes is a 1 x 1 convolution, as in
HW-NAS-Bench. `fbnet@cifar10-small` has FBNet's own units in eight layers (`space.small`).
"""

from __future__ import annotations

from cofront.errors import UsageError, unknown_name
from cofront.network import Builder
from cofront.network.zoo.fbnet import STEM_WIDTH, layers
from cofront.network.zoo.units import inverted_residual
from cofront.space.chain import ChainSpace, Macro, Place
from cofront.space.small import SMALL, VARIANT

MACROS = {
    "imagenet": Macro("imagenet", (3, 224, 224), 1000, (STEM_WIDTH, 2), layers(), 1984),
    "cifar100": Macro("cifar100", (3, 32, 32), 100, (STEM_WIDTH, 1), layers(second_stride=1), 1504),
    VARIANT: SMALL,
}

#: (kernel, expansion, groups of the 1 x 1 convolutions), in the order of the tables' operator numbers.
UNITS = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1))
SKIP = len(UNITS)


class FBNet(ChainSpace):
    """`dataset` is one of `MACROS`."""

    name = "fbnet"
    ops = (*(f"k{k}_e{e}" + (f"_g{g}" if g > 1 else "") for k, e, g in UNITS), "skip")
    variable = "op"
    first = 0

    def __init__(self, dataset: str = "imagenet") -> None:
        if dataset not in MACROS:
            raise unknown_name("dataset of space 'fbnet'", dataset, MACROS)
        self.macro = MACROS[dataset]
        self.task, self.input_shape = self.macro.task, self.macro.input_shape
        self.always_expand = dataset == "cifar100"
        if dataset != "imagenet":
            self.name = f"fbnet@{dataset}"
        self._places = self.macro.places

    @classmethod
    def variant(cls, text: str) -> FBNet:
        if text not in MACROS:
            *most, last = MACROS
            raise UsageError(f"space '{cls.name}@{text}': expected {', '.join(most)} or {last} after the @")
        return cls(text)

    @property
    def places(self) -> tuple[Place, ...]:
        return self._places

    def is_identity(self, place: Place, op: int) -> bool:
        return op == SKIP and place.same_shape

    def build_ends(self, b: Builder, part: str) -> None:
        if part == "stem":
            width, stride = self.macro.stem
            b.conv(width, 3, stride, act="relu", name="stem")
        else:
            b.conv(self.macro.head, 1, act="relu", name="head")
            b.classifier(self.macro.classes)

    def build_layer(self, b: Builder, label: str, place: Place, op: int) -> None:
        if op == SKIP:
            b.conv(place.cout, 1, place.stride, act="relu", name=f"{label}.skip")
            return
        kernel, expand, groups = UNITS[op]
        hidden = expand * place.cin
        inverted_residual(
            b, label, place.cout, kernel, place.stride, hidden, "relu", groups=groups, always_expand=self.always_expand
        )
