"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-excite and with ReLU6 [EffNetLite]."""

from __future__ import annotations

from cofront.network.graph import Builder, Network
from cofront.network.zoo.units import inverted_residual

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


def efficientnet_lite0(classes: int = 1000, resolution: int = 224) -> Network:
    """EfficientNet-Lite0. Padding is symmetric; TensorFlow's "SAME" pads the far side more: same shapes and counts."""
    b = Builder("efficientnet-lite0", (3, resolution, resolution))
    b.block = "stem"
    b.conv(32, 3, 2, act="relu6", name="stem")
    index = 0
    for kernel, expand, channels, repeats, stride in STAGES:
        for i in range(repeats):
            index += 1
            hidden = expand * b.shape()[0]
            inverted_residual(b, f"b{index}", channels, kernel, stride if i == 0 else 1, hidden, "relu6")
    b.block = "head"
    b.conv(1280, 1, act="relu6", name="head")
    b.block = "classifier"
    b.classifier(classes)
    return b.build()
