"""`subgraph32`: networks for 32 x 32 images built of HAO's subgraphs, our own definition in the spirit of [HAO21].

Input resolution; a stem; three stages of one to three blocks, the first of each with stride 2; per stage a width, per
block an operator and a precision. Stem and head stay at W8A8. 1.9e13 (network, precision) pairs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from cofront.network import Builder, Network
from cofront.space.base import PRECISIONS, Choice
from cofront.space.declare import Declaration, TrellisSpace

RESOLUTIONS = (24, 28, 32)
STEM_WIDTH = 32
STAGE_WIDTHS = ((32, 48, 64), (64, 96, 128), (128, 192, 256))
DEPTHS = (1, 2, 3)
CLASSES = 10
STAGES = range(1, len(STAGE_WIDTHS) + 1)
STEM = "stem"  # stands before the first stage where later ones have the kind of the first block of the one before


@dataclass(frozen=True)
class BlockOp:
    """What a block computes: `dw` expands its input, filters depthwise, projects; `full` convolves, projects."""

    name: str
    depthwise: bool
    kernel: int
    expand: float

    @property
    def kind(self) -> str:
        """What a later block notices of it."""
        return f"dw{self.kernel}" if self.depthwise else "full"


OPS = (
    BlockOp("dw3e2", True, 3, 2),
    BlockOp("dw5e2", True, 5, 2),
    BlockOp("dw3e4", True, 3, 4),
    BlockOp("dw5e4", True, 5, 4),
    BlockOp("full3e0.5", False, 3, 0.5),
    BlockOp("full3e1", False, 3, 1),
)
KINDS = tuple(dict.fromkeys(o.kind for o in OPS))
PRECISION_NAMES = tuple(PRECISIONS)


@dataclass(frozen=True)
class StemKey:
    side: int


@dataclass(frozen=True)
class HeadKey:
    side: int
    width: int


@dataclass(frozen=True)
class BlockKey:
    """Everything that determines the layers of a block."""

    label: str
    side: int
    cin: int
    cout: int
    stride: int
    op: BlockOp
    precision: str


def _choices() -> tuple[Choice, ...]:
    stages = [
        Choice(f"s{s}_{what}", options)
        for s, widths in zip(STAGES, STAGE_WIDTHS, strict=True)
        for what, options in (("width", widths), ("depth", DEPTHS))
    ]
    blocks = range(1, len(DEPTHS) * len(STAGES) + 1)
    ops = [Choice(f"b{b}_op", tuple(o.name for o in OPS)) for b in blocks]
    bits = [Choice(f"b{b}_bits", PRECISION_NAMES) for b in blocks]
    return (Choice("resolution", RESOLUTIONS), *stages, *ops, *bits)


CHOICES = _choices()


def block_number(stage: int, position: int) -> int:
    """1..9, as in the choice names."""
    return len(DEPTHS) * (stage - 1) + position


class Subgraph32(TrellisSpace):
    name = "subgraph32"
    task = "cifar10"
    input_shape = (3, 32, 32)

    @property
    def choices(self) -> tuple[Choice, ...]:
        return CHOICES

    def fragment(self, key: Hashable) -> Network:
        if isinstance(key, StemKey):
            b = Builder("stem", (3, key.side, key.side))
            b.block = "stem"
            b.conv(STEM_WIDTH, 3, act="relu", name="stem")
            return b.build().uniform_bits(8, 8)
        if isinstance(key, HeadKey):
            b = Builder("head", (key.width, key.side, key.side))
            b.block = "head"
            b.classifier(CLASSES, name="head")
            return b.build().uniform_bits(8, 8)
        assert isinstance(key, BlockKey)
        bits = PRECISIONS[key.precision]
        return _block(key).with_bits(lambda _: bits)

    def declare(self, into: Declaration) -> None:
        """States: (resolution, stage, width, kind) after a stage; also the position within it.

        `kind` is that of the stage's first block, the one that halves the map: how well the stage's other blocks and
        the next stage's first one do depends on it, and what a state remembers an additive model can see.
        """
        for r, image in enumerate(RESOLUTIONS):
            side, res = image, f"resolution={image}"
            into.edge(
                "image", (r, 0, STEM_WIDTH, STEM), {"resolution": r}, (res,), fragment=StemKey(side), block="stem"
            )
            for stage in STAGES:
                _stage(into, r, stage, side, res)
                side = -(-side // 2)
            for width in STAGE_WIDTHS[-1]:
                into.edge((r, STAGES[-1], width, ""), "logits", {}, fragment=HeadKey(side, width), block="head")


def _stage(into: Declaration, r: int, stage: int, side: int, res: str) -> None:
    half, last = -(-side // 2), len(DEPTHS)
    for w, width in enumerate(STAGE_WIDTHS[stage - 1]):
        wide = f"s{stage}.width={width}"
        for cin in (STEM_WIDTH,) if stage == 1 else STAGE_WIDTHS[stage - 2]:
            before = f"s{stage - 1}.width={cin}"
            for kind in (STEM,) if stage == 1 else KINDS:
                earlier = f"s{stage - 1}.first={kind}"
                features = (wide, f"{wide}*{res}") + ((f"{wide}*{before}", f"{wide}*{earlier}") if stage > 1 else ())
                context = (wide, res) + ((earlier, before) if stage > 1 else ())
                blocks = _Blocks(into, stage, 1, (side, cin, width, 2), context)
                for own in KINDS:
                    blocks.declare(
                        (r, stage - 1, cin, kind), (r, stage, width, own, 1), {f"s{stage}_width": w}, features, own
                    )
        for kind in KINDS:
            first, end = f"s{stage}.first={kind}", (r, stage, width, kind if stage < STAGES[-1] else "")
            for position in range(2, last + 1):
                blocks = _Blocks(into, stage, position, (half, width, width, 1), (wide, res, first))
                skipped = {
                    f"b{block_number(stage, p)}_{x}": 0 for p in range(position, last + 1) for x in ("op", "bits")
                }
                src, depth = (r, stage, width, kind, position - 1), f"s{stage}.depth={DEPTHS[position - 2]}"
                features = (depth, f"{depth}*{res}", f"{depth}*{wide}", f"{depth}*{first}")
                into.edge(src, end, {f"s{stage}_depth": position - 2, **skipped}, features, match=1)
                if position < last:
                    blocks.declare(src, (r, stage, width, kind, position), {}, ())
                else:
                    blocks.declare(src, end, {f"s{stage}_depth": last - 1}, (f"s{stage}.depth={DEPTHS[-1]}",))


@dataclass(frozen=True)
class _Blocks:
    """The parallel edges of one block: every operator at every precision. `shape` is side, cin, cout, stride."""

    into: Declaration
    stage: int
    position: int
    shape: tuple[int, int, int, int]
    context: tuple[str, ...]  # features that the operator and the precision interact with

    def declare(
        self,
        src: Hashable,
        dst: Hashable,
        choices: dict[str, int],
        features: tuple[str, ...],
        kind: str | None = None,
    ) -> None:
        """Edges of the operators of one `kind`, of all if there is none."""
        label, number = f"s{self.stage}b{self.position}", block_number(self.stage, self.position)
        for o, op in enumerate(OPS):
            if kind not in (None, op.kind):
                continue
            for p, precision in enumerate(PRECISION_NAMES):
                self.into.edge(
                    src,
                    dst,
                    {**choices, f"b{number}_op": o, f"b{number}_bits": p},
                    (*features, *self._features(label, op.name, precision)),
                    fragment=BlockKey(label, *self.shape, op, precision),
                    block=label,
                    precision=precision,
                )

    def _features(self, label: str, op: str, precision: str) -> Iterator[str]:
        """A block's own features, and counts over the stage and the network that they share strength through."""
        own = f"{label}.op={op}"
        yield from (own, f"s{self.stage}.op={op}", f"op={op}", *(f"{own}*{c}" for c in self.context))
        if precision != PRECISION_NAMES[0]:
            bits = f"{label}.bits={precision}"
            yield from (bits, f"s{self.stage}.bits={precision}", f"bits={precision}", f"{bits}*op={op}")
            yield from (f"bits={precision}*op={op}", *(f"{bits}*{c}" for c in self.context))


def _block(key: BlockKey) -> Network:
    b = Builder(key.label, (key.cin, key.side, key.side))
    b.block, op = key.label, key.op
    if op.depthwise:
        b.conv(int(op.expand * key.cin), 1, act="relu", name=f"{key.label}.expand")
        b.depthwise(op.kernel, key.stride, act="relu", name=f"{key.label}.dw")
    else:
        b.conv(int(op.expand * key.cout), op.kernel, key.stride, act="relu", name=f"{key.label}.conv")
    out = b.conv(key.cout, 1, name=f"{key.label}.project")
    if key.stride == 1 and key.cin == key.cout:
        b.sum(out, "input", name=f"{key.label}.add")
    return b.build()
