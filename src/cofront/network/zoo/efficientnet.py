"""EfficientNet-Lite: EfficientNet without squeeze-excite and with ReLU6 [EffNetLite]."""

from __future__ import annotations

import math
from collections.abc import Callable

from cofront.network.graph import Builder, Network
from cofront.network.zoo.units import inverted_residual, make_divisible

#: kernel, expansion, channels, repeats, stride of the first repeat
STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)

#: Of Lite0 to Lite4: multiplier of channels, multiplier of repeats, input height and width.
SCALES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280), (1.4, 1.8, 300))


def efficientnet_lite(variant: int, classes: int = 1000, resolution: int | None = None) -> Network:
    """EfficientNet-Lite0 to Lite4. Stem, head and the repeats of the first and last stage do not grow.

    Padding is symmetric; TensorFlow's "SAME" pads the far side more: same shapes and counts.
    """
    width, depth, own = SCALES[variant]
    side = resolution or own
    b = Builder(f"efficientnet-lite{variant}", (3, side, side))
    b.block = "stem"
    b.conv(32, 3, 2, act="relu6", name="stem")
    index = 0
    for number, (kernel, expand, channels, repeats, stride) in enumerate(STAGES):
        fixed = number in (0, len(STAGES) - 1)
        for i in range(repeats if fixed else math.ceil(repeats * depth)):
            index += 1
            hidden = expand * b.shape()[0]
            out = make_divisible(channels * width)
            inverted_residual(b, f"b{index}", out, kernel, stride if i == 0 else 1, hidden, "relu6")
    b.block = "head"
    b.conv(1280, 1, act="relu6", name="head")
    b.block = "classifier"
    b.classifier(classes)
    return b.build()


def maker(variant: int) -> Callable[..., Network]:
    """Builds that variant."""

    def make(*, classes: int = 1000, resolution: int | None = None) -> Network:
        return efficientnet_lite(variant, classes, resolution)

    return make
