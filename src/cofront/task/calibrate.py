"""From shared weights to one quantised network: batch-norm statistics and activation scales under the quantisers.

One forward pass over about a thousand training images does both. Weight quantisation is per output channel and
symmetric, so it commutes with folding the batch norm: convolve with quantised weights, take the statistics, normalise,
take the scale of the result, quantise, go on. Every layer thus sees what the quantised layers before it produce.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cofront.task.augment import INPUT_SCALE
from cofront.task.quant import act_range, act_scale, weight_integers, weight_scale
from cofront.task.subnet import Subnet
from cofront.task.supernet import EPS, STEM_CONV, Conv, Supernet, convs


@dataclass(frozen=True)
class Grid:
    """How a tensor is stored: real = scale * (q - zero), q unsigned in `bits`."""

    scale: float
    bits: int
    signed: bool

    @property
    def low(self) -> int:
        return act_range(self.bits, self.signed)[0]

    @property
    def high(self) -> int:
        return act_range(self.bits, self.signed)[1]

    @property
    def zero(self) -> int:
        return -self.low


@dataclass(frozen=True)
class QConv:
    """A convolution after folding: real output = factor[c] * read.scale * acc[c] + shift[c], then ReLU, then `out`.

    `weight` (cout, cin or 1, k, k) holds integers as float32; `read` is the grid on which it reads its input (the
    stored tensor may be finer); `residual` is the grid of the tensor that is added before rounding, if any.
    """

    conv: Conv
    weight: torch.Tensor
    weight_bits: int
    factor: torch.Tensor
    shift: torch.Tensor
    read: Grid
    out: Grid
    residual: Grid | None = None


@dataclass(frozen=True)
class QNet:
    """A quantised network: stem, blocks, then average pool on grid `pooled` and a linear layer."""

    resolution: int
    stem: QConv
    blocks: tuple[tuple[QConv, ...], ...]
    pooled: Grid
    linear: torch.Tensor
    linear_scale: torch.Tensor
    bias: torch.Tensor


INPUT_GRID = Grid(INPUT_SCALE, 8, True)


def _grid(x: torch.Tensor, bits: int, signed: bool) -> Grid:
    some = x[::4].float()
    return Grid(act_scale(float(some.square().mean().sqrt()), float(some.abs().max()), bits, signed), bits, signed)


def _snap(x: torch.Tensor, g: Grid) -> torch.Tensor:
    """Integers q - zero."""
    return (x * (1 / g.scale)).round_().clamp_(g.low, g.high)


def _conv2d(q: torch.Tensor, w: torch.Tensor, bias: torch.Tensor | None, c: Conv) -> torch.Tensor:
    return F.conv2d(q, w, bias, c.stride, c.kernel // 2, groups=c.cout if c.depthwise else 1)


def _layer(
    net: Supernet,
    c: Conv,
    q: torch.Tensor,
    read: Grid,
    w_bits: int,
    out_bits: int,
    skip: tuple[torch.Tensor, Grid] | None,
) -> tuple[QConv, torch.Tensor]:
    """Fold one convolution that reads integers `q`; returns it and its real output, not yet rounded."""
    w = net.weight(c).detach()
    scale = weight_scale(w, w_bits)
    ints = weight_integers(w, scale, w_bits)
    real = (ints * (scale * read.scale).view(-1, 1, 1, 1)).to(q.dtype)
    gamma, beta = net.gammas[c.name][: c.cout].detach(), net.betas[c.name][: c.cout].detach()
    mean, var = torch.zeros(c.cout), torch.ones(c.cout)
    y = F.batch_norm(_conv2d(q, real, None, c), mean, var, gamma, beta, True, 1.0, EPS)
    gain = gamma * (var + EPS).rsqrt()
    if c.relu:
        y = F.relu_(y)
    if skip is not None:
        y = y + skip[0] * skip[1].scale
    out = _grid(y, out_bits, signed=not c.relu)
    folded = QConv(c, ints, w_bits, scale * gain, beta - mean * gain, read, out, skip[1] if skip else None)
    return folded, y


@torch.inference_mode()
def calibrate(net: Supernet, sub: Subnet, x: torch.Tensor) -> QNet:
    """Quantise a sub-network on inputs x (n, 3, r, r) (real values); the type of x is the type computed in."""
    stem, y = _layer(net, STEM_CONV, _snap(x, INPUT_GRID), INPUT_GRID, 8, 8, None)
    stored = stem.out
    q = _snap(y, stored)
    blocks = []
    for b in sub.blocks:
        layers: list[QConv] = []
        read, h = stored, q
        if b.act_bits < 8:
            read = _grid(q * stored.scale, b.act_bits, stored.signed)
            h = _snap(q * stored.scale, read)
        parts = convs(b)
        for i, c in enumerate(parts):
            last = i == len(parts) - 1
            skip = (q, stored) if last and b.residual else None
            layer, y = _layer(net, c, h, read, b.weight_bits, 8 if last else b.act_bits, skip)
            layers.append(layer)
            read = layer.out
            h = _snap(y, read)
        blocks.append(tuple(layers))
        stored, q = read, h
    mean = q.float().mean((2, 3)) * stored.scale
    pooled = _grid(mean, 8, True)
    w = net.linear[:, : mean.shape[1]].detach()
    scale = weight_scale(w, 8)
    return QNet(sub.resolution, stem, tuple(blocks), pooled, weight_integers(w, scale, 8), scale, net.bias.detach())


class Runner:
    """Runs a QNet on integers held in floats, in the type given; the scales are folded into weights and biases.

    In float32 this is the quantised network up to ties in rounding. In bfloat16 it is about four times as fast, and
    each product is off by up to 2^-9 of itself, about as much again as 8-bit rounding itself.
    """

    def __init__(self, net: QNet, dtype: torch.dtype = torch.float32) -> None:
        self.net, self.dtype = net, dtype
        self.folded = [[self._fold(c) for c in layers] for layers in ((net.stem,), *net.blocks)]

    def _fold(self, c: QConv) -> tuple[QConv, torch.Tensor, torch.Tensor]:
        gain = (c.factor * c.read.scale / c.out.scale).view(-1, 1, 1, 1)
        w = (c.weight * gain).to(self.dtype).contiguous(memory_format=torch.channels_last)
        return c, w, (c.shift / c.out.scale).to(self.dtype)

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) float32 of real-valued inputs (n, 3, r, r)."""
        q = (x.to(self.dtype) * (1 / INPUT_GRID.scale)).clamp_(INPUT_GRID.low, INPUT_GRID.high)
        stored = INPUT_GRID
        for layers in self.folded:
            h, read = q, stored
            for c, w, bias in layers:
                if c.read.bits < read.bits:
                    h = (h * (read.scale / c.read.scale)).round_().clamp_(c.read.low, c.read.high)
                h = _conv2d(h, w, bias, c.conv)
                if c.residual is not None:
                    h = h.add_(q, alpha=c.residual.scale / c.out.scale)
                h = h.clamp_(c.out.low, c.out.high).round_()
                read = c.out
            q, stored = h, read
        n = self.net
        mean = q.float().mean((2, 3)) * (stored.scale / n.pooled.scale)
        p = mean.round_().clamp_(n.pooled.low, n.pooled.high)
        return F.linear(p * n.pooled.scale, n.linear * n.linear_scale[:, None], n.bias)
