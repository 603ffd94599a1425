"""Rounding and clipping with gradients: straight through for values, and for the step size as LSQ has it [LSQ20].

y = step * clamp(round(x / step), low, high). Inside the range dy/dx = 1 and dy/dstep = round(x / step) - x / step;
outside dy/dx = 0 and dy/dstep is low or high, by which the range is learned, too (PACT's gradient of its clip point).
"""

from __future__ import annotations

from typing import Any

import torch


class Straight(torch.autograd.Function):
    """Of x (any shape) with a step that is broadcast against it: one for all, or one per output channel."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, step: torch.Tensor, low: int, high: int) -> torch.Tensor:
        q = x / step
        r = q.round().clamp_(low, high)
        ctx.save_for_backward(q, r, step)
        return r * step

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        q, r, step = ctx.saved_tensors
        off = r - q
        inside = off.abs() <= 0.5
        by_step = grads[0] * torch.where(inside, off, r)
        return grads[0] * inside, by_step.sum_to_size(step.shape), None, None


class Signs(torch.autograd.Function):
    """y = step * sign(x), 1 at 0: weights of one bit. The gradient passes x where |x| <= 2 step, to the mean's left
    and right alike; that of the step is sign(x).
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, step)
        return torch.where(x < 0, -step, step)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, step = ctx.saved_tensors
        by_step = torch.where(x < 0, -grads[0], grads[0]).sum_to_size(step.shape)
        return grads[0] * (x.abs() <= 2 * step), by_step


def rounded(x: torch.Tensor, step: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """`Straight` of x."""
    out: torch.Tensor = Straight.apply(x, step, low, high)  # type: ignore[no-untyped-call]
    return out


def signs(x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """`Signs` of x."""
    out: torch.Tensor = Signs.apply(x, step)  # type: ignore[no-untyped-call]
    return out
