"""The quantisers, in real arithmetic with straight-through gradients: what training sees of the integers.

Weights are symmetric per output channel; activations affine per tensor: unsigned integers q, real = scale * (q - z),
with z = 0 after ReLU and z = 2^(bits - 1) for signed tensors. Scales come from simple statistics, so that they follow
whatever sub-network is active: clipping at a multiple of the root mean square, which is near the optimum of the
mean-squared error for that many levels, and never beyond the largest value.
"""

from __future__ import annotations

from typing import Any

import torch

from cofront.task.normalise import fits, quant_kernel

# Clip points in root mean squares: (bits, signed). For 4 bits near the least squared error of a (half) Gaussian with
# somewhat heavier tails; for 8 bits far out, where clipping costs nothing.
CLIP_RMS = {(4, False): 4.4, (4, True): 2.9, (8, False): 14.0, (8, True): 10.0}
WEIGHT_CLIP_RMS = {4: 2.7, 8: 1e9}


def weight_scale(w: torch.Tensor, bits: int) -> torch.Tensor:
    """Scale per output channel (cout,) of weights (cout, ...)."""
    flat = w.detach().float().flatten(1)
    clip = flat.abs().amax(1)
    if WEIGHT_CLIP_RMS[bits] < 1e9:
        clip = torch.minimum(clip, WEIGHT_CLIP_RMS[bits] * flat.square().mean(1).sqrt())
    scale: torch.Tensor = (clip / (2 ** (bits - 1) - 1)).clamp_min(1e-12)
    return scale


def weight_integers(w: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """Integers (cout, ...) in [-(2^(bits-1) - 1), 2^(bits-1) - 1], as floats."""
    top = 2 ** (bits - 1) - 1
    q: torch.Tensor = (w.float() / scale.view(-1, *[1] * (w.dim() - 1))).round().clamp(-top, top)
    return q


def fake_weight(w: torch.Tensor, bits: int) -> torch.Tensor:
    """Quantised weights with the gradient of the identity."""
    s = weight_scale(w, bits)
    q = weight_integers(w.detach(), s, bits) * s.view(-1, *[1] * (w.dim() - 1))
    return w + (q - w).detach()


def act_range(bits: int, signed: bool) -> tuple[int, int]:
    """Least and greatest of q - z."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def act_scale(rms: float, peak: float, bits: int, signed: bool) -> float:
    """Scale of a tensor from its root mean square and its largest magnitude."""
    clip = min(CLIP_RMS[bits, signed] * rms, peak)
    return max(clip, 1e-6) / act_range(bits, signed)[1]


def batch_act_scale(x: torch.Tensor, bits: int, signed: bool) -> float:
    """The same from one batch (n, ...); a sixteenth of the images is enough."""
    some = x.detach()[:: max(1, min(16, len(x) // 16))].float()
    return act_scale(float(some.square().mean().sqrt()), float(some.abs().max()), bits, signed)


class FakeAct(torch.autograd.Function):
    """Round and clamp to the grid; the gradient passes where the value was inside the range."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float, low: int, high: int) -> torch.Tensor:
        q = x * (1 / scale)
        ctx.save_for_backward((q >= low - 0.5) & (q <= high + 0.5))
        return q.round_().clamp_(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None, None


def fake_act(x: torch.Tensor, bits: int, signed: bool, scale: float | None = None) -> torch.Tensor:
    """Quantised activations with straight-through gradient; the scale is the batch's own unless given."""
    s = batch_act_scale(x, bits, signed) if scale is None else scale
    if fits(x):
        return quant_kernel(x, s, *act_range(bits, signed))
    out: torch.Tensor = FakeAct.apply(x, s, *act_range(bits, signed))  # type: ignore[no-untyped-call]
    return out
