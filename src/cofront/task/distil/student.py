"""A network of chosen operators: put together from what was learnt, its norms re-estimated, its loss measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cofront.network import stack
from cofront.network.pytorch import NetworkModule
from cofront.task.data import Images, Labels
from cofront.task.distil.layerwise import Layerwise
from cofront.task.distil.scores import summed_loss
from cofront.task.distil.units import assembled, inputs_of


@dataclass(frozen=True)
class Judged:
    """Mean cross-entropy, and the share of images that are classified right."""

    loss: float
    accuracy: float


def student(learnt: Layerwise, names: Sequence[str]) -> NetworkModule:
    """The network with the operator of that name in each unit, with the weights that were learnt unit by unit."""
    pairs = [(learnt.operators[i][n], learnt.module(i, n)) for i, n in enumerate(names)]
    network = stack("student", [o for o, _ in pairs if o is not None])
    return assembled(network, [m for _, m in pairs if m is not None])


@torch.no_grad()
def re_estimate(module: NetworkModule, x: Images, batch: int = 128) -> None:
    """Running statistics anew: the mean over batches of images (n, h, w, 3); the module is in eval mode afterwards."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [n.momentum for n in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    module.train()
    for first in range(0, len(x) - 1, batch):
        module(inputs_of(module.network, x[first : first + batch]))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    module.eval()


@torch.no_grad()
def judge(module: NetworkModule, x: Images, y: Labels, batch: int = 250) -> Judged:
    """Loss and accuracy on images (n, h, w, 3) with labels (n,)."""
    module.eval()
    loss, right = 0.0, 0
    for first in range(0, len(x), batch):
        logits = module(inputs_of(module.network, x[first : first + batch])).float()
        labels = torch.from_numpy(np.ascontiguousarray(y[first : first + batch])).long()
        loss += summed_loss(logits, labels)
        right += int((logits.argmax(1) == labels).sum())
    return Judged(loss / len(x), right / len(x))


def swapped(learnt: Layerwise, names: Sequence[str], x: Images, y: Labels, statistics: Images | None) -> Judged:
    """The true loss of a network of learnt operators, its norms re-estimated on `statistics` unless None."""
    module = student(learnt, names)
    if statistics is not None:
        re_estimate(module, statistics)
    return judge(module, x, y)
