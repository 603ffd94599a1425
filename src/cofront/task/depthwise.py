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
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from cofront.task.data import cache_dir

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


def _build(source: str, target: Path) -> None:
    """Compile, with OpenMP if PyTorch's own runtime is at hand: two runtimes would fight for the cores."""
    lib = Path(torch.__file__).parent / "lib"
    runtime = [str(p) for p in sorted(lib.glob("libgomp*.so*"))][:1]
    openmp = ["-fopenmp"] if runtime else []
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        c, o, so = (Path(folder) / f"depthwise.{x}" for x in ("c", "o", "so"))
        c.write_text(source)
        subprocess.run(["cc", *FLAGS, *openmp, "-c", str(c), "-o", str(o)], check=True, capture_output=True)
        subprocess.run(["cc", "-shared", str(o), *runtime, "-o", str(so)], check=True, capture_output=True)
        so.replace(target)


@lru_cache
def _library() -> ctypes.CDLL | None:
    try:
        if "avx512f" not in Path("/proc/cpuinfo").read_text() or os.environ.get("COFRONT_NO_KERNEL"):
            return None
        source = files("cofront.task").joinpath("_depthwise.c").read_text()
        key = hashlib.sha256(f"{source}{FLAGS}{torch.__file__}{torch.__version__}".encode()).hexdigest()[:16]
        target = cache_dir() / f"depthwise-{key}.so"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _build(source, target)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.CalledProcessError):
        return None


def _room(h: int, w: int, k: int, threads: int) -> tuple[torch.Tensor, ctypes.c_void_p]:
    room = torch.empty((h + k) * (w + k) * 16 * threads + 16)
    return room, ctypes.c_void_p((room.data_ptr() + 63) // 64 * 64)


def _at(t: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(t.data_ptr())


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, stride: int) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        n, c, h, width = x.shape
        k, threads = w.shape[-1], torch.get_num_threads()
        oh, ow = -(-h // stride), -(-width // stride)
        taps = w.detach().float().view(c, k * k).t().contiguous()
        y = torch.empty((n, oh, ow, c), dtype=x.dtype).permute(0, 3, 1, 2)
        ctx.save_for_backward(x, taps)
        ctx.sizes = (n, h, width, c, k, stride, oh, ow, threads)
        ctx.dtype = w.dtype
        room, at = _room(h, width, k, threads)
        _library().depthwise_forward(_at(x), _at(taps), _at(y), at, *ctx.sizes)  # type: ignore[union-attr]
        del room
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, taps = ctx.saved_tensors
        _, h, width, c, k, _, _, _, threads = ctx.sizes
        g = grads[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx, dw = torch.empty_like(x), torch.zeros((threads, k * k, c))
        room, at = _room(h, width, k, threads)
        _library().depthwise_backward(  # type: ignore[union-attr]
            _at(x), _at(taps), _at(g), _at(dx), _at(dw), at, *ctx.sizes
        )
        del room
        return dx, dw.sum(0).t().reshape(c, 1, k, k).to(ctx.dtype), None


def depthwise(x: torch.Tensor, w: torch.Tensor, stride: int) -> torch.Tensor:
    """x (n, c, h, w) with weights (c, 1, k, k), k 3 or 5, padding k // 2; returns x's type and layout."""
    c, k = w.shape[0], w.shape[-1]
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and c % 16 == 0 and k in (3, 5) and _library() is not None:
        out: torch.Tensor = _Depthwise.apply(x, w, stride)
        return out
    y = F.conv2d(x.float(), w.float(), stride=stride, padding=k // 2, groups=c)
    return y.to(x.dtype)
