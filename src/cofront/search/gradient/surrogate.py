"""Devices without a differentiable cost: a surrogate on one-hot features, fitted to latencies that were asked for.

First a sum over options, by least squares; where that is not good enough, a small network on top. Its note says that
it stands in, and how far it was off on architectures that it had not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cofront.errors import InputError, UsageError
from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost

FloatArray = NDArray[np.float64]
Kind = Literal["additive", "network"]

#: Weight of the ridge that settles what the sum of one-hot columns leaves open.
_RIDGE = 1e-6
WIDTHS = (128, 64)


@dataclass(frozen=True)
class Held:
    """How far a surrogate was off on n architectures that it was not fitted to."""

    rmse_s: float
    relative: float
    n: int

    def __str__(self) -> str:
        return f"RMSE {1e3 * self.rmse_s:.3g} ms ({100 * self.relative:.2g} % of the mean) on {self.n} held out"


def encode(layers: Layers, choices: IntArray) -> FloatArray:
    """(n, l) -> (n, l * o) one-hot columns."""
    choices = np.atleast_2d(choices)
    columns = choices[:, :, None] == np.arange(layers.shape[1])
    return np.asarray(columns.reshape(len(choices), -1), float)


def fit_additive(layers: Layers, choices: IntArray, latency_s: FloatArray, name: str) -> AdditiveCost:
    """The sum over options closest to measured latencies (n,) of architectures (n, l), in least squares."""
    x, mean = encode(layers, choices), float(np.mean(latency_s))
    unseen = layers.mask & (x.sum(axis=0).reshape(layers.shape) == 0)
    if unseen.any():
        i, o = np.argwhere(unseen)[0]
        raise InputError(
            f"device '{name}': no measured network has {layers.name(i, o)}; measure one, or restrict the layers"
        )
    gram = x.T @ x + _RIDGE * np.eye(x.shape[1])
    table = np.linalg.solve(gram, x.T @ (latency_s - mean)).reshape(layers.shape)
    # each layer's least cost into the constant, so that the table is of non-negative costs
    least = np.where(layers.mask, table, np.inf).min(axis=1, keepdims=True)
    return AdditiveCost(layers, np.where(layers.mask, table - least, 0.0), mean + float(least.sum()), name)


class NetworkCost:
    """A sum over options and a network's correction to it. Its bounds are the extremes that coordinate-wise search
    finds from a number of starts; they are not proven."""

    def __init__(self, base: AdditiveCost, net: nn.Module, scale_s: float) -> None:
        self.base, self.net, self.scale_s = base, net, scale_s
        self.layers, self.name, self.note = base.layers, base.name, ""

    def expected(self, encoding: Tensor) -> Tensor:
        correction: Tensor = self.net(encoding.double().reshape(1, -1))
        return self.base.expected(encoding) + self.scale_s * correction.squeeze()

    def of(self, choices: IntArray) -> FloatArray:
        with torch.no_grad():
            x = torch.from_numpy(encode(self.layers, choices))
            correction = self.net(x).squeeze(1).numpy()
        return np.asarray(self.base.of(choices) + self.scale_s * correction, float)

    def bounds(self) -> tuple[float, float]:
        return self._extreme(-1.0), self._extreme(1.0)

    def _extreme(self, sign: float) -> float:
        layers, rng, best = self.layers, np.random.default_rng(0), -np.inf
        table = np.where(layers.mask, sign * self.base.table_s, -np.inf)
        starts = [table.argmax(axis=1), *layers.sample(rng, 3)]
        for now in starts:
            value, improved = sign * self.of(now)[0], True
            while improved:
                improved = False
                for i in range(len(now)):
                    options = np.flatnonzero(layers.mask[i])
                    tried = np.repeat(now[None], len(options), axis=0)
                    tried[:, i] = options
                    values = sign * self.of(tried)
                    if values.max() > value + 1e-12:
                        now, value, improved = tried[int(values.argmax())], float(values.max()), True
            best = max(best, value)
        return float(sign * best)


def fit_surrogate(
    layers: Layers,
    latency_s: Callable[[IntArray], FloatArray],
    name: str,
    *,
    n: int = 2000,
    kind: Kind | None = None,
    seed: int = 0,
    enough: float = 0.01,
    epochs: int = 60,
) -> tuple[AdditiveCost | NetworkCost, Held]:
    """A surrogate of `latency_s`, which gives (n,) seconds of architectures (n, l), and its held-out error.

    A fifth of the n architectures is held out. Without a `kind`, a network is trained where the sum's error is more
    than `enough` of the mean latency.
    """
    if n < 50:
        raise UsageError(f"device '{name}': a surrogate needs at least 50 latencies, got {n}")
    choices = layers.sample(np.random.default_rng(seed), n)
    y = np.asarray(latency_s(choices), float)
    if y.shape != (n,) or not np.isfinite(y).all():
        raise InputError(
            f"device '{name}': expected {n} finite latencies, got {y.shape} with {int((~np.isfinite(y)).sum())} others"
        )
    cost, held = fit_on(layers, choices, y, name, kind=kind, seed=seed, enough=enough, epochs=epochs)
    cost.note = f"device '{name}' has no differentiable cost: a surrogate of {n} latencies stands in, {held}"
    return cost, held


def fit_on(
    layers: Layers,
    choices: IntArray,
    latency_s: FloatArray,
    name: str,
    *,
    kind: Kind | None = None,
    seed: int = 0,
    enough: float = 0.01,
    epochs: int = 60,
) -> tuple[AdditiveCost | NetworkCost, Held]:
    """The same from architectures (n, l) and latencies (n,) at hand; the last fifth is held out."""
    cut = len(choices) - len(choices) // 5
    train, test = (choices[:cut], latency_s[:cut]), (choices[cut:], latency_s[cut:])
    base = fit_additive(layers, *train, name)
    held = _held(base, *test)
    if kind == "additive" or (kind is None and held.relative <= enough):
        return base, held
    model = _train(base, *train, seed, epochs)
    return model, _held(model, *test)


def _held(cost: AdditiveCost | NetworkCost, choices: IntArray, latency_s: FloatArray) -> Held:
    rmse = float(np.sqrt(np.mean((cost.of(choices) - latency_s) ** 2)))
    return Held(rmse, rmse / float(np.mean(latency_s)), len(choices))


def _train(base: AdditiveCost, choices: IntArray, latency_s: FloatArray, seed: int, epochs: int) -> NetworkCost:
    rest = latency_s - base.of(choices)
    scale = float(rest.std()) or 1e-9
    x, y = torch.from_numpy(encode(base.layers, choices)), torch.from_numpy(rest / scale)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        a, b = WIDTHS
        net = nn.Sequential(nn.Linear(x.shape[1], a), nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, 1)).double()
    draw = torch.Generator().manual_seed(seed)
    batches = -(-len(x) // 64)
    adam = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs * batches)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x), generator=draw), 64):
            adam.zero_grad()
            nn.functional.mse_loss(net(x[rows])[:, 0], y[rows]).backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
    for p in net.parameters():
        p.requires_grad_(False)
    return NetworkCost(base, net.eval(), scale)
