"""Batches of images for training: decoded once, augmented a batch at a time, each a function of epoch and number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cofront.errors import UsageError
from cofront.task.augment import augment, network_input
from cofront.task.data import Images, Labels

#: Seeds of generators lie below.
_SEEDS = 1 << 63


class ImageBatches:
    """Images (n, h, w, 3) uint8 with labels (n,): augmented batches (batch, 3, side, side) as `dtype` on `device`.

    The last, smaller batch of an epoch is left out. A batch is drawn from seed, epoch and number alone, so that a
    training which was stopped goes on with the same images.
    """

    def __init__(
        self, x: Images, y: Labels, batch: int, *, seed: int = 0, side: int | None = None, cutout: int = 8,
        dtype: torch.dtype = torch.float32, device: str = "cpu",
    ) -> None:  # fmt: skip
        if len(x) != len(y) or len(x) < batch or batch < 2:
            raise UsageError(
                f"images: expected as many labels as images and at least one batch of {batch} (2 or more), "
                f"got {len(x):,} images and {len(y):,} labels"
            )
        self.x, self.y = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y).long()
        self.batch, self.seed, self.cutout = batch, seed, cutout
        self.side = side or x.shape[1]
        self.dtype, self.device = dtype, device
        self._order: tuple[int, Tensor] = (-1, self.y)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.x) // self.batch

    def __call__(self, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        """Batch `number` of an epoch, augmented, and its labels."""
        if self._order[0] != epoch:
            g = torch.Generator().manual_seed(((self.seed << 32) + epoch) % _SEEDS)
            self._order = epoch, torch.randperm(len(self.x), generator=g)
        rows = self._order[1][number * self.batch : (number + 1) * self.batch]
        g = torch.Generator().manual_seed(((self.seed << 32) + (epoch << 16) + number + (1 << 62)) % _SEEDS)
        return self._ready(augment(self.x[rows], g, hole=self.cutout)), self.y[rows].to(self.device)

    def plain(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Images `first` to `last` as they are, for judging."""
        return self._ready(self.x[first:last].permute(0, 3, 1, 2)), self.y[first:last].to(self.device)

    def _ready(self, x: Tensor) -> Tensor:
        return network_input(x, self.side, self.dtype).to(self.device)


def compute_device() -> str:
    """ "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"
