"""The package's C kernels: compiled on first use with the system's compiler and kept in the cache folder.

Without a compiler, or elsewhere than on x86 with AVX-512, `library` is None and everything runs on PyTorch's own
operators, only slower. COFRONT_NO_KERNEL=1 asks for that.
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

import torch

from cofront.task.data import cache_dir

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of parameters in malloc.h
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fPIC")


def _build(source: str, target: Path) -> None:
    """Compile, with OpenMP if PyTorch's own runtime is at hand: two runtimes would fight for the cores."""
    lib = Path(torch.__file__).parent / "lib"
    runtime = [str(p) for p in sorted(lib.glob("libgomp*.so*"))][:1]
    openmp = ["-fopenmp"] if runtime else []
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        c, o, so = (Path(folder) / f"kernel.{x}" for x in ("c", "o", "so"))
        c.write_text(source)
        subprocess.run(["cc", *FLAGS, *openmp, "-c", str(c), "-o", str(o)], check=True, capture_output=True)
        subprocess.run(["cc", "-shared", str(o), *runtime, "-o", str(so)], check=True, capture_output=True)
        so.replace(target)


@lru_cache
def library(name: str) -> ctypes.CDLL | None:
    """The compiled `_name.c` of this folder, or None."""
    try:
        if "avx512f" not in Path("/proc/cpuinfo").read_text() or os.environ.get("COFRONT_NO_KERNEL"):
            return None
        source = files("cofront.task").joinpath(f"_{name}.c").read_text()
        key = hashlib.sha256(f"{source}{FLAGS}{torch.__file__}{torch.__version__}".encode()).hexdigest()[:16]
        target = cache_dir() / f"{name}-{key}.so"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _build(source, target)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.CalledProcessError):
        return None


def pointer(t: torch.Tensor) -> ctypes.c_void_p:
    """The address of a tensor's first element."""
    return ctypes.c_void_p(t.data_ptr())


@lru_cache
def keep_memory() -> None:
    """Freed memory stays with the process where its allocator is glibc's, for good.

    A training step takes and gives back megabytes hundreds of times, which the system would clear page by page anew:
    about a fifth of a step's time. The process never holds more than it needed at its peak.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most it takes
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
