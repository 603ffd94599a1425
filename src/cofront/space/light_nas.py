"""`light_nas`: the space of LightNAS [LightNAS22]: 22 blocks, the first fixed, each other one of seven operators.

Operators are {3, 5, 7} x {3, 6} (kernel, expansion) and the identity, in the order of the released tables. The strides
are ours, read off the released latencies (they fall where the resolution halves); so is the 1 x 1 convolution that
stands for the identity where the shape changes, as in `fbnet`. `light_nas@cifar10-small` has these operators in eight
layers (`space.small`).
"""

from __future__ import annotations

from cofront.errors import UsageError
from cofront.network import Builder
from cofront.network.ops import Flatten, GlobalPool, Linear
from cofront.network.zoo.units import inverted_residual
from cofront.space.chain import ChainSpace, Macro, Place
from cofront.space.small import SMALL, VARIANT

#: (kernel, expansion) of operators 0 to 5; 6 is the identity.
UNITS = ((3, 3), (3, 6), (5, 3), (5, 6), (7, 3), (7, 6))
SKIP = len(UNITS)
STAGES = ((24, 2, 2), (48, 3, 2), (72, 4, 2), (128, 3, 1), (160, 4, 2), (176, 4, 1), (384, 1, 1))
#: Width of the layer between the pooling and the classifier.
HIDDEN = 1280

PUBLISHED = Macro(
    task="imagenet",
    input_shape=(3, 224, 224),
    classes=1000,
    stem=(16, 2),
    layers=tuple((width, stride if i == 0 else 1) for width, depth, stride in STAGES for i in range(depth)),
    head=1984,
)


class LightNas(ChainSpace):
    """The published space; with `small` the layers of `space.small`, without the fixed block and the hidden layer."""

    name = "light_nas"
    ops = (*(f"k{k}_e{e}" for k, e in UNITS), "skip")
    variable = "op"
    first = 0
    arch: str = "op_idx_list"

    def __init__(self, small: bool = False) -> None:
        self.small, self.macro = small, SMALL if small else PUBLISHED
        if small:
            self.name = f"light_nas@{VARIANT}"
        self.task, self.input_shape = self.macro.task, self.macro.input_shape
        self._places = self.macro.places
        self.arch_format = f"{len(self._places)} numbers from 0 to {SKIP}"

    @classmethod
    def variant(cls, text: str) -> LightNas:
        if text != VARIANT:
            raise UsageError(f"space '{cls.name}@{text}': expected {VARIANT} after the @")
        return cls(small=True)

    @property
    def places(self) -> tuple[Place, ...]:
        return self._places

    def operators(self, value: object) -> list[int]:
        return value if isinstance(value, list) and all(type(v) is int for v in value) else []

    def is_identity(self, place: Place, op: int) -> bool:
        return op == SKIP and place.same_shape

    def build_ends(self, b: Builder, part: str) -> None:
        if part == "stem":
            width, stride = self.macro.stem
            b.conv(width, 3, stride, act="relu6", name="stem")
            if not self.small:
                inverted_residual(b, "stem", width, 3, 1, width, "relu6")
            return
        b.conv(self.macro.head, 1, act="relu6", name="head")
        b.add(GlobalPool(), name="head.pool")
        b.add(Flatten(), name="head.flatten")
        if not self.small:
            b.add(Linear(HIDDEN), name="head.hidden")
            b.act("relu6", name="head.hidden.act")
        b.add(Linear(self.macro.classes), name="classifier")

    def build_layer(self, b: Builder, label: str, place: Place, op: int) -> None:
        if op == SKIP:
            b.conv(place.cout, 1, place.stride, act="relu6", name=f"{label}.skip")
            return
        kernel, expand = UNITS[op]
        inverted_residual(b, label, place.cout, kernel, place.stride, expand * place.cin, "relu6")
