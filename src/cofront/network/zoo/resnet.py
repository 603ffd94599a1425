"""ResNet-18 and ResNet-50 [ResNet, table 1]; the stride of a bottleneck is in its 3 x 3 convolution ("v1.5")."""

from __future__ import annotations

from cofront.network.graph import Builder, Network

#: channels and stride of the first unit of the four stages
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))


def _shortcut(b: Builder, x: str, label: str, channels: int, stride: int) -> str:
    """The input itself, or a 1 x 1 convolution of it where shapes differ."""
    if stride == 1 and b.shape(x)[0] == channels:
        return x
    return b.conv(channels, 1, stride, src=x, name=f"{label}.shortcut")


def _basic(b: Builder, label: str, width: int, stride: int) -> None:
    x = b.last
    shortcut = _shortcut(b, x, label, width, stride)  # first, so that the sum folds into the layer before it
    b.conv(width, 3, stride, src=x, act="relu", name=f"{label}.conv1")
    out = b.conv(width, 3, name=f"{label}.conv2")
    b.sum(shortcut, out, name=f"{label}.add")
    b.act("relu", name=f"{label}.act")


def _bottleneck(b: Builder, label: str, width: int, stride: int) -> None:
    x = b.last
    shortcut = _shortcut(b, x, label, 4 * width, stride)
    b.conv(width, 1, src=x, act="relu", name=f"{label}.conv1")
    b.conv(width, 3, stride, act="relu", name=f"{label}.conv2")
    out = b.conv(4 * width, 1, name=f"{label}.conv3")
    b.sum(shortcut, out, name=f"{label}.add")
    b.act("relu", name=f"{label}.act")


def _resnet(name: str, repeats: tuple[int, ...], bottleneck: bool, classes: int, resolution: int) -> Network:
    b = Builder(name, (3, resolution, resolution))
    b.block = "stem"
    b.conv(64, 7, 2, act="relu", name="stem")
    b.pool("max", 3, 2, 1, name="stem.pool")
    unit = _bottleneck if bottleneck else _basic
    for stage, ((width, stride), count) in enumerate(zip(STAGES, repeats, strict=True), 1):
        for i in range(count):
            b.block = f"s{stage}.{i + 1}"
            unit(b, b.block, width, stride if i == 0 else 1)
    b.block = "classifier"
    b.classifier(classes)
    return b.build()


def resnet18(classes: int = 1000, resolution: int = 224) -> Network:
    return _resnet("resnet18", (2, 2, 2, 2), False, classes, resolution)


def resnet50(classes: int = 1000, resolution: int = 224) -> Network:
    return _resnet("resnet50", (3, 4, 6, 3), True, classes, resolution)
