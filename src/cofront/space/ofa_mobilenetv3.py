"""`ofa_mobilenetv3`: the Once-for-All MobileNetV3 space, width 1.0 [OFA20], with a precision per block.

Five stages of two to four blocks; kernel 3, 5 or 7 and expansion 3, 4 or 6 per block; squeeze-excite and h-swish where
MobileNetV3-Large has them. Precision is our addition: each block, the stem, the first (fixed) block and the head.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from cofront.errors import InputError, UsageError
from cofront.network import Builder, Network
from cofront.network.ops import ActivationKind, Flatten, GlobalPool, Linear
from cofront.network.zoo.units import make_divisible
from cofront.space.base import PRECISIONS, Choice, Points, Space
from cofront.space.columns import Columns, points_from_columns
from cofront.space.declare import Declaration, TrellisSpace

KERNELS = (3, 5, 7)
EXPANDS = (3, 4, 6)
DEPTHS = (2, 3, 4)
PRECISION_NAMES = tuple(PRECISIONS)
STEM_WIDTH, HEAD_WIDTH, FEATURES, CLASSES = 16, 960, 1280, 1000
#: Resolutions that Once-for-All was trained at.
RESOLUTIONS = tuple(range(128, 225, 4))


#: Columns that hold one list per row -> the choices of their entries.
LISTS = {
    "kernel": tuple(f"b{b}_kernel" for b in range(1, 21)),
    "expand": tuple(f"b{b}_expand" for b in range(1, 21)),
    "bits": tuple(f"b{b}_bits" for b in range(1, 21)),
    "depth": tuple(f"s{s}_depth" for s in range(1, 6)),
}


@dataclass(frozen=True)
class Stage:
    width: int
    stride: int
    act: ActivationKind
    squeeze: bool


STAGES = (
    Stage(24, 2, "relu", False),
    Stage(40, 2, "relu", True),
    Stage(80, 2, "hswish", False),
    Stage(112, 1, "hswish", True),
    Stage(160, 2, "hswish", True),
)
BLOCKS = len(STAGES) * DEPTHS[-1]


@dataclass(frozen=True)
class Key:
    """Everything that determines the layers of an edge: `part` is "stem", "first", "head" or a block's label."""

    part: str
    side: int
    precision: str
    cin: int = 0
    stride: int = 1
    stage: Stage | None = None
    kernel: int = 0
    expand: int = 0


