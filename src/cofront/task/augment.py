"""Images to network inputs: batched crop, flip and cutout on uint8 tensors, and the exact integer resize."""

from __future__ import annotations

import torch

from cofront.task.resize import INPUT_SCALE, INPUT_ZERO, resize_matrix


def resize(x: torch.Tensor, side: int) -> torch.Tensor:
    """Images (n, 3, h, w) with integer values 0..255 to (n, 3, side, side) float32 with integer values, exactly."""
    x = x.float()
    if x.shape[-1] == side and x.shape[-2] == side:
        return x
    rows = torch.from_numpy(resize_matrix(x.shape[-2], side)).float()
    cols = torch.from_numpy(resize_matrix(x.shape[-1], side)).float()
    return torch.floor((rows @ (x @ cols.T) + 8192) / 16384)


def network_input(x: torch.Tensor, side: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images (n, 3, h, w) 0..255 to real-valued network inputs (n, 3, side, side), channels last."""
    x = (resize(x, side) - INPUT_ZERO) * INPUT_SCALE
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def augment(x: torch.Tensor, generator: torch.Generator, pad: int = 4, hole: int = 8) -> torch.Tensor:
    """Random crop (reflected border), horizontal flip and cutout of uint8 images (n, h, w, 3); returns (n, 3, h, w).

    Cutout paints mid-grey, which is zero in real values.
    """
    n, h, w, _ = x.shape

    def draw(high: int) -> torch.Tensor:
        return torch.randint(0, high, (n, 1), generator=generator)

    def reflect(i: torch.Tensor, size: int) -> torch.Tensor:
        i = i.abs()
        return torch.where(i >= size, 2 * size - 2 - i, i)

    rows = reflect(torch.arange(h) + draw(2 * pad + 1) - pad, h)
    cols = reflect(torch.arange(w) + draw(2 * pad + 1) - pad, w)
    cols = torch.where(draw(2).bool(), cols, cols.flip(1))
    out = x[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]]
    if hole:
        top, left = draw(h + 1) - hole // 2, draw(w + 1) - hole // 2
        r, c = torch.arange(h), torch.arange(w)
        inside = ((r >= top) & (r < top + hole))[:, :, None] & ((c >= left) & (c < left + hole))[:, None, :]
        out = out.masked_fill(inside[..., None], INPUT_ZERO)
    return out.permute(0, 3, 1, 2)


def cutmix(
    x: torch.Tensor, y: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """A box of other images pasted into images (n, 3, h, w): images, labels, the others' labels, share of the former.

    One box for the whole batch, its area uniform (CutMix with alpha 1: Yun et al., ICCV 2019).
    """
    n, _, h, w = x.shape
    order = torch.randperm(n, generator=generator)
    area, row, column = torch.rand(3, generator=generator).tolist()
    high, wide = round(h * area**0.5), round(w * area**0.5)
    top, left = int(row * (h + 1)) - high // 2, int(column * (w + 1)) - wide // 2
    rows, columns = slice(max(top, 0), max(top + high, 0)), slice(max(left, 0), max(left + wide, 0))
    out = x.clone()
    out[:, :, rows, columns] = x[order][:, :, rows, columns]
    pasted = out[0, 0, rows, columns].numel()
    return out, y, y[order], 1 - pasted / (h * w)
