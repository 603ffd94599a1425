"""Polish: what a differentiable run has learnt, searched exactly; and its regret, by the certified optimum.

Two views of the learned scores. Log-probabilities: the most likely network has the greatest sum of all, so at its own
latency exact search returns it (or one as likely and faster); they are of use where it misses its target. Losses of
single exchanges around the most likely network: they still tell options apart where probabilities have collapsed.
What either proposes is evaluated, and taken only if its loss is lower: polish never does worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.exact import ExactFront, exact_front
from cofront.search.gradient.recipe import Learned
from cofront.search.gradient.task import Tabular, Task, swap_losses

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Polished:
    """The best network that polish knows within `limit_s`; `by` says whose proposal it is.

    `likely_*` are those of the most likely network, which may be above the limit; `gain` is what its loss falls by,
    where it is within. `evaluations` are of single networks.
    """

    choice: IntArray
    latency_s: float
    loss: float
    by: str
    limit_s: float
    likely_latency_s: float
    likely_loss: float
    evaluations: int

    @property
    def gain(self) -> float:
        return self.likely_loss - self.loss


def centred(layers: Layers, scores: FloatArray, least: float = -100.0) -> FloatArray:
    """(l, o) scores with mean 0 over each layer's options, 0 where masked; what is below `least` counts as that.

    A layer's mean is the same for every network, so the order of networks stays.
    """
    mask = layers.mask
    kept = np.where(mask, np.maximum(np.nan_to_num(scores, nan=least, neginf=least), least), 0.0)
    return np.asarray(np.where(mask, kept - kept.sum(axis=1, keepdims=True) / mask.sum(axis=1, keepdims=True), 0.0))


def learned_front(layers: Layers, cost: AdditiveCost, log_probabilities: FloatArray) -> ExactFront:
    """The exact front of the learned log-probabilities against latency, without any evaluation."""
    return exact_front(layers, cost.grains, -centred(layers, log_probabilities), constant_grains=cost.constant_grains)


def polish(
    task: Task,
    cost: AdditiveCost,
    learned: Learned,
    limit_s: float | None = None,
    *,
    swaps: bool = True,
    rounds: int = 3,
) -> Polished:
    """The best of the most likely network and what exact search proposes, at a latency of at most `limit_s`.

    By default the limit is the most likely network's own latency. Each round of `swaps` evaluates one network per
    option, around the best one so far.
    """
    if not isinstance(cost, AdditiveCost):
        raise UsageError(
            f"polish searches exactly, which needs a cost that adds up over options; device '{cost.name}' has none: "
            "fit one with fit_surrogate(..., kind='additive')"
        )
    layers = cost.layers
    limit = learned.latency_s if limit_s is None else limit_s
    front = learned_front(layers, cost, learned.log_probabilities)
    proposed = front.within(limit)
    best, by, seen = proposed.choice, "log-probabilities", 1
    loss = task.evaluate(best)
    if learned.latency_s <= limit + 0.5e-9 and learned.loss <= loss:
        best, by, loss = learned.choice, "most likely", learned.loss
    for _ in range(rounds if swaps else 0):
        table = swap_losses(task, best)
        seen += int(layers.mask.sum())
        found = exact_front(layers, cost.grains, centred(layers, table, -np.inf), constant_grains=cost.constant_grains)
        other = found.within(limit).choice
        value = task.evaluate(other)
        if not value < loss:
            break
        best, by, loss = other, "single exchanges", value
    return Polished(best, float(cost.of(best)[0]), loss, by, limit, learned.latency_s, learned.loss, seen)


def certified(task: Tabular, cost: AdditiveCost) -> ExactFront:
    """The exact front of a tabular task's own losses."""
    return exact_front(
        cost.layers, cost.grains, task.unary, task.pair, constant_grains=cost.constant_grains, constant=task.constant
    )
