"""Small networks as predictors: trained on folds, averaged, with the error of the left-out folds as their spread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import nn

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, Predictor, check_training
from cofront.predict.columns import check_columns, check_variety

FOLDS = 4


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch without threads of its own: networks this small take many times as long with threads to wait for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class NetPredictor(Predictor):
    """Columns and targets are standardised; `module` makes the network for a number of columns.

    Each of four members learns from three quarters of the rows. Double precision: a row's prediction must not depend
    on the rows beside it.
    """

    epochs = 300
    batch = 64
    rate = 5e-3
    decay = 1e-4

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._members: list[nn.Module] = []
        self._centre = self._unit = np.zeros(0)
        self._offset, self._scale, self._std = 0.0, 1.0, 0.0

    @abstractmethod
    def module(self, columns: int) -> nn.Module:
        """A network from (n, columns) to (n,)."""

    @one_thread()
    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y = check_training(x, y, self.name)
        check_variety(x, y, self.name)
        self._centre, spread = x.mean(axis=0), x.std(axis=0)
        self._unit = np.where(spread > 0, spread, 1.0)
        self._offset, self._scale = float(y.mean()), float(y.std())
        inputs = torch.from_numpy((x - self._centre) / self._unit)
        targets = torch.from_numpy((y - self._offset) / self._scale)
        order = np.random.default_rng(self._seed).permutation(len(y))
        parts = np.array_split(order, FOLDS)
        self._members, errors = [], []
        for i, left in enumerate(parts):
            rows = torch.from_numpy(np.concatenate([p for j, p in enumerate(parts) if j != i]))
            net = self._train(inputs[rows], targets[rows], self._seed + i)
            with torch.no_grad():
                errors.append((net(inputs[left]) - targets[left]).numpy())
            self._members.append(net)
        self._std = self._scale * max(float(np.sqrt(np.mean(np.concatenate(errors) ** 2))), 1e-9)
        return self

    def _train(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> nn.Module:
        """Adam with decoupled decay and a cosine rate; mini-batches from a generator of its own."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = self.module(x.shape[1]).double()
        draw = torch.Generator().manual_seed(seed)
        batches = -(-len(x) // self.batch)
        adam = torch.optim.AdamW(net.parameters(), self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.epochs * batches)
        for _ in range(self.epochs):
            for rows in torch.split(torch.randperm(len(x), generator=draw), self.batch):
                adam.zero_grad()
                loss = nn.functional.mse_loss(net(x[rows]), y[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
                schedule.step()
        return net.eval()

    def predict(self, x: FloatArray) -> Prediction:
        if not self._members:
            raise InputError(f"{self.name}: fit it before asking for predictions")
        x = check_columns(x, len(self._centre), self.name)
        inputs = torch.from_numpy((x - self._centre) / self._unit)
        with torch.no_grad():
            each = np.array([m(inputs).numpy() for m in self._members])
        mean = self._offset + self._scale * each.mean(axis=0)
        # A member's left-out error is that of one network; their mean is better by what they disagree about.
        spread = self._scale * each.std(axis=0)
        std = np.sqrt(np.maximum(self._std**2 - np.mean(spread**2), 0.25 * self._std**2) + spread**2)
        return Prediction(np.maximum(mean, 0.0), std)


def layers(sizes: list[int], act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of these sizes with an activation between."""
    out: list[nn.Module] = []
    for a, b in pairwise(sizes):
        out += [nn.Linear(a, b), act()]
    return nn.Sequential(*out[:-1])
