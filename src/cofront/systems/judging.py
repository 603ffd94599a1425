"""What a supernet says of its networks, as an additive model with a certified front: the judge of a search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost, CostModel
from cofront.search.gradient.exact import ExactFront, exact_front
from cofront.search.gradient.supernet import SupernetTask
from cofront.search.gradient.surrogate import encode

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """An additive model of the supernet's accuracies, and its certified front.

    `table` (l, o) and `constant` give the predicted accuracy; `choices` (n, l) with `accuracy` (n,) are the random
    networks it was fitted on, `held` (n,) what it says of each without it.
    """

    table: FloatArray
    constant: float
    choices: IntArray
    accuracy: FloatArray
    held: FloatArray
    front: ExactFront | None

    def predict(self, choices: IntArray) -> FloatArray:
        """(n,) predicted accuracy of architectures (n, l)."""
        choices = np.atleast_2d(choices)
        return np.asarray(self.constant + self.table[np.arange(choices.shape[1]), choices].sum(axis=1), float)

    @property
    def spearman(self) -> float:
        """Rank correlation of the left-out predictions with the supernet's accuracies."""
        from scipy.stats import spearmanr

        return float(spearmanr(self.held, self.accuracy).statistic)

    def best_within(self, limit_s: float) -> float:
        """The certified best predicted accuracy at a latency of at most `limit_s`."""
        assert self.front is not None
        return 1.0 - self.front.within(limit_s).loss

    def regret(self, choice: IntArray, limit_s: float) -> float:
        """How far below the certified best an architecture (l,) is predicted to be."""
        return self.best_within(limit_s) - float(self.predict(choice)[0])


#: Ridge penalties that leave-one-out chooses from.
_PENALTIES = tuple(10.0**k for k in range(-2, 4))


def judge(
    task: SupernetTask, cost: CostModel, n: int, seed: int, on_each: Callable[[int], None] | None = None
) -> Judged:
    """Evaluates n random networks on the supernet and searches the additive model of them exactly."""
    layers = getattr(cost, "layers", task.layers)
    choices = layers.sample(np.random.default_rng(seed + 7), n)
    accuracy = np.empty(n)
    for i, choice in enumerate(choices):
        accuracy[i] = task.judge(choice)[1]
        if on_each is not None:
            on_each(i + 1)
    return fit_judge(layers, cost, choices, accuracy)


def fit_judge(layers: Layers, cost: CostModel, choices: IntArray, accuracy: FloatArray) -> Judged:
    """The additive model of accuracies (n,) of architectures (n, l), ridge by leave-one-out, and its exact front."""
    x = np.asarray(encode(layers, choices), float)
    mean = float(accuracy.mean())
    best: tuple[float, FloatArray, FloatArray] | None = None
    for penalty in _PENALTIES:
        inverse = np.linalg.inv(x.T @ x + penalty * np.eye(x.shape[1]))
        weights = inverse @ x.T @ (accuracy - mean)
        fitted = mean + x @ weights
        # leverage gives the leave-one-out predictions without n fits; the mean's own share is left in
        leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
        held = accuracy - (accuracy - fitted) / np.maximum(1.0 - leverage, 1e-9)
        error = float(np.mean((held - accuracy) ** 2))
        if best is None or error < best[0]:
            best = error, weights, held
    assert best is not None
    table = np.where(layers.mask, best[1].reshape(layers.shape), 0.0)
    front = None
    if isinstance(cost, AdditiveCost):
        front = exact_front(
            layers, cost.grains, -table, constant_grains=cost.constant_grains, constant=1.0 - mean
        )  # fmt: skip
    return Judged(table, mean, choices, accuracy, best[2], front)
