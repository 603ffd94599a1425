"""`mnasnet_accel`: the MnasNet-like space of Accel-NASBench [ANB24]: seven blocks of EfficientNet-B0's widths.

Per block an expansion, a kernel, one to three layers (four in the sixth block, as EfficientNet-B0 has) and whether it
has squeeze-excites. A precision per block is our addition; stem and head stay at W8A8. Activations are not published
with the table: ReLU, and sigmoid gates, are our reading.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import product

import numpy as np

from cofront.network import Builder, Network
from cofront.space.base import PRECISIONS, Choice, Points, Space
from cofront.space.columns import Columns, points_from_columns
from cofront.space.declare import Declaration, TrellisSpace

EXPANDS, KERNELS, SQUEEZE = (1, 4, 6), (3, 5), (0, 1)
LAYERS = ((1, 2, 3),) * 5 + ((1, 2, 3, 4), (1, 2, 3))
#: (output channels, stride) of each block
BLOCKS = ((16, 1), (24, 2), (40, 2), (80, 2), (112, 1), (192, 2), (320, 1))
STEM_WIDTH, HEAD_WIDTH, CLASSES, SIDE = 32, 1280, 1000, 224
PRECISION_NAMES = tuple(PRECISIONS)


@dataclass(frozen=True)
class BlockKey:
    """Everything that determines the layers of a block; `number` -1 is the stem, 7 the head."""

    number: int
    expand: int = 1
    kernel: int = 3
    layers: int = 1
    squeeze: int = 0
    precision: str = PRECISION_NAMES[0]


def _choices() -> tuple[Choice, ...]:
    own = [
        Choice(f"block{b}_{what}", options)
        for b, layers in enumerate(LAYERS)
        for what, options in (("e", EXPANDS), ("k", KERNELS), ("l", layers), ("se", SQUEEZE))
    ]
    return (*own, *(Choice(f"block{b}_bits", PRECISION_NAMES) for b in range(len(BLOCKS))))


CHOICES = _choices()


class MnasNetAccel(TrellisSpace):
    name = "mnasnet_accel"
    task = "imagenet"
    input_shape = (3, SIDE, SIDE)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return CHOICES

    def from_table(self, columns: Columns) -> tuple[Space, Points]:
        """Also reads squeeze-excites given as true and false."""
        plain = {
            name: [int(v) if isinstance(v, bool | np.bool_) else v for v in column] if name.endswith("_se") else column
            for name, column in columns.items()
        }
        return self, points_from_columns(self, plain)

    def fragment(self, key: Hashable) -> Network:
        assert isinstance(key, BlockKey)
        if key.number < 0:
            b = Builder("stem", self.input_shape)
            b.block = "stem"
            b.conv(STEM_WIDTH, 3, 2, act="relu", name="stem")
            return b.build().uniform_bits(8, 8)
        cin, side = _entry(key.number)
        b = Builder(f"block{key.number}", (cin, side, side))
        b.block = f"block{key.number}"
        if key.number == len(BLOCKS):
            b.block = "head"
            b.conv(HEAD_WIDTH, 1, act="relu", name="head")
            b.classifier(CLASSES)
            return b.build().uniform_bits(8, 8)
        bits = PRECISIONS[key.precision]
        for layer in range(1, key.layers + 1):
            _layer(b, key, layer)
        return b.build().with_bits(lambda _: bits)

    def declare(self, into: Declaration) -> None:
        """States: the blocks done so far."""
        into.edge("image", 0, {}, fragment=BlockKey(-1), block="stem")
        for n, layers in enumerate(LAYERS):
            label = f"block{n}"
            options = product(EXPANDS, KERNELS, layers, SQUEEZE, PRECISION_NAMES)
            numbers = product(*(range(len(o)) for o in (EXPANDS, KERNELS, layers, SQUEEZE, PRECISION_NAMES)))
            names = [f"{label}_{x}" for x in ("e", "k", "l", "se", "bits")]
            for (expand, kernel, depth, squeeze, precision), chosen in zip(options, numbers, strict=True):
                into.edge(
                    n,
                    n + 1,
                    dict(zip(names, chosen, strict=True)),
                    _features(label, expand, kernel, depth, squeeze, precision),
                    fragment=BlockKey(n, expand, kernel, depth, squeeze, precision),
                    block=label,
                    precision=precision,
                )
        into.edge(len(BLOCKS), "logits", {}, fragment=BlockKey(len(BLOCKS)), block="head")


def _features(label: str, expand: int, kernel: int, layers: int, squeeze: int, precision: str) -> tuple[str, ...]:
    own = (f"{label}.e={expand}", f"{label}.k={kernel}", f"{label}.l={layers}", f"{label}.se={squeeze}")
    pairs = [f"{a}*{b}" for i, a in enumerate(own) for b in own[i + 1 :]]
    bits = (f"{label}.bits={precision}", f"bits={precision}") if precision != PRECISION_NAMES[0] else ()
    return (*own, *pairs, *bits)


def _entry(number: int) -> tuple[int, int]:
    """Channels and side of what block `number` reads."""
    side = SIDE // 2
    for _, stride in BLOCKS[:number]:
        side //= stride
    return (BLOCKS[number - 1][0] if number else STEM_WIDTH), side


def _layer(b: Builder, key: BlockKey, layer: int) -> None:
    width, first_stride = BLOCKS[key.number]
    stride, x, cin = (first_stride if layer == 1 else 1), b.last, b.shape()[0]
    label = f"block{key.number}.{layer}"
    if key.expand > 1:
        b.conv(key.expand * cin, 1, act="relu", name=f"{label}.expand")
    b.depthwise(key.kernel, stride, act="relu", name=f"{label}.dw")
    if key.squeeze:
        b.squeeze_excite(cin // 4, gate="sigmoid", prefix=f"{label}.se")
    out = b.conv(width, 1, name=f"{label}.project")
    if stride == 1 and cin == width:
        b.sum(x, out, name=f"{label}.add")
