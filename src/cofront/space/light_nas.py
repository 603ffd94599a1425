"""`light_nas`: the space of LightNAS [LightNAS22]: 22 blocks, the first fixed, each other one of seven operators.

Operators are {3, 5, 7} x {3, 6} (kernel, expansion) and the identity, in the order of the released tables. The strides
are ours, read off the released latencies (they fall where the resolution halves); so is the 1 x 1 convolution that
stands for the identity where the shape changes, as in `fbnet`.
"""

from __future__ import annotations

from cofront.network import Builder
from cofront.network.ops import Flatten, GlobalPool, Linear
from cofront.network.zoo.units import inverted_residual
from cofront.space.chain import ChainSpace, Place, places

#: (kernel, expansion) of operators 0 to 5; 6 is the identity.
UNITS = ((3, 3), (3, 6), (5, 3), (5, 6), (7, 3), (7, 6))
SKIP = len(UNITS)
STAGES = ((24, 2, 2), (48, 3, 2), (72, 4, 2), (128, 3, 1), (160, 4, 2), (176, 4, 1), (384, 1, 1))
STEM_WIDTH, HEAD_WIDTH, HIDDEN, CLASSES = 16, 1984, 1280, 1000

_PLACES = places(
    tuple((width, stride if i == 0 else 1) for width, depth, stride in STAGES for i in range(depth)), STEM_WIDTH, 112
)


class LightNas(ChainSpace):
    name = "light_nas"
    task = "imagenet"
    input_shape = (3, 224, 224)
    ops = (*(f"k{k}_e{e}" for k, e in UNITS), "skip")
    variable = "op"
    first = 0
    arch: str = "op_idx_list"
    arch_format = "21 numbers from 0 to 6"

    @property
    def places(self) -> tuple[Place, ...]:
        return _PLACES

    def operators(self, value: object) -> list[int]:
        return value if isinstance(value, list) and all(type(v) is int for v in value) else []

    def is_identity(self, place: Place, op: int) -> bool:
        return op == SKIP and place.same_shape

    def build_ends(self, b: Builder, part: str) -> None:
        if part == "stem":
            b.conv(STEM_WIDTH, 3, 2, act="relu6", name="stem")
            inverted_residual(b, "stem", STEM_WIDTH, 3, 1, STEM_WIDTH, "relu6")
            return
        b.conv(HEAD_WIDTH, 1, act="relu6", name="head")
        b.add(GlobalPool(), name="head.pool")
        b.add(Flatten(), name="head.flatten")
        b.add(Linear(HIDDEN), name="head.hidden")
        b.act("relu6", name="head.hidden.act")
        b.add(Linear(CLASSES), name="classifier")

    def build_layer(self, b: Builder, label: str, place: Place, op: int) -> None:
        if op == SKIP:
            b.conv(place.cout, 1, place.stride, act="relu6", name=f"{label}.skip")
            return
        kernel, expand = UNITS[op]
        inverted_residual(b, label, place.cout, kernel, place.stride, expand * place.cin, "relu6")
