"""EH-DNAS on images: what its supernet of cells is computed with, and what a search of it trains on."""

from __future__ import annotations

import ctypes
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.stacked import Kernels, StackedCells
from cofront.search.gradient.supernet import Supernet, SupernetTask
from cofront.space.darts import Darts
from cofront.task.batches import ImageBatches
from cofront.task.data import Images, Labels
from cofront.task.depthwise import depthwise
from cofront.task.native import library, pointer
from cofront.task.normalise import fits, norm_relu
from cofront.task.speed import input_dtype

#: Channels that the C kernels take at once.
LANES = 16


def _norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float, relu: bool) -> Tensor:
    c = x.shape[1]
    if more := -c % LANES:
        x = F.pad(x, (0, 0, 0, 0, 0, more)).contiguous(memory_format=torch.channels_last)
        gamma, beta = F.pad(gamma, (0, more)), F.pad(beta, (0, more))
    return norm_relu(x, gamma, beta, eps, relu)[:, :c].contiguous(memory_format=torch.channels_last)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    if not fits(x):
        return Kernels().moments(x)
    c, m, threads = x.shape[1], x.numel() // x.shape[1], torch.get_num_threads()
    sums = torch.zeros((threads, 2, c))
    lib: Any = library("normalise")
    lib.norm_stats(pointer(x), pointer(sums), ctypes.c_int64(m), c, threads)
    mean, square = sums.sum(0).double() / m
    return mean, square


def kernels() -> Kernels:
    """bfloat16 with the C kernels of `cofront.task` where they can be used, else float32 with PyTorch's own."""
    dtype = input_dtype()
    return Kernels(dtype, depthwise, _norm, _moments, LANES) if dtype == torch.bfloat16 else Kernels()


def cells_task(
    space: Darts, layers: Layers, weights: tuple[Images, Labels], architecture: tuple[Images, Labels], *,
    batch: int = 64, seed: int = 0,
) -> SupernetTask:  # fmt: skip
    """The stacked supernet on two splits of images (n, h, w, 3) uint8: random crops and flips, as published."""
    how = kernels()
    net = StackedCells(CellSupernet(space, layers, seed), how)
    one, other = (
        ImageBatches(x, y, batch, seed=2 * seed + i, side=space.side, cutout=0, dtype=how.dtype)
        for i, (x, y) in enumerate((weights, architecture))
    )
    return SupernetTask(layers, cast(Supernet, net), one, other)
