"""Depthwise convolution for training on a CPU: an own kernel where it can be built, PyTorch's otherwise.

PyTorch's CPU backward of a depthwise convolution is an order of magnitude slower than its forward, which would make
half of the space untrainable here.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
import torch.nn.functional as F

from cofront.task.native import library, pointer

#: (kernel size, dilation) of the own kernels.
SIZES = ((3, 1), (5, 1), (7, 1), (3, 2), (5, 2))


def _room(h: int, w: int, reach: int, threads: int) -> tuple[torch.Tensor, ctypes.c_void_p]:
    room = torch.empty((h + reach) * (w + reach) * 16 * threads + 16)
    return room, ctypes.c_void_p((room.data_ptr() + 63) // 64 * 64)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, stride: int, dilation: int) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        n, c, h, width = x.shape
        k, threads = w.shape[-1], torch.get_num_threads()
        oh, ow = -(-h // stride), -(-width // stride)
        taps = w.detach().float().reshape(c, k * k).t().contiguous()
        y = torch.empty((n, oh, ow, c), dtype=x.dtype).permute(0, 3, 1, 2)
        ctx.save_for_backward(x, taps)
        ctx.sizes = (n, h, width, c, k, dilation, stride, oh, ow, threads)
        ctx.dtype = w.dtype
        room, at = _room(h, width, k * dilation, threads)
        library("depthwise").depthwise_forward(pointer(x), pointer(taps), pointer(y), at, *ctx.sizes)  # type: ignore[union-attr]
        del room
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        x, taps = ctx.saved_tensors
        _, h, width, c, k, dilation, _, _, _, threads = ctx.sizes
        g = grads[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx, dw = torch.empty_like(x), torch.zeros((threads, k * k, c))
        room, at = _room(h, width, k * dilation, threads)
        library("depthwise").depthwise_backward(  # type: ignore[union-attr]
            pointer(x), pointer(taps), pointer(g), pointer(dx), pointer(dw), at, *ctx.sizes
        )
        del room
        return dx, dw.sum(0).t().reshape(c, 1, k, k).to(ctx.dtype), None, None


def depthwise(x: torch.Tensor, w: torch.Tensor, stride: int, dilation: int = 1) -> torch.Tensor:
    """x (n, c, h, w) with weights (c, 1, k, k), odd k, padding dilation * (k // 2); returns x's type and layout."""
    c, k = w.shape[0], w.shape[-1]
    if (
        x.dtype == torch.bfloat16
        and x.device.type == "cpu"
        and c % 16 == 0
        and (k, dilation) in SIZES
        and library("depthwise") is not None
    ):
        out: torch.Tensor = _Depthwise.apply(x, w, stride, dilation)  # type: ignore[no-untyped-call]
        return out
    y = F.conv2d(x.float(), w.float(), stride=stride, padding=dilation * (k // 2), dilation=dilation, groups=c)
    return y.to(x.dtype)
