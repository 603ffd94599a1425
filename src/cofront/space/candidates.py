"""The operators that may stand in the place of a unit of a trained network [LANA21]: some 150, where shapes admit them.

Each is a few layers added to a Builder. The kinds follow what is known of the paper's 197 (convolutions, inverted
bottlenecks over kernel, expansion and squeeze-excite, fused ones, identity); which sizes, and the grouped, shuffled,
low-rank and narrowed ones, are our choice. Self-attention is not among them: a Network has no product of two tensors
over positions. `gate` (a large depthwise window whose sigmoid scales every position) is what comes nearest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cofront.network import Builder
from cofront.network.ops import ActivationKind, Conv2d, Mul
from cofront.network.zoo.units import make_divisible


@dataclass(frozen=True)
class Slot:
    """What a unit takes and gives: channels, rows, columns, stride; its inner and last activation; whether it adds its
    input to what it computes."""

    label: str
    cin: int
    rows: int
    columns: int
    cout: int
    stride: int
    act: ActivationKind = "relu"
    last: ActivationKind | None = None
    residual: bool = False

    @property
    def same_shape(self) -> bool:
        return self.stride == 1 and self.cin == self.cout

    def width(self, share: float) -> int:
        """That share of the output channels, in whole eights; at least 8, or all of them if there are fewer."""
        return min(make_divisible(share * self.cout), max(self.cout, 1)) if share < 1 else round(share * self.cout)


#: Adds an operator's layers behind the last node; the sum with the input and the last activation are added after it.
Body = Callable[[Builder, Slot], None]


@dataclass(frozen=True)
class Kind:
    """One operator: `reach` is the side of its window, `groups` must divide `split(slot)`.

    `own_residual`: it adds its input wherever shapes are equal, not only where the teacher's unit does.
    """

    name: str
    body: Body
    reach: int = 1
    groups: int = 1
    split: Callable[[Slot], tuple[int, ...]] = lambda s: ()
    own_residual: bool = False

    def admitted(self, slot: Slot) -> bool:
        """Whether the operator's channels can be split, and no tap of its window lies outside at all positions."""
        fits = self.reach <= 2 * min(slot.rows, slot.columns) - 1
        return fits and all(c % self.groups == 0 for c in self.split(slot))

    def build(self, b: Builder, slot: Slot) -> None:
        """The operator as a whole, from the last node on."""
        x = b.last
        self.body(b, slot)
        if slot.same_shape and (slot.residual or self.own_residual) and b.last != x:
            b.sum(b.last, x, name=f"{slot.label}.add")
        if slot.last is not None and b.last != x:
            b.act(slot.last, name=f"{slot.label}.last")


def _skip(b: Builder, s: Slot) -> None:
    if s.same_shape:
        return
    if s.stride > 1:
        b.pool("avg", s.stride, s.stride, name=f"{s.label}.pool", ceil_mode=bool(s.rows % s.stride))
    b.conv(s.cout, 1, name=f"{s.label}.project")


def _conv(kernel: int, groups: int = 1, dilation: int = 1) -> Body:
    def body(b: Builder, s: Slot) -> None:
        b.conv(s.cout, kernel, s.stride, groups=groups, dilation=dilation, name=f"{s.label}.conv")
        if groups > 1:
            b.shuffle(groups, name=f"{s.label}.shuffle")

    return body


