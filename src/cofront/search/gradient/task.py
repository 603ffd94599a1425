"""What is learnt: the seam between the engine and whatever gives a loss, and a task whose loss is a table.

Two splits: "weights" trains the operators, "architecture" the choice among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cofront.errors import CofrontError, InputError
from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.relax import Relaxed, one_hot

FloatArray = NDArray[np.float64]
Split = Literal["weights", "architecture"]


class Diverged(CofrontError):
    """A loss was NaN or infinite: the search stopped, its last checkpoint is as it was."""


class Task(Protocol):
    """A loss of relaxed networks. A batch is a function of split, epoch and number, so that resuming is exact."""

    layers: Layers
    #: What is learnt from, as far as it matters to going on: images, their split, how the loss is made.
    told: str

    def parameters(self) -> Sequence[nn.Parameter]:
        """The operators' weights; none for a table."""

    def batches(self, split: Split) -> int:
        """Steps of an epoch."""

    def loss(self, relaxed: Relaxed, split: Split, epoch: int, number: int) -> Tensor:
        """The loss (a scalar with a gradient) of one batch."""

    def evaluate(self, choice: IntArray) -> float:
        """The loss of one architecture (l,), the same whenever it is asked."""

    def suspect(self, relaxed: Relaxed, split: Split, epoch: int, number: int) -> str:
        """The first operator whose output in this batch is not finite, or "" when all are."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must keep besides the architecture."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The reverse."""


class Tabular:
    """loss = constant + sum over layers of `unary` (l, o) + sum over neighbours of `pair` (l - 1, o, o).

    Nothing is trained, so a search on it costs seconds, and the exact optimum is known. `noise` is the standard
    deviation of what each batch adds to each entry: a stand-in for the scatter of batches.
    """

    def __init__(
        self,
        layers: Layers,
        unary: FloatArray,
        pair: FloatArray | None = None,
        *,
        constant: float = 0.0,
        noise: float = 0.0,
        batches: int = 20,
        seed: int = 0,
    ) -> None:
        l, o = layers.shape
        self.pair = None if pair is None else np.asarray(pair, float)
        if np.shape(unary) != (l, o) or (self.pair is not None and self.pair.shape != (l - 1, o, o)):
            raise InputError(
                f"tabular task: expected entries of shape {(l, o)} and {(l - 1, o, o)}, "
                f"got {np.shape(unary)}" + ("" if self.pair is None else f" and {self.pair.shape}")
            )
        self.unary = np.where(layers.mask, np.asarray(unary, float), 0.0)
        self.layers, self.constant, self.noise, self.seed = layers, constant, noise, seed
        self.told = f"table, noise {noise}, seed {seed}"
        self._batches = batches
        self._unary = torch.from_numpy(self.unary)
        self._pair = None if self.pair is None else torch.from_numpy(self.pair)
        self._generator = torch.Generator()

    def parameters(self) -> Sequence[nn.Parameter]:
        return ()

    def batches(self, split: Split) -> int:
        return self._batches if split == "architecture" else 0

    def loss(self, relaxed: Relaxed, split: Split, epoch: int, number: int) -> Tensor:
        w, table = relaxed.weights, self._unary
        if self.noise:
            self._generator.manual_seed((self.seed << 40) + (epoch << 20) + number)
            table = table + self.noise * torch.randn(table.shape, generator=self._generator, dtype=table.dtype)
        total = (w * table).sum() + self.constant
        if self._pair is not None:
            total = total + torch.einsum("lo,lop,lp->", w[:-1], self._pair, w[1:])
        return total

    def losses(self, choices: IntArray) -> FloatArray:
        """(n,) losses of architectures (n, l), without noise."""
        choices = np.atleast_2d(choices)
        rows = np.arange(choices.shape[1])
        total = self.constant + self.unary[rows, choices].sum(axis=1)
        if self.pair is not None:
            total = total + self.pair[rows[:-1], choices[:, :-1], choices[:, 1:]].sum(axis=1)
        return np.asarray(total, float)

    def evaluate(self, choice: IntArray) -> float:
        return float(self.losses(choice)[0])

    def suspect(self, relaxed: Relaxed, split: Split, epoch: int, number: int) -> str:
        run = relaxed.weights.detach() != 0
        for i, o in np.argwhere(run.numpy() & self.layers.mask):
            if not np.isfinite(self.unary[i, o]):
                return self.layers.name(i, o)
        return ""

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        return None


def swap_losses(task: Task, centre: IntArray) -> FloatArray:
    """(l, o) loss of `centre` with one layer's option exchanged; NaN where masked.

    For an additive task this is its table, up to a constant per layer; for any other the first-order view from
    `centre`. One evaluation per option that is not the centre's.
    """
    l, o = task.layers.shape
    here = task.evaluate(centre)
    out = np.full((l, o), np.nan)
    for i in range(l):
        for j in np.flatnonzero(task.layers.mask[i]):
            other = centre.copy()
            other[i] = j
            out[i, j] = here if j == centre[i] else task.evaluate(other)
    return out


def relaxed_choice(layers: Layers, choice: IntArray, dtype: torch.dtype = torch.float64) -> Relaxed:
    """One architecture (l,) as a draw."""
    return one_hot(torch.from_numpy(np.asarray(choice, np.int64)), layers.shape, dtype)
