"""`fbnet`: the space of FBNet [FBNet19]: 22 layers, each one of nine units.

`fbnet` is the published one: 224 x 224 images of 1000 classes, head of 1984 channels (FBNet-B and C are points of it).
`fbnet@cifar100` is the one of HW-NAS-Bench's and HELP's tables [HWNAS21, HELP21]: 32 x 32 images of 100 classes, stem
and second stage at stride 1, head of 1504 channels, and a first 1 x 1 convolution in every unit, also those of
expansion 1, which FBNet's own code leaves out. A "skip" where the shape changes is a 1 x 1 convolution, as in
HW-NAS-Bench.
"""

from __future__ import annotations

from cofront.errors import UsageError, unknown_name
from cofront.network import Builder
from cofront.network.zoo.fbnet import STEM_WIDTH, layers
from cofront.network.zoo.units import inverted_residual
from cofront.space.chain import ChainSpace, Place, places

#: (kernel, expansion, groups of the 1 x 1 convolutions), in the order of the tables' operator numbers.
UNITS = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1))
SKIP = len(UNITS)


class FBNet(ChainSpace):
    """`dataset` is "imagenet" or "cifar100"."""

    name = "fbnet"
    ops = (*(f"k{k}_e{e}" + (f"_g{g}" if g > 1 else "") for k, e, g in UNITS), "skip")
    variable = "op"
    first = 0

    def __init__(self, dataset: str = "imagenet") -> None:
        if dataset not in ("imagenet", "cifar100"):
            raise unknown_name("dataset of space 'fbnet'", dataset, ("imagenet", "cifar100"))
        self.small = dataset == "cifar100"
        self.task = dataset
        self.input_shape = (3, 32, 32) if self.small else (3, 224, 224)
        if self.small:
            self.name = "fbnet@cifar100"
        self.head, self.classes = (1504, 100) if self.small else (1984, 1000)
        self._places = places(layers(second_stride=1 if self.small else 2), STEM_WIDTH, 32 if self.small else 112)

    @classmethod
    def variant(cls, text: str) -> FBNet:
        if text not in ("imagenet", "cifar100"):
            raise UsageError(f"space '{cls.name}@{text}': expected imagenet or cifar100 after the @")
        return cls(text)

    @property
    def places(self) -> tuple[Place, ...]:
        return self._places

    def is_identity(self, place: Place, op: int) -> bool:
        return op == SKIP and place.same_shape

    def build_ends(self, b: Builder, part: str) -> None:
        if part == "stem":
            b.conv(STEM_WIDTH, 3, 1 if self.small else 2, act="relu", name="stem")
        else:
            b.conv(self.head, 1, act="relu", name="head")
            b.classifier(self.classes)

    def build_layer(self, b: Builder, label: str, place: Place, op: int) -> None:
        if op == SKIP:
            b.conv(place.cout, 1, place.stride, act="relu", name=f"{label}.skip")
            return
        kernel, expand, groups = UNITS[op]
        hidden = expand * place.cin
        inverted_residual(
            b, label, place.cout, kernel, place.stride, hidden, "relu", groups=groups, always_expand=self.small
        )