def _project_depthwise(b: Builder, s: Slot, kernel: int, squeeze: bool, groups: int = 1, dilation: int = 1) -> None:
    b.depthwise(kernel, s.stride, dilation=dilation, act=s.act, name=f"{s.label}.dw")
    if squeeze:
        b.squeeze_excite(max(1, b.shape()[0] // 4), prefix=f"{s.label}.se")
    b.conv(s.cout, 1, groups=groups, name=f"{s.label}.project")


def _separable(kernel: int, dilation: int = 1, squeeze: bool = False) -> Body:
    return lambda b, s: _project_depthwise(b, s, kernel, squeeze, dilation=dilation)


def _inverted(kernel: int, expand: int, squeeze: bool = False, groups: int = 1) -> Body:
    def body(b: Builder, s: Slot) -> None:
        b.conv(expand * s.cin, 1, groups=groups, act=s.act, name=f"{s.label}.expand")
        if groups > 1:
            b.shuffle(groups, name=f"{s.label}.shuffle")
        _project_depthwise(b, s, kernel, squeeze, groups)

    return body


def _bottleneck(kernel: int, share: float, groups: int = 1) -> Body:
    def body(b: Builder, s: Slot) -> None:
        hidden = s.width(share)
        b.conv(hidden, 1, act=s.act, name=f"{s.label}.reduce")
        b.conv(hidden, kernel, s.stride, groups=groups, act=s.act, name=f"{s.label}.conv")
        b.conv(s.cout, 1, name=f"{s.label}.project")

    return body


def _fused(kernel: int, share: float, squeeze: bool = False) -> Body:
    def body(b: Builder, s: Slot) -> None:
        hidden = s.width(share)
        b.conv(hidden, kernel, s.stride, act=s.act, name=f"{s.label}.conv")
        if squeeze:
            b.squeeze_excite(max(1, hidden // 4), prefix=f"{s.label}.se")
        b.conv(s.cout, 1, name=f"{s.label}.project")

    return body


def _shuffled(kernel: int, groups: int) -> Body:
    def body(b: Builder, s: Slot) -> None:
        b.conv(s.cout, 1, groups=groups, act=s.act, name=f"{s.label}.reduce")
        b.shuffle(groups, name=f"{s.label}.shuffle")
        b.depthwise(kernel, s.stride, name=f"{s.label}.dw")
        b.conv(s.cout, 1, groups=groups, name=f"{s.label}.project")

    return body


def _rows(kernel: int, share: float) -> Body:
    """k x 1, then 1 x k, the window as a product of two."""

    def body(b: Builder, s: Slot) -> None:
        pad = kernel // 2
        b.add(
            Conv2d(s.width(share), (kernel, 1), (s.stride, 1), (pad, 0, pad, 0), norm=False), name=f"{s.label}.column"
        )
        b.add(Conv2d(s.cout, (1, kernel), (1, s.stride), (0, pad, 0, pad)), name=f"{s.label}.row")

    return body


def _rank(kernel: int, share: float) -> Body:
    """k x k to few channels and 1 x 1 from them: a matrix of lower rank, without an activation between."""

    def body(b: Builder, s: Slot) -> None:
        b.conv(s.width(share), kernel, s.stride, norm=False, name=f"{s.label}.conv")
        b.conv(s.cout, 1, name=f"{s.label}.project")

    return body


def _gate(kernel: int) -> Body:
    def body(b: Builder, s: Slot) -> None:
        x = b.conv(s.cout, 1, s.stride, act=s.act, name=f"{s.label}.reduce")
        g = b.depthwise(kernel, act="sigmoid", name=f"{s.label}.gate")
        b.add(Mul(), x, g, name=f"{s.label}.scale")
        b.conv(s.cout, 1, name=f"{s.label}.project")

    return body


def _ends(s: Slot) -> tuple[int, ...]:
    return s.cin, s.cout


def _kinds() -> dict[str, Kind]:
    window, groups = (3, 5, 7), (2, 4, 8)
    found = [Kind("skip", _skip)]
    found += [Kind(f"conv{k}", _conv(k), k) for k in (1, *window)]
    found += [Kind(f"conv3d{d}", _conv(3, dilation=d), 2 * d + 1) for d in (2, 3)]
    found += [Kind(f"conv{k}g{g}", _conv(k, g), k, g, _ends) for k in window for g in groups]
    found += [Kind(f"dws{k}", _separable(k), k) for k in window]
    found += [Kind(f"dws{k}se", _separable(k, squeeze=True), k) for k in window]
    found += [Kind(f"dws3d{d}", _separable(3, d), 2 * d + 1) for d in (2, 3)]
    for k in window:
        for e in range(1, 7):
            found.append(Kind(f"ib{k}e{e}", _inverted(k, e), k, own_residual=True))
            found.append(Kind(f"ib{k}e{e}se", _inverted(k, e, squeeze=True), k, own_residual=True))
            found.append(Kind(f"ib{k}e{e}g2", _inverted(k, e, groups=2), k, 2, _ends, own_residual=True))
    for share in (0.25, 0.5):
        r = f"r{share:g}"
        found += [Kind(f"bottleneck{k}{r}", _bottleneck(k, share), k, own_residual=True) for k in window]
        found += [
            Kind(f"bottleneck{k}{r}g{g}", _bottleneck(k, share, g), k, g, lambda s, r=share: (s.width(r),),  # type: ignore[misc]
                 own_residual=True)
            for k in (3, 5) for g in groups
        ]  # fmt: skip
    for k in window:
        for share in (0.25, 0.5, 1, 2, 4):
            found.append(Kind(f"fused{k}e{share:g}", _fused(k, share), k, own_residual=True))
    found += [Kind(f"fused3e{share:g}se", _fused(3, share, True), 3, own_residual=True) for share in (0.25, 0.5, 1, 2)]
    found += [Kind(f"shuffle{k}g{g}", _shuffled(k, g), k, g, _ends) for k in window for g in groups]
    found += [Kind(f"rows{k}r{share:g}", _rows(k, share), k) for k in window for share in (0.25, 0.5, 1)]
    found += [Kind(f"rank{k}r{share:g}", _rank(k, share), k) for k in window for share in (0.125, 0.25, 0.5)]
    found += [Kind(f"gate{k}", _gate(k), k) for k in window]
    return {k.name: k for k in found}


#: Every operator by its name. The teacher's own and its narrowed versions (`narrow`) are of the unit, not listed here.
KINDS = _kinds()
