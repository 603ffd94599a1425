"""Integers of a layer chosen for its output rather than for its weights: coordinate descent on the squared error.

With X what the quantised layer reads and T what it should produce, both less their means, |X w - T|^2 is a quadratic
form of second moments; so one pass over the images serves any number of sweeps. A sweep sets each weight in turn to the
best of its integers, all others being fixed, in every output channel at once; then the scales are set to their own
optimum. The error never rises. It aims at what AdaRound [AdaRound20] aims at, by QuantEase's descent [QuantEase23]; to
treat activations and groups as here, and the pull to the float weights, are ours.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from cofront.network import Conv2d
from cofront.task.quantise.grids import top_of
from cofront.task.quantise.refine import Seen
from cofront.task.quantise.setting import LayerSetting

#: Sweeps over the weights, and the pull to the float weights as a share of the inputs' mean square.
SWEEPS = 4
PULL = 0.01
_ROWS = 8, 4096, 16384  # rows of X: so many times its columns, at least, at most
_CHUNK = 32
_BLOCK = 128


def moments(seen: Seen) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of X (rows, k) and T (rows, o) by group: X'X / rows (g, k, k), X'T / rows (g, k, o), means (g, k) and (g, o)."""
    op = seen.step.node.op
    groups = op.groups if isinstance(op, Conv2d) else 1
    k, out = seen.weight[0].numel(), len(seen.weight) // groups
    every = _stride(seen, min(max(_ROWS[0] * k, _ROWS[1]), _ROWS[2]))
    xx, xt = torch.zeros(groups, k, k), torch.zeros(groups, k, out)
    sx, st, rows = torch.zeros(groups, k), torch.zeros(groups, out), 0
    for x, t in zip(torch.split(seen.read, _CHUNK), torch.split(seen.wanted, _CHUNK), strict=True):
        a, b = _patches(seen, x, groups), t.flatten(2) if t.dim() > 2 else t[:, :, None]
        b = b.reshape(len(t), groups, out, -1).permute(1, 2, 0, 3).flatten(2)  # (g, o, rows)
        a, b = a[:, :, ::every], b[:, :, ::every]
        xx.baddbmm_(a, a.transpose(1, 2))
        xt.baddbmm_(a, b.transpose(1, 2))
        sx += a.sum(2)
        st += b.sum(2)
        rows += a.shape[2]
    mx, mt = sx / rows, st / rows
    xx = xx / rows - mx[:, :, None] * mx[:, None, :]
    return xx, xt / rows - mx[:, :, None] * mt[:, None, :], mx, mt


def _stride(seen: Seen, rows: int) -> int:
    """Every so many-th of all positions, for about `rows`: no divisor of the map, so that none of it is left out."""
    area = max(seen.wanted[0, 0].numel(), 1)
    every = max(1, len(seen.wanted) * area // rows)
    while math.gcd(every, area) > 1:
        every += 1
    return every


def _patches(seen: Seen, x: torch.Tensor, groups: int) -> torch.Tensor:
    """What each output value is a product with: (g, k, rows)."""
    op = seen.step.node.op
    if not isinstance(op, Conv2d):
        return x.T[None]
    top, left, bottom, right = op.padding
    x = F.pad(x, [left, right, top, bottom]) if any(op.padding) else x
    if op.kernel == (1, 1) and op.stride == (1, 1):
        columns = x.flatten(2)
    else:
        columns = F.unfold(x.contiguous(), op.kernel, op.dilation, 0, op.stride)
    return columns.reshape(len(x), groups, -1, columns.shape[2]).permute(1, 2, 0, 3).flatten(2)


def descend(
    codes: torch.Tensor, scale: torch.Tensor, xx: torch.Tensor, xt: torch.Tensor, bits: int, sweeps: int, free: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (g, o, k) and scales (g, o) of lesser error, from these; `free`: scales may be changed."""
    order = xx.diagonal(dim1=1, dim2=2).mean(0).argsort(descending=True)
    codes, xx, tx = codes[..., order], xx[:, order][:, :, order], xt.transpose(1, 2)[..., order]
    for _ in range(sweeps):
        slope = codes * scale[..., None] @ xx - tx  # half the gradient, (g, o, k)
        before = codes.clone()
        for at in range(0, codes.shape[2], _BLOCK):
            _sweep(codes, scale, xx, slope, slice(at, at + _BLOCK), bits)
        if free:
            own = (codes @ xx * codes).sum(2)
            best = (codes * tx).sum(2) / own.clamp_min(1e-20)
            scale = torch.where((own > 0) & (best > 0), best, scale)
        if torch.equal(before, codes):
            break
    return codes[..., order.argsort()], scale


def _sweep(
    codes: torch.Tensor, scale: torch.Tensor, xx: torch.Tensor, slope: torch.Tensor, block: slice, bits: int
) -> None:
    """One sweep over a block of weights, in place. Others' slopes wait for its end: one product then serves them."""
    top, now, near = top_of(bits), codes[..., block], xx[:, block, block]
    before, own = now.clone(), slope[..., block].clone()
    curve = near.diagonal(dim1=1, dim2=2)[:, None] * scale[..., None]  # (g, o, block)
    for k in range(now.shape[2]):
        best = now[..., k] - own[..., k] / curve[..., k]
        new = torch.where(best < 0, -1.0, 1.0) if bits == 1 else best.round_().clamp_(-top, top)
        own.baddbmm_(((new - now[..., k]) * scale)[..., None], near[:, k, None])
        now[..., k] = new
    slope.baddbmm_((now - before) * scale[..., None], xx[:, block])


def rounding(seen: Seen, sweeps: int = SWEEPS, free: bool = True) -> LayerSetting:
    """The layer with integers, scales and bias of little squared error: as little as descent finds."""
    xx, xt, mx, mt = moments(seen)
    groups, out = len(xx), len(seen.weight) // len(xx)
    w = seen.weight.reshape(groups, out, -1)
    pull = PULL * xx.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-9)
    xx = xx + pull[:, None, None] * torch.eye(xx.shape[1])
    xt = xt + pull[:, None, None] * w.transpose(1, 2)
    layer = seen.layer
    codes, scale = descend(
        layer.codes.reshape(groups, out, -1), layer.scale.reshape(groups, out), xx, xt, layer.bits, sweeps, free
    )
    bias = mt - scale * (codes @ mx[:, :, None])[..., 0]
    return replace(layer, codes=codes.reshape(layer.codes.shape), scale=scale.flatten(), bias=bias.flatten())
