"""Batch normalisation with ReLU in few passes, for training on a CPU; PyTorch's own where the kernel does not apply."""

from __future__ import annotations

import ctypes
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from cofront.task.native import library, pointer

I64 = ctypes.c_int64


def fits(x: torch.Tensor) -> bool:
    """Whether the kernels take this tensor (n, c, h, w)."""
    last = x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.shape[1] % 16 == 0
    return last and x.is_contiguous(memory_format=torch.channels_last) and library("normalise") is not None


class _NormRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float, relu: bool, cap: float,
        running: Running | None,
    ) -> torch.Tensor:  # fmt: skip
        c, m, threads = x.shape[1], x.numel() // x.shape[1], torch.get_num_threads()
        lib: Any = library("normalise")
        sums = torch.zeros((threads, 2, c))
        lib.norm_stats(pointer(x), pointer(sums), I64(m), c, threads)
        mean, square = sums.sum(0).double() / m
        variance = (square - mean * mean).clamp_min(0)
        if running is not None:
            running.mean.lerp_(mean.to(running.mean), running.momentum)
            running.variance.lerp_((variance * (m / max(m - 1, 1))).to(running.variance), running.momentum)
        inv = (variance + eps).rsqrt()
        scale = (gamma.detach().double() * inv).float().contiguous()
        shift = (beta.detach().double() - mean * gamma.detach().double() * inv).float().contiguous()
        y = torch.empty_like(x)
        ctx.ends = (I64(m), c, int(relu), ctypes.c_float(cap), threads)
        lib.norm_apply(pointer(x), pointer(scale), pointer(shift), pointer(y), *ctx.ends)
        ctx.save_for_backward(x, scale, shift, mean, inv)
        return y

    @staticmethod
    def backward(
        ctx: Any, *grads: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None, None, None]:
        x, scale, shift, mean, inv = ctx.saved_tensors
        g = grads[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        c, m, threads = x.shape[1], x.numel() // x.shape[1], torch.get_num_threads()
        lib: Any = library("normalise")
        sums = torch.zeros((threads, 2, c))
        lib.norm_grad_sums(pointer(x), pointer(g), pointer(scale), pointer(shift), pointer(sums), *ctx.ends)
        total, weighted = sums.sum(0).double()
        dgamma = inv * (weighted - mean * total)
        k1 = -scale * inv * dgamma / m
        k = torch.stack([scale.double(), k1, -scale * total / m - k1 * mean]).float()
        dx = torch.empty_like(x)
        lib.norm_grad_apply(pointer(x), pointer(g), pointer(scale), pointer(shift), pointer(k), pointer(dx), *ctx.ends)
        return dx, dgamma.float(), total.float(), None, None, None, None


class Running(NamedTuple):
    """Running statistics (c,), which a normalisation moves towards the batch's by `momentum`, in place."""

    mean: torch.Tensor
    variance: torch.Tensor
    momentum: float


def norm_relu(
    x: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    eps: float,
    relu: bool,
    *,
    cap: float = math.inf,
    running: Running | None = None,
) -> torch.Tensor:
    """x (n, c, h, w) normalised by its own statistics per channel, scaled, shifted, and through a ReLU if asked.

    `cap` is the ReLU's upper end (6 in ReLU6). The running variance takes up the unbiased one, as in PyTorch.
    """
    if fits(x):
        out: torch.Tensor = _NormRelu.apply(x, gamma, beta, eps, relu, cap, running)  # type: ignore[no-untyped-call]
        return out
    mean, variance, momentum = running or (None, None, 0.1)
    x = F.batch_norm(x, mean, variance, gamma, beta, True, momentum, eps)
    if not relu:
        return x
    return F.relu_(x) if cap == math.inf else F.hardtanh(x, 0.0, cap)


class _Quant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float, low: int, high: int) -> torch.Tensor:
        y, lib, f = torch.empty_like(x), library("normalise"), ctypes.c_float
        assert lib is not None
        threads = torch.get_num_threads()
        lib.quant_apply(pointer(x), pointer(y), I64(x.numel()), f(scale), f(low), f(high), threads)
        ctx.save_for_backward(x)
        ctx.range = f((low - 0.5) * scale), f((high + 0.5) * scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        g, lib = grads[0].to(x.dtype).contiguous(memory_format=torch.channels_last), library("normalise")
        assert lib is not None
        dx = torch.empty_like(x)
        lib.quant_grad(pointer(x), pointer(g), pointer(dx), I64(x.numel()), *ctx.range, torch.get_num_threads())
        return dx, None, None, None


def quant_kernel(x: torch.Tensor, scale: float, low: int, high: int) -> torch.Tensor:
    """scale * clamp(round(x / scale), low, high) with straight-through gradient; only where `fits(x)`."""
    out: torch.Tensor = _Quant.apply(x, scale, low, high)  # type: ignore[no-untyped-call]
    return out