class OfaMobileNetV3(TrellisSpace):
    """`resolutions` are the input resolutions to choose from, 224 alone unless told: "ofa_mobilenetv3@192,224"."""

    name = "ofa_mobilenetv3"
    task = "imagenet"
    ends = ("stem", "first", "head")

    def __init__(self, resolutions: tuple[int, ...] = (224,)) -> None:
        bad = [r for r in resolutions if r not in RESOLUTIONS]
        if bad or not resolutions:
            raise UsageError(
                f"space '{self.name}': resolutions are multiples of 4 from 128 to 224, got {bad or 'none'}"
            )
        self.resolutions = tuple(sorted(set(resolutions)))
        self.input_shape = (3, self.resolutions[-1], self.resolutions[-1])
        if self.resolutions != (224,):
            self.name = f"{type(self).name}@{','.join(map(str, self.resolutions))}"

    @classmethod
    def variant(cls, text: str) -> OfaMobileNetV3:
        try:
            return cls(tuple(int(part) for part in text.split(",")))
        except ValueError:
            raise UsageError(f"space '{cls.name}@{text}': expected resolutions such as 192,224 after the @") from None

    @property
    def choices(self) -> tuple[Choice, ...]:
        blocks = range(1, BLOCKS + 1)
        return (
            Choice("resolution", self.resolutions),
            *(Choice(f"s{s}_depth", DEPTHS) for s in range(1, len(STAGES) + 1)),
            *(Choice(f"b{b}_kernel", KERNELS) for b in blocks),
            *(Choice(f"b{b}_expand", EXPANDS) for b in blocks),
            *(Choice(f"b{b}_bits", PRECISION_NAMES) for b in blocks),
            *(Choice(f"{end}_bits", PRECISION_NAMES) for end in self.ends),
        )

    def table_columns(self) -> tuple[str, ...]:
        return (*super().table_columns(), *LISTS)

    def from_table(self, columns: Columns) -> tuple[Space, Points]:
        """Also reads tables with lists per row, as Once-for-All's own: `kernel`, `expand` (20), `depth` (5)."""
        space = self._with_resolutions_of(columns)
        if any(name in columns for name in LISTS):
            columns = _spread(columns)
        return space, points_from_columns(space, columns)

    def _with_resolutions_of(self, columns: Columns) -> OfaMobileNetV3:
        entries = [r for r in columns.get("resolution", ()) if isinstance(r, int | float)]
        found = {int(r) for r in entries if r in RESOLUTIONS}
        return OfaMobileNetV3(tuple(found)) if found and len(entries) == len(columns["resolution"]) else self

    def fragment(self, key: Hashable) -> Network:
        assert isinstance(key, Key)
        bits = PRECISIONS[key.precision]
        build = {"stem": _stem, "first": _first, "head": _head}.get(key.part, _block)
        return build(key).with_bits(lambda _: bits)

    def declare(self, into: Declaration) -> None:
        """States: (resolution, stage) after a stage, with the position within it."""
        for r, image in enumerate(self.resolutions):
            res, side = f"resolution={image}", -(-image // 2)
            fixed = {"resolution": r}
            _end(into, "image", (r, "first"), Key("stem", image, ""), fixed, (res,))
            _end(into, (r, "first"), (r, 0), Key("first", side, ""), {}, ())
            cin = STEM_WIDTH
            for s, stage in enumerate(STAGES, 1):
                out = -(-side // stage.stride)
                _stage(into, r, s, (cin, side, out), (res,) if len(self.resolutions) > 1 else ())
                side, cin = out, stage.width
            _end(into, (r, len(STAGES)), "logits", Key("head", side, ""), {}, ())


def _spread(columns: Columns) -> Columns:
    """One column per entry of the list columns; 0 in a kernel or expansion says that there is no such block."""
    out = {name: column for name, column in columns.items() if name not in LISTS}
    for name, choices in LISTS.items():
        if name not in columns:
            continue
        for i, row in enumerate(columns[name]):
            if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != len(choices):
                raise InputError(f"column '{name}', row {i}: expected a list of {len(choices)}, got {row!r:.60}")
        for j, choice in enumerate(choices):
            entries = [row[j] for row in columns[name]]  # type: ignore[index]
            out[choice] = [None if e == 0 else e for e in entries] if name in ("kernel", "expand") else entries
    return out


def _end(
    into: Declaration, src: Hashable, dst: Hashable, key: Key, choices: dict[str, int], features: tuple[str, ...]
) -> None:
    """Stem, first block or head at every precision."""
    for p, precision in enumerate(PRECISION_NAMES):
        bits = (f"{key.part}.bits={precision}",) if p else ()
        fragment = Key(key.part, key.side, precision)
        chosen = {**choices, f"{key.part}_bits": p}
        into.edge(src, dst, chosen, (*features, *bits), fragment=fragment, block=key.part, precision=precision)


def _stage(into: Declaration, r: int, s: int, shape: tuple[int, int, int], context: tuple[str, ...]) -> None:
    stage, (cin, side, out), last = STAGES[s - 1], shape, DEPTHS[-1]
    end = (r, s)
    for position in range(1, last + 1):
        src, dst = (*end, position - 1) if position > 1 else (r, s - 1), (*end, position) if position < last else end
        choices: dict[str, int] = {}
        features: tuple[str, ...] = ()
        if position - 1 in DEPTHS:
            depth = DEPTHS.index(position - 1)
            what = ("kernel", "expand", "bits")
            skipped = {f"b{last * (s - 1) + p}_{x}": 0 for p in range(position, last + 1) for x in what}
            name = f"s{s}.depth={position - 1}"
            marks = (name, *(f"{name}*{c}" for c in context))
            into.edge(src, end, {f"s{s}_depth": depth, **skipped}, marks, match=1)
        if position == last:
            choices, features = {f"s{s}_depth": len(DEPTHS) - 1}, (f"s{s}.depth={last}",)
        label, number = f"s{s}b{position}", last * (s - 1) + position
        ins = (cin, side, stage.stride) if position == 1 else (stage.width, out, 1)
        for k, kernel in enumerate(KERNELS):
            for e, expand in enumerate(EXPANDS):
                for p, precision in enumerate(PRECISION_NAMES):
                    into.edge(
                        src,
                        dst,
                        {**choices, f"b{number}_kernel": k, f"b{number}_expand": e, f"b{number}_bits": p},
                        (*features, *_features(label, kernel, expand, precision, context)),
                        fragment=Key(label, ins[1], precision, ins[0], ins[2], stage, kernel, expand),
                        block=label,
                        precision=precision,
                    )


def _features(label: str, kernel: int, expand: int, precision: str, context: tuple[str, ...]) -> Iterator[str]:
    k, e = f"{label}.kernel={kernel}", f"{label}.expand={expand}"
    yield from (k, e, f"{k}*{e}")
    for own in (k, e):
        yield from (f"{own}*{c}" for c in context)
    if precision != PRECISION_NAMES[0]:
        yield f"{label}.bits={precision}"


def _stem(key: Key) -> Network:
    b = Builder("stem", (3, key.side, key.side))
    b.block = "stem"
    b.conv(STEM_WIDTH, 3, 2, act="hswish", name="stem")
    return b.build()


def _first(key: Key) -> Network:
    b = Builder("first", (STEM_WIDTH, key.side, key.side))
    b.block = "first"
    b.depthwise(3, act="relu", name="first.dw")
    b.sum(b.conv(STEM_WIDTH, 1, name="first.project"), "input", name="first.add")
    return b.build()


def _block(key: Key) -> Network:
    stage, label = key.stage, key.part
    assert stage is not None
    b = Builder(label, (key.cin, key.side, key.side))
    b.block, hidden = label, make_divisible(key.cin * key.expand)
    b.conv(hidden, 1, act=stage.act, name=f"{label}.expand")
    b.depthwise(key.kernel, key.stride, act=stage.act, name=f"{label}.dw")
    if stage.squeeze:
        b.squeeze_excite(make_divisible(hidden // 4), prefix=f"{label}.se")
    out = b.conv(stage.width, 1, name=f"{label}.project")
    if key.stride == 1 and key.cin == stage.width:
        b.sum(out, "input", name=f"{label}.add")
    return b.build()


def _head(key: Key) -> Network:
    b = Builder("head", (STAGES[-1].width, key.side, key.side))
    b.block = "head"
    b.conv(HEAD_WIDTH, 1, act="hswish", name="head.expand")
    b.add(GlobalPool(), name="head.pool")
    b.conv(FEATURES, 1, norm=False, act="hswish", name="head.mix")
    b.add(Flatten(), name="head.flatten")
    b.add(Linear(CLASSES), name="head.linear")
    return b.build()
