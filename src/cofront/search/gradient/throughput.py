"""A learnt throughput as a differentiable cost [EHDNAS21]: an embedding per choice, and a network on top of them.

Labels are images per second, higher is better; the cost is the seconds between images, their inverse. What is inverted
is the prediction in its own unit, never its z-score, whose inverse is singular in the middle of the labels. A relaxed
network's weights multiply the embeddings, so that one-hot weights give exactly what a discrete network gives.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cofront.errors import InputError, UsageError
from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers

FloatArray = NDArray[np.float64]

EMBEDDING, WIDTHS = 10, (200, 100)


@dataclass(frozen=True)
class Training:
    """How it is trained: Adam on the summed L1 of z-scores. The defaults are the published ones.

    `cosine`: the rate falls to zero over all epochs. The state of best mean relative error on validation is kept.
    """

    epochs: int = 30
    rate: float = 1e-4
    decay: float = 0.01
    batch: int = 128
    dropout: float = 0.5
    cosine: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not 0 <= self.dropout < 1:
            raise UsageError(
                f"training a throughput: expected epochs and batches of at least 1 and a dropout of 0 to below 1, got "
                f"{self.epochs}, {self.batch} and {self.dropout}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Fit:
    """What a prediction is worth on n labels: mean relative error, and Spearman's rank correlation."""

    relative: float
    spearman: float
    n: int

    @classmethod
    def of(cls, predicted: FloatArray, truth: FloatArray) -> Fit:
        from scipy.stats import spearmanr

        return cls(_relative(predicted, truth), float(spearmanr(predicted, truth).statistic), len(truth))

    def __str__(self) -> str:
        return f"{100 * self.relative:.2f} % off, Spearman {self.spearman:.4f}"


class Embedded(nn.Module):
    """(n, l, o) weights of options -> (n,) z-scores. Dropout is behind each hidden layer: where, is our reading."""

    def __init__(self, shape: tuple[int, int], dropout: float) -> None:
        super().__init__()
        layers, options = shape
        a, b = WIDTHS
        self.table = nn.Parameter(torch.randn(layers, options, EMBEDDING))
        self.top = nn.Sequential(
            nn.Linear(layers * EMBEDDING, a), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout), nn.Linear(b, 1),
        )  # fmt: skip

    def forward(self, encoding: Tensor) -> Tensor:
        embedded = torch.einsum("nlo,lok->nlk", encoding, self.table).flatten(1)
        out: Tensor = self.top(embedded)
        return out[:, 0]


class ThroughputCost:
    """Seconds between images by a learnt throughput. `bounds` are of the labels that it was trained on."""

    def __init__(
        self, layers: Layers, net: Embedded, mean: float, std: float, seen: tuple[float, float], name: str
    ) -> None:
        self.layers, self.net, self.mean, self.std, self.seen, self.name = layers, net, mean, std, seen, name
        self.note = ""

    def images_per_s(self, encoding: Tensor) -> Tensor:
        """(n, l, o) weights of options -> (n,) images per second."""
        out: Tensor = self.mean + self.std * self.net(encoding)
        return out

    def predict(self, choices: IntArray) -> FloatArray:
        """(n, l) architectures -> (n,) images per second."""
        choices = np.atleast_2d(choices)
        with torch.no_grad():
            encoding = _one_hot(torch.from_numpy(choices), self.layers).double()
            return np.asarray(self.images_per_s(encoding).numpy(), float)

    def expected(self, encoding: Tensor) -> Tensor:
        return 1.0 / self.images_per_s(encoding.double()[None])[0]

    def of(self, choices: IntArray) -> FloatArray:
        return np.asarray(1.0 / self.predict(choices), float)

    def bounds(self) -> tuple[float, float]:
        low, high = self.seen
        return 1.0 / high, 1.0 / low


def fit_throughput(
    layers: Layers,
    train: tuple[IntArray, FloatArray],
    valid: tuple[IntArray, FloatArray],
    name: str,
    *,
    training: Training | None = None,
    seed: int = 0,
) -> tuple[ThroughputCost, tuple[float, ...]]:
    """The cost learnt from architectures (n, l) and images per second (n,), and each epoch's error on `valid`."""
    training = training or Training()
    for choices, label in (train, valid):
        if len(choices) != len(label) or not len(label) or not (np.isfinite(label) & (label > 0)).all():
            raise InputError(
                f"device '{name}': expected a finite throughput above 0 for each of {len(choices)} networks"
            )
    mean, std = float(train[1].mean()), float(train[1].std()) or 1.0
    x = torch.from_numpy(np.asarray(train[0], np.int64))
    y = torch.from_numpy((train[1] - mean) / std).float()
    held = torch.from_numpy(np.asarray(valid[0], np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Embedded(layers.shape, training.dropout)
        adam = torch.optim.Adam(net.parameters(), training.rate, weight_decay=training.decay)
        steps = training.epochs * -(-len(x) // training.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps) if training.cosine else None
        errors: list[float] = []
        best = {k: v.clone() for k, v in net.state_dict().items()}
        for _ in range(training.epochs):
            net.train()
            for rows in torch.split(torch.randperm(len(x)), training.batch):
                adam.zero_grad()
                loss = (net(_one_hot(x[rows], layers)) - y[rows]).abs().sum()
                loss.backward()
                adam.step()
                if schedule is not None:
                    schedule.step()
            net.eval()
            with torch.no_grad():
                found = mean + std * net(_one_hot(held, layers)).double().numpy()
            errors.append(_relative(found, valid[1]))
            if errors[-1] == min(errors):
                best = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(best)
    for p in net.parameters():
        p.requires_grad_(False)
    seen = float(train[1].min()), float(train[1].max())
    return ThroughputCost(layers, net.double().eval(), mean, std, seen, name), tuple(errors)


def _relative(predicted: FloatArray, truth: FloatArray) -> float:
    return float(np.mean(np.abs(predicted - truth) / truth))


def _one_hot(choices: Tensor, layers: Layers) -> Tensor:
    return nn.functional.one_hot(choices, layers.shape[1]).float()
