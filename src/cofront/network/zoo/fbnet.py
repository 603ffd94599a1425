"""FBNet-A, B and C [FBNet19, table 1 and figure 4]: 22 layers, each one of nine units."""

from __future__ import annotations

from cofront.network.graph import Builder, Network
from cofront.network.zoo.units import inverted_residual

#: channels of the convolution before the layers
STEM_WIDTH = 16


def layers(second_stride: int = 2) -> tuple[tuple[int, int], ...]:
    """Channels and stride of each of the 22 layers. The second stage's stride is 1 for images of 32 x 32 [HWNAS21]."""
    return (
        ((16, 1),)
        + ((24, second_stride),) + ((24, 1),) * 3
        + ((32, 2),) + ((32, 1),) * 3
        + ((64, 2),) + ((64, 1),) * 3
        + ((112, 1),) * 4
        + ((184, 2),) + ((184, 1),) * 3
        + ((352, 1),)
    )  # fmt: skip


#: kernel and expansion of each layer's unit; g: 1 x 1 convolutions in two groups, "-": the identity
UNITS = {
    "a": "-  33 31 -  -   56 33 51 33  56 53 51g 56  36 51g 53 31g  56 56 53 56  56",
    "b": "31 36 51 31 31  56 53 36 56  56 56 -   53  56 31  51 53   56 51 56 56  36",
    "c": "31 36 -  31 31  56 53 56 36  56 53 56  56  56 56  56 53   56 56 56 56  36",
}
HEAD = {"a": 1504, "b": 1984, "c": 1984}


def fbnet(variant: str, classes: int = 1000, resolution: int = 224) -> Network:
    """FBNet of one variant, "a", "b" or "c". Units of expansion 1 have no first 1 x 1 convolution [FBNet-code]."""
    b = Builder(f"fbnet-{variant}", (3, resolution, resolution))
    b.block = "stem"
    b.conv(STEM_WIDTH, 3, 2, act="relu", name="stem")
    for i, (unit, (channels, stride)) in enumerate(zip(UNITS[variant].split(), layers(), strict=True), 1):
        if unit == "-":
            continue
        groups = 2 if unit.endswith("g") else 1
        hidden = int(unit[1]) * b.shape()[0]
        inverted_residual(b, f"b{i}", channels, int(unit[0]), stride, hidden, "relu", groups=groups)
    b.block = "head"
    b.conv(HEAD[variant], 1, act="relu", name="head")
    b.block = "classifier"
    b.classifier(classes)
    return b.build()


def fbnet_a(classes: int = 1000, resolution: int = 224) -> Network:
    return fbnet("a", classes, resolution)


def fbnet_b(classes: int = 1000, resolution: int = 224) -> Network:
    return fbnet("b", classes, resolution)


def fbnet_c(classes: int = 1000, resolution: int = 224) -> Network:
    return fbnet("c", classes, resolution)
