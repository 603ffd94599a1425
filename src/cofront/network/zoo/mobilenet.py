"""MobileNetV2 [MBV2, table 2] and MobileNetV3-Large [MBV3, table 1]."""

from __future__ import annotations

from cofront.network.graph import Builder, Network
from cofront.network.ops import ActivationKind, Linear
from cofront.network.zoo.units import inverted_residual, make_divisible

#: expansion, channels, repeats, stride of the first repeat
V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(width: float = 1.0, classes: int = 1000, resolution: int = 224) -> Network:
    """MobileNetV2; the last convolution does not shrink below 1280 channels for `width` < 1."""
    b = Builder("mobilenetv2" if width == 1.0 else f"mobilenetv2-{width:g}", (3, resolution, resolution))
    b.block = "stem"
    b.conv(make_divisible(32 * width), 3, 2, act="relu6", name="stem")
    index = 0
    for expand, channels, repeats, stride in V2_STAGES:
        for i in range(repeats):
            index += 1
            hidden = expand * b.shape()[0]
            out = make_divisible(channels * width)
            inverted_residual(b, f"b{index}", out, 3, stride if i == 0 else 1, hidden, "relu6")
    b.block = "head"
    b.conv(make_divisible(1280 * max(1.0, width)), 1, act="relu6", name="head")
    b.block = "classifier"
    b.classifier(classes)
    return b.build()


#: kernel, expanded channels, channels, squeeze-excite, activation, stride
V3_LARGE_BLOCKS: tuple[tuple[int, int, int, bool, ActivationKind, int], ...] = (
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hswish", 2),
    (3, 200, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 184, 80, False, "hswish", 1),
    (3, 480, 112, True, "hswish", 1),
    (3, 672, 112, True, "hswish", 1),
    (5, 672, 160, True, "hswish", 2),
    (5, 960, 160, True, "hswish", 1),
    (5, 960, 160, True, "hswish", 1),
)


def mobilenet_v3_large(classes: int = 1000, resolution: int = 224) -> Network:
    """MobileNetV3-Large 1.0; squeeze-excite width is a quarter of the expanded channels, a multiple of 8."""
    b = Builder("mobilenetv3-large", (3, resolution, resolution))
    b.block = "stem"
    b.conv(16, 3, 2, act="hswish", name="stem")
    for i, (kernel, hidden, out, squeeze, act, stride) in enumerate(V3_LARGE_BLOCKS, 1):
        reduced = make_divisible(hidden / 4) if squeeze else None
        inverted_residual(b, f"b{i}", out, kernel, stride, hidden, act, reduced=reduced)
    b.block = "head"
    b.conv(960, 1, act="hswish", name="head")
    b.block = "classifier"
    b.classifier(1280, name="features")
    b.act("hswish", name="features.act")
    b.add(Linear(classes), name="classifier")
    return b.build()
