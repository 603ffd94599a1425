"""`nasbench_macro`: NAS-Bench-Macro [MCTNAS21]: eight layers, each the identity or one of two inverted residuals.

All 6,561 networks were trained on CIFAR-10. The identity of a layer that changes the shape is a 1 x 1 convolution. The
table's file names a network by its eight digits, which `from_table` reads from a column "arch".
"""

from __future__ import annotations

from cofront.network import Builder
from cofront.network.zoo.units import inverted_residual
from cofront.space.chain import ChainSpace, Place, places

#: (expansion, kernel) of operators 1 and 2.
UNITS = ((3, 3), (6, 5))
LAYERS = ((64, 2), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
STEM_WIDTH, HEAD_WIDTH, CLASSES = 32, 1280, 10


class NasBenchMacro(ChainSpace):
    name = "nasbench_macro"
    task = "cifar10"
    input_shape = (3, 32, 32)
    ops = ("identity", "mb3_k3", "mb6_k5")
    variable = "op"
    first = 1
    arch = "arch"
    arch_format = "eight digits 0 to 2"

    @property
    def places(self) -> tuple[Place, ...]:
        return _PLACES

    def operators(self, value: object) -> list[int]:
        return [int(c) for c in value] if isinstance(value, str) and set(value) <= set("012") else []

    def is_identity(self, place: Place, op: int) -> bool:
        return op == 0 and place.same_shape

    def build_ends(self, b: Builder, part: str) -> None:
        if part == "stem":
            b.conv(STEM_WIDTH, 3, act="relu6", name="stem")
        else:
            b.conv(HEAD_WIDTH, 1, act="relu6", name="head")
            b.classifier(CLASSES)

    def build_layer(self, b: Builder, label: str, place: Place, op: int) -> None:
        if op == 0:
            b.conv(place.cout, 1, place.stride, name=f"{label}.skip")
            return
        expand, kernel = UNITS[op - 1]
        inverted_residual(b, label, place.cout, kernel, place.stride, expand * place.cin, "relu6")


_PLACES = places(LAYERS, STEM_WIDTH, 32)
