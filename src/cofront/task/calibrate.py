"""From shared weights to one quantised network: batch-norm statistics and activation scales under the quantisers.

One forward pass over some hundred training images does both. Weight quantisation is per output channel and
symmetric, so it commutes with folding the batch norm: convolve with quantised weights, take the statistics, fold, take
the scale of the result, quantise, go on. Every layer thus sees what the quantised layers before it produce.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from cofront.task.kernels import FloatKernel, Grid, Kernel, Layer
from cofront.task.quant import act_scale, weight_integers, weight_scale
from cofront.task.resize import INPUT_SCALE
from cofront.task.subnet import Subnet
from cofront.task.supernet import EPS, STEM_CONV, Conv, Supernet, convs

INPUT_GRID = Grid(INPUT_SCALE, 8, True)
SOME = 10  # every tenth image is enough for the scale of a tensor; the statistics of batch norm take all


@dataclass(frozen=True)
class QConv:
    """A convolution after folding, the bits of its weights, the grid of its output and of what is added, if any."""

    layer: Layer
    weight_bits: int
    out: Grid
    residual: Grid | None = None


@dataclass(frozen=True)
class QNet:
    """A quantised network: stem and blocks, then average pool on grid `pooled` and a linear layer."""

    resolution: int
    blocks: tuple[tuple[QConv, ...], ...]  # the first is the stem
    pooled: Grid
    linear: torch.Tensor
    linear_scale: torch.Tensor
    bias: torch.Tensor


def _grid(x: torch.Tensor, bits: int, signed: bool) -> Grid:
    low, high = torch.aminmax(x)
    rms = float(torch.linalg.vector_norm(x)) / x.numel() ** 0.5
    return Grid(act_scale(rms, max(-float(low), float(high)), bits, signed), bits, signed)


def _layer(
    net: Supernet,
    c: Conv,
    h: torch.Tensor,
    read: Grid,
    bits: tuple[int, int],
    skip: tuple[torch.Tensor, Grid] | None,
    kernel: Kernel,
) -> tuple[QConv, torch.Tensor]:
    """Fold one convolution that reads `h`, with bits of weights and output; returns it and its stored output."""
    w = net.weight(c).detach()
    scale = weight_scale(w, bits[0])
    ints = weight_integers(w, scale, bits[0])
    y = kernel.raw(h, Layer(c, ints, scale, torch.zeros(c.cout), read))
    mean, var = torch.zeros(c.cout), torch.ones(c.cout)
    torch.batch_norm_update_stats(y, mean, var, 1.0)
    gain = net.gammas[c.name][: c.cout].detach() * (var + EPS).rsqrt()
    shift = net.betas[c.name][: c.cout].detach() - mean * gain
    unit = (scale * gain).abs() * read.scale  # the bias is an integer of the accumulator, which is coarse at 4 bits
    shift = torch.where(shift.abs() < unit * 2**30, (shift / unit).round() * unit, shift)
    some = torch.addcmul(shift.view(-1, 1, 1), y[::SOME].float(), gain.view(-1, 1, 1))
    if c.relu:
        some = F.relu_(some)
    if skip is not None:
        some = some + kernel.real(skip[0][::SOME], skip[1])
    out = _grid(some, bits[1], signed=not c.relu)
    layer = Layer(c, ints, scale * gain, shift, read)
    grid = skip[1] if skip else None
    return QConv(layer, bits[0], out, grid), kernel.stored(h, kernel.prepare(layer, out, grid), skip and skip[0])


@torch.inference_mode()
def calibrate(net: Supernet, sub: Subnet, images: torch.Tensor, kernel: Kernel | None = None) -> QNet:
    """Quantise a sub-network on resized images (n, 3, r, r) with integer values 0..255."""
    kernel = kernel or FloatKernel()
    stem, q = _layer(net, STEM_CONV, kernel.hold(images, INPUT_GRID), INPUT_GRID, (8, 8), None, kernel)
    blocks: list[tuple[QConv, ...]] = [(stem,)]
    stored = stem.out
    for b in sub.blocks:
        layers: list[QConv] = []
        read, h = stored, q
        if b.act_bits < stored.bits:
            read = _grid(kernel.real(q[::SOME], stored), b.act_bits, stored.signed)
            h = kernel.read(q, kernel.prepare_read(q.shape[1], stored, read))
        parts = convs(b)
        for i, c in enumerate(parts):
            last = i == len(parts) - 1
            skip = (q, stored) if last and b.residual else None
            qconv, h = _layer(net, c, h, read, (b.weight_bits, 8 if last else b.act_bits), skip, kernel)
            layers.append(qconv)
            read = qconv.out
        blocks.append(tuple(layers))
        stored, q = read, h
    mean = kernel.real(q, stored).mean((2, 3))
    w = net.linear[:, : mean.shape[1]].detach()
    scale = weight_scale(w, 8)
    pooled = _grid(mean, 8, True)
    return QNet(sub.resolution, tuple(blocks), pooled, weight_integers(w, scale, 8), scale, net.bias.detach())


class Runner:
    """Runs a quantised network with a kernel; in float32 this is the reference that the integers are compared with."""

    def __init__(self, net: QNet, kernel: Kernel | None = None) -> None:
        self.net, self.kernel = net, kernel or FloatKernel()
        self.prepared = [[self.kernel.prepare(c.layer, c.out, c.residual) for c in block] for block in net.blocks]
        self.reads: list[Any] = []
        stored = INPUT_GRID
        for block in net.blocks:
            first = block[0].layer
            coarser = first.read.bits < stored.bits
            self.reads.append(self.kernel.prepare_read(first.conv.cin, stored, first.read) if coarser else None)
            stored = block[-1].out

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) float32 of resized images (n, 3, r, r) with integer values 0..255."""
        q = self.kernel.hold(images, INPUT_GRID)
        for block, prepared, read in zip(self.net.blocks, self.prepared, self.reads, strict=True):
            h = q if read is None else self.kernel.read(q, read)
            for c, p in zip(block, prepared, strict=True):
                h = self.kernel.stored(h, p, q if c.residual is not None else None)
            q = h
        n = self.net
        mean = self.kernel.real(q, n.blocks[-1][-1].out).mean((2, 3))
        p = (mean / n.pooled.scale).round_().clamp_(n.pooled.low, n.pooled.high)
        return F.linear(p * n.pooled.scale, n.linear * n.linear_scale[:, None], n.bias)
