"""A cost that is learnt of another one: EH-DNAS's, and that of any device without a gradient."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost, CostModel
from cofront.search.gradient.throughput import Fit, fit_throughput
from cofront.systems.eh_dnas import TUNED

FloatArray = NDArray[np.float64]

#: Labels of a learnt throughput: for training, validation and test.
LABELS = (8000, 1000, 1000)


class LearntThroughput:
    """EH-DNAS's cost: a learnt model of the throughput on `of`, which stays what networks are judged by."""

    def __init__(self, layers: Layers, of: CostModel, seed: int, sizes: tuple[int, int, int] | None = None) -> None:
        sizes = sizes or LABELS
        choices = np.unique(layers.sample(np.random.default_rng(seed), sum(sizes)), axis=0)
        choices = np.random.default_rng(seed + 1).permutation(choices)
        rate = 1.0 / of.of(choices)
        a, b = (round(len(choices) * s / sum(sizes)) for s in (sizes[0], sizes[0] + sizes[1]))
        cost, _ = fit_throughput(
            layers, (choices[:a], rate[:a]), (choices[a:b], rate[a:b]), of.name, training=TUNED, seed=seed
        )
        self.learnt, self.judge, self.name, self.layers = cost, of, of.name, layers
        self.held = Fit.of(cost.predict(choices[b:]), rate[b:])
        self.unit_s = 1.0 / cost.mean
        self.note = (
            f"searched with a learnt throughput of '{of.name}', on {len(choices) - b:,} other networks {self.held}"
        )

    def expected(self, encoding: torch.Tensor) -> torch.Tensor:
        return self.learnt.expected(encoding)

    def of(self, choices: IntArray) -> FloatArray:
        return self.judge.of(choices)

    def bounds(self) -> tuple[float, float]:
        return self.judge.bounds()


def additive_of(cost: CostModel) -> AdditiveCost | None:
    """The sum over options that stands behind a cost, for exact search; None where there is none."""
    found = cost.judge if isinstance(cost, LearntThroughput) else cost
    return found if isinstance(found, AdditiveCost) else None
