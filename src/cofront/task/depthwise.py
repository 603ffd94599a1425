"""Depthwise convolution for training on a CPU: an own kernel where it can be built, PyTorch's otherwise.

PyTorch's CPU backward of a depthwise convolution is an order of magnitude slower than its forward, which would make
half of the space untrainable here. The kernel (`_depthwise.c`) is compiled on first use with the system's C compiler
and kept in the cache folder; without a compiler, or elsewhere than on x86 with AVX-512, everything works, only slower.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from cofront.task.data import cache_dir

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


@lru_cache
def _library() -> ctypes.CDLL | None:
    try:
        if "avx512f" not in Path("/proc/cpuinfo").read_text() or os.environ.get("COFRONT_NO_KERNEL"):
            return None
        source = files("cofront.task").joinpath("_depthwise.c").read_text()
        target = cache_dir() / f"depthwise-{hashlib.sha256(source.encode()).hexdigest()[:16]}.so"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                c, so = Path(folder) / "depthwise.c", Path(folder) / "depthwise.so"
                c.write_text(source)
                subprocess.run(["cc", *FLAGS, str(c), "-o", str(so)], check=True, capture_output=True)
                so.replace(target)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.CalledProcessError):
        return None


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _room(h: int, w: int, k: int) -> tuple[torch.Tensor, int]:
    room = torch.empty((h + 2 * k) * (w + 2 * k) * 16 + 16)
    return room, (room.data_ptr() + 63) // 64 * 64


def _split(n: int) -> list[tuple[int, int]]:
    parts = max(1, min(torch.get_num_threads(), n))
    edges = [n * i // parts for i in range(parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, stride: int) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        n, c, h, width = x.shape
        k = w.shape[-1]
        oh, ow = -(-h // stride), -(-width // stride)
        taps = w.detach().float().view(c, k * k).t().contiguous()
        y = torch.empty((n, c, oh, ow), dtype=x.dtype).contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, taps)
        ctx.sizes = (n, h, width, c, k, stride, oh, ow, w.dtype)

        def part(lo: int, hi: int) -> None:
            room, at = _room(h, width, k)
            _library().depthwise_forward(  # type: ignore[union-attr]
                ctypes.c_void_p(x.data_ptr() + 2 * lo * c * h * width),
                ctypes.c_void_p(taps.data_ptr()),
                ctypes.c_void_p(y.data_ptr() + 2 * lo * c * oh * ow),
                ctypes.c_void_p(at),
                *(hi - lo, h, width, c, k, stride, oh, ow),
            )
            del room

        _run(part, n)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, taps = ctx.saved_tensors
        n, h, width, c, k, stride, oh, ow, dtype = ctx.sizes
        g = grads[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)

        def part(lo: int, hi: int) -> torch.Tensor:
            room, at = _room(h, width, k)
            dw = torch.zeros_like(taps)
            _library().depthwise_backward(  # type: ignore[union-attr]
                ctypes.c_void_p(x.data_ptr() + 2 * lo * c * h * width),
                ctypes.c_void_p(taps.data_ptr()),
                ctypes.c_void_p(g.data_ptr() + 2 * lo * c * oh * ow),
                ctypes.c_void_p(dx.data_ptr() + 2 * lo * c * h * width),
                ctypes.c_void_p(dw.data_ptr()),
                ctypes.c_void_p(at),
                *(hi - lo, h, width, c, k, stride, oh, ow),
            )
            del room
            return dw

        dw = torch.stack(_run(part, n)).sum(0)
        return dx, dw.t().reshape(c, 1, k, k).to(dtype), None


def _run(part: Any, n: int) -> list[Any]:
    """The parts of a batch, the last on the calling thread."""
    ranges = _split(n)
    if len(ranges) == 1:
        return [part(*ranges[0])]
    others = [_pool(len(ranges) - 1).submit(part, *r) for r in ranges[:-1]]
    last = part(*ranges[-1])
    return [*(f.result() for f in others), last]


def depthwise(x: torch.Tensor, w: torch.Tensor, stride: int) -> torch.Tensor:
    """x (n, c, h, w) with weights (c, 1, k, k), k 3 or 5, padding k // 2; returns x's type and layout."""
    c, k = w.shape[0], w.shape[-1]
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and c % 16 == 0 and k in (3, 5) and _library() is not None:
        out: torch.Tensor = _Depthwise.apply(x, w, stride)
        return out
    y = F.conv2d(x.float(), w.float(), stride=stride, padding=k // 2, groups=c)
    return y.to(x.dtype)
