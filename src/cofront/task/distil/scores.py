"""What a single swap costs: the change of the loss when one unit alone gets another operator [LANA21].

The teacher's activations are kept, so that a swap runs the operator and the units behind it alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cofront.errors import InputError
from cofront.task.data import Images, Labels
from cofront.task.distil.layerwise import Layerwise
from cofront.task.distil.units import inputs_of


@dataclass(frozen=True)
class Scores:
    """(l, o) change of the mean cross-entropy by each single swap, NaN where a unit has no such operator.

    `teacher` is the teacher's own loss, `images` on how many it was measured.
    """

    change: NDArray[np.float64]
    teacher: float
    images: int


@torch.no_grad()
def single_swaps(
    learnt: Layerwise,
    x: Images,
    y: Labels,
    batch: int = 250,
    on_unit: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Scores | None:
    """Scores of every operator on images (n, h, w, 3) with labels (n,); None when asked to stop.

    The teacher's own operator has 0 exactly. InputError for labels that the network does not have.
    """
    teacher = learnt.teacher
    classes = teacher.network.shapes[teacher.network.output.name][0]
    if len(x) != len(y) or not len(x):
        raise InputError(f"scores need as many labels as images and at least one, got {len(x)} and {len(y)}")
    if int(y.max()) >= classes or int(y.min()) < 0:
        raise InputError(f"labels are 0 to {classes - 1} for this network, got {int(y.min())} to {int(y.max())}")
    width = max(len(o) for o in learnt.operators)
    total = np.full((len(learnt.operators), width), np.nan)
    for i, operators in enumerate(learnt.operators):
        total[i, : len(operators)] = 0.0
    own = 0.0
    for first in range(0, len(x), batch):
        features = teacher.features(inputs_of(teacher.network, x[first : first + batch]))
        labels = torch.from_numpy(y[first : first + batch]).long()
        plain = summed_loss(features[-1], labels)
        own += plain
        for i, operators in enumerate(learnt.operators):
            for o, name in enumerate(operators):
                if should_stop is not None and should_stop():
                    return None
                if learnt.module(i, name) is teacher.modules[i]:
                    continue
                logits = teacher.behind(i, learnt.output(i, name, features[i]))
                total[i, o] += summed_loss(logits, labels) - plain
            if on_unit is not None:
                on_unit(i)
    return Scores(total / len(x), own / len(x), len(x))


def summed_loss(logits: Tensor, labels: Tensor) -> float:
    """Summed over the images; what no float holds counts as the largest that one does."""
    value = float(F.cross_entropy(logits.float(), labels, reduction="sum"))
    return value if math.isfinite(value) else float(np.finfo(np.float32).max)
