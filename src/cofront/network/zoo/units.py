"""Repeated units that several published networks share."""

from __future__ import annotations

from cofront.network.graph import Builder
from cofront.network.ops import ActivationKind, Conv2d, Convolution


def make_divisible(value: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, never more than 10 % below `value` [MBV2]."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def inverted_residual(
    b: Builder,
    label: str,
    out_channels: int,
    kernel: int,
    stride: int,
    hidden: int,
    act: ActivationKind,
    *,
    reduced: int | None = None,
    groups: int = 1,
    residual: bool = True,
    always_expand: bool = False,
    ops: tuple[type[Convolution], type[Convolution], type[Convolution]] = (Conv2d, Conv2d, Conv2d),
) -> str:
    """1 x 1 expansion to `hidden`, depthwise k x k, optional squeeze-excite, linear 1 x 1; plus the input if it fits.

    There is no expansion when `hidden` equals the input channels [MBV2], unless `always_expand`. `reduced` is the
    squeeze-excite's inner width [MBV3]. With `groups` > 1 the 1 x 1 convolutions are grouped and the channels shuffled
    before the depthwise one [FBNet19]. `ops` are those of the three convolutions [NASA22].
    """
    b.block = label
    x = b.last
    channels = b.shape()[0]
    if always_expand or hidden != channels:
        b.conv(hidden, 1, groups=groups, act=act, op=ops[0], name=f"{label}.expand")
    if groups > 1:
        b.shuffle(groups, name=f"{label}.shuffle")
    b.depthwise(kernel, stride, act=act, op=ops[1], name=f"{label}.dw")
    if reduced is not None:
        b.squeeze_excite(reduced, prefix=f"{label}.se")
    out = b.conv(out_channels, 1, groups=groups, op=ops[2], name=f"{label}.project")
    if residual and stride == 1 and channels == out_channels:
        out = b.sum(x, out, name=f"{label}.add")
    return out
