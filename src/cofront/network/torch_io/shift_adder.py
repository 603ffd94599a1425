"""Shift and adder convolutions on PyTorch tensors, with the gradients that their papers give them.

Shift [DeepShift21]: forward with the weights rounded to signed powers of two, backward as if they had not been.
Adder [AdderNet20]: y = -sum |x - w|; the gradient of w is sum g (x - w), scaled to a length of `ETA` * sqrt(number of
weights), whatever it was; that of x is sum g hardtanh(w - x).
"""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cofront.network.ops import Pair
from cofront.network.shift_adder import HALF_WAY, WEIGHT_BITS, most_places

#: Length of an adder layer's weight gradient per square root of its number of weights.
ETA = 0.2
#: Differences that are held at once while an adder layer runs backward, where its loops are not compiled.
CHUNK = 1 << 16
#: Whether layers in float32 on the processor run in compiled loops.
COMPILED = True


def power_of_two(weight: Tensor, bits: int = WEIGHT_BITS) -> Tensor:
    """Weights rounded to signed powers of two, as `cofront.network.shift_adder.power_of_two`; identity backward."""
    with torch.no_grad():
        mantissa, exponent = torch.frexp(weight.float())
        places = (mantissa.abs() < float(HALF_WAY)).to(exponent.dtype) - exponent
        places = places.masked_fill(mantissa == 0, most_places(bits)).clamp_(0, most_places(bits))
        rounded = torch.ldexp(torch.where(mantissa < 0, -1.0, 1.0), -places).to(weight.dtype)
    return weight + (rounded - weight).detach() if weight.requires_grad else rounded


@cache
def _loops() -> ModuleType:
    """The compiled loops; imported when first needed, because Numba takes a second."""
    from cofront.network.torch_io import adder_loops

    return adder_loops


def _compiled(*tensors: Tensor) -> bool:
    """Whether the compiled loops can take these."""
    return COMPILED and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def _arrays(*tensors: Tensor) -> list[NDArray[np.float32]]:
    return [t.detach().numpy() for t in tensors]


class Differences(torch.autograd.Function):
    """-sum_k |x - w| of columns (r, k) and rows of weights (o, k): (r, o)."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, weight: Tensor) -> Tensor:
        columns, weight = columns.contiguous(), weight.contiguous()
        ctx.save_for_backward(columns, weight)
        if not _compiled(columns, weight):
            return -torch.cdist(columns, weight, p=1.0)
        out = columns.new_empty((len(columns), len(weight)))
        _loops().forward(*_arrays(columns, weight, weight.t().contiguous(), out))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        columns, weight = ctx.saved_tensors
        g = grads[0].contiguous()
        of_weight = g.t() @ columns - g.sum(0)[:, None] * weight if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, of_weight
        of_columns = torch.empty_like(columns)
        if _compiled(columns, weight, g):
            _loops().backward(*_arrays(columns, weight, weight.t().contiguous(), g, of_columns))
            return of_columns, of_weight
        rows = max(1, CHUNK // weight.numel())
        for i in range(0, len(columns), rows):
            steps = (weight - columns[i : i + rows, None]).clamp_(-1.0, 1.0)  # (rows, o, k)
            torch.bmm(g[i : i + rows, None], steps, out=of_columns[i : i + rows, None])
        return of_columns, of_weight


def _tap(x: Tensor, u: int, v: int, out: Tensor, stride: Pair, dilation: Pair) -> Tensor:
    """What tap (u, v) of a kernel sees of x (n, c, h, w): a view of the size of `out`."""
    top, left = u * dilation[0], v * dilation[1]
    h, w = (out.shape[-2] - 1) * stride[0] + 1, (out.shape[-1] - 1) * stride[1] + 1
    return x[..., top : top + h : stride[0], left : left + w : stride[1]]


class ChannelDifferences(torch.autograd.Function):
    """The same channel by channel, tap by tap so that all stays in cache: x (n, c, h, w) padded, weight (c, kh, kw)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, size: Pair, stride: Pair, dilation: Pair) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.steps = stride, dilation
        out = x.new_zeros((*x.shape[:2], *size))
        if _compiled(x, weight):
            _loops().channels_forward(*_arrays(x, weight, out), *stride, *dilation)
            return out
        for u in range(weight.shape[1]):
            for v in range(weight.shape[2]):
                out.sub_((_tap(x, u, v, out, stride, dilation) - weight[:, u, v, None, None]).abs_())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, weight = ctx.saved_tensors
        g, of_x, of_weight = grads[0].contiguous(), torch.zeros_like(x), torch.zeros_like(weight)
        if _compiled(x, weight, g):
            stride, dilation = ctx.steps
            _loops().channels_backward(*_arrays(x, weight, g, of_x, of_weight), *stride, *dilation)
            return of_x, of_weight, None, None, None
        for u in range(weight.shape[1]):
            for v in range(weight.shape[2]):
                difference = weight[:, u, v, None, None] - _tap(x, u, v, g, *ctx.steps)
                of_weight[:, u, v] = -(g * difference).sum((0, 2, 3))
                _tap(of_x, u, v, g, *ctx.steps).addcmul_(g, difference.clamp_(-1.0, 1.0))
        return of_x, of_weight, None, None, None


class Rescaled(torch.autograd.Function):
    """The identity, whose gradient gets the length `ETA` * sqrt(number of elements)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        g = grads[0]
        scaled: Tensor = g * (ETA * math.sqrt(g.numel()) / g.norm().clamp_min(1e-12))
        return scaled


def adder_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    rescale: bool = True,
) -> Tensor:
    """-sum |x - w| over windows: x (n, c, h, w), weight (o, c / groups, kh, kw); zeros outside the image count."""
    if rescale and weight.requires_grad:
        weight = Rescaled.apply(weight)  # type: ignore[no-untyped-call]
    n, c = x.shape[:2]
    o, per, kh, kw = weight.shape
    h, w = (
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    )
    out: Tensor
    if per == 1 and groups == c == o:
        padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
        out = ChannelDifferences.apply(padded, weight[:, 0], (h, w), stride, dilation)  # type: ignore[no-untyped-call]
        return out
    if (kh, kw, stride, padding) == (1, 1, (1, 1), (0, 0)):
        patches = x.reshape(n, c, h * w)
    else:
        patches = F.unfold(x, (kh, kw), dilation, padding, stride)  # (n, c kh kw, l)
    parts = []
    for g in range(groups):
        rows = patches.view(n, groups, -1, h * w)[:, g].transpose(1, 2).reshape(n * h * w, -1)
        mine = weight[g * (o // groups) : (g + 1) * (o // groups)].reshape(o // groups, -1)
        parts.append(Differences.apply(rows, mine).view(n, h * w, -1))  # type: ignore[no-untyped-call]
    out = torch.cat(parts, 2) if groups > 1 else parts[0]
    return out.transpose(1, 2).reshape(n, o, h, w)
