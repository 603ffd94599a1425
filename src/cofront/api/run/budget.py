"""How many epochs of a run fit into a budget, by the time of a few steps on this machine."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.study.provenance import write_atomic

if TYPE_CHECKING:
    from cofront.network import Network
    from cofront.search.gradient.recipe import Recipe
    from cofront.search.gradient.system import GradientSystem
    from cofront.search.gradient.task import Task
    from cofront.task.data import Dataset
    from cofront.task.scratch import Schedule

#: Of a budget, what the search and the training may take; judging takes the rest.
SEARCH_SHARE, TRAINING_SHARE = 0.45, 0.4
#: Steps that are timed, behind one that is not.
STEPS = 3


@dataclass(frozen=True)
class Fitting:
    """Epochs of the search and of the derived network's training."""

    epochs: int
    train_epochs: int
    fits: bool = True


def fit_budget(
    budget_s: float, make: Callable[[Recipe], GradientSystem], recipe: Recipe, network: Network, data: Dataset,
    schedule: Schedule, file: Path,
) -> Fitting:  # fmt: skip
    """The most epochs, up to the recipe's and the schedule's, that fit; what was found is kept in `file`.

    `network` is one like that to be derived. A run that goes on takes what its file says, so that it stays the same.
    """
    with suppress(OSError, ValueError, TypeError):  # a damaged one is only measured again
        return Fitting(**json.loads(file.read_text()))
    weights_s, architecture_s, task = _search_steps(make, recipe)
    batches = task.batches("weights"), task.batches("architecture")
    warm = recipe.freeze * batches[0] * weights_s * (task.layers.shape[1] - 1 if recipe.warm_all else 0)
    room = SEARCH_SHARE * budget_s - warm + recipe.freeze * batches[1] * architecture_s
    epochs = math.floor(room / (batches[0] * weights_s + batches[1] * architecture_s))
    trained = math.floor(TRAINING_SHARE * budget_s / _training_epoch(network, data, schedule))
    found = Fitting(
        max(2, min(recipe.epochs, epochs)), max(1, min(schedule.epochs, trained)), epochs >= 2 and trained >= 1
    )
    write_atomic(file, json.dumps(asdict(found)) + "\n")
    return found


def _search_steps(make: Callable[[Recipe], GradientSystem], recipe: Recipe) -> tuple[float, float, Task]:
    """Seconds of a step of the weights and of one of the architecture; what they changed is undone."""
    probe = make(replace(recipe, freeze=0, warm_all=False))
    before = {k: v.clone() for k, v in probe.task.state().items()}
    search = probe.search()
    weights_s, architecture_s = _timed(partial(search.train_weights, 0)), _timed(partial(search.train_architecture, 0))
    probe.task.restore(before)
    return weights_s, architecture_s, probe.task


def _training_epoch(network: Network, data: Dataset, schedule: Schedule) -> float:
    """Seconds of an epoch of training a network from the start."""
    from cofront.task.scratch import ScratchTraining

    training = ScratchTraining(network, data, schedule)
    return len(training.batches) * _timed(lambda i: training.run(until_step=training.position + 1))


def _timed(step: Callable[[int], object]) -> float:
    step(0)
    start = time.perf_counter()
    for i in range(STEPS):
        step(1 + i)
    return (time.perf_counter() - start) / STEPS
