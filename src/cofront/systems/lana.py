"""LANA: a trained network made faster by cheaper operators in the place of its units [LANA21].

1. All operators of all units learn at once what the teacher's unit gives (`task.distil.layerwise`).
2. Each is scored by the change of the loss when it alone is swapped in (`task.distil.scores`), and priced on a device.
3. The least sum of changes within the budget is found exactly, and other solutions by overlap cuts; each is checked
   with its operators swapped in, and the one of the least true loss is kept.
4. The whole is trained on with the teacher's answers and the labels.

The paper's numbers of images, epochs and candidates are for ImageNet on GPUs; those here are ours, for a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.network import Network
from cofront.network.pytorch import NetworkModule
from cofront.network.weights import Weights
from cofront.search.allocation.allocate import diverse
from cofront.search.allocation.front import front
from cofront.space.operators_of import FEW, OperatorsOf, units_of
from cofront.systems.lana_choose import LATENCY, IntArray, names_of, problem_of
from cofront.systems.lana_prices import Prices
from cofront.task.data import Dataset, Images, Labels
from cofront.task.distil.finetune import Guidance, Taught
from cofront.task.distil.layerwise import Layerwise, Lesson
from cofront.task.distil.restore import with_norms
from cofront.task.distil.scores import Scores, single_swaps
from cofront.task.distil.student import Judged, re_estimate, student, swapped
from cofront.task.distil.units import Teacher
from cofront.task.scratch import Schedule

#: Nats beyond which a network guesses, whatever its loss: operators that diverged have any number.
BEYOND = 10.0


@dataclass(frozen=True)
class Recipe:
    """How many training images the operators learn from, are scored on, and norms are re-estimated on; how many
    solutions are checked, with at most which share of units in common; and how the chosen network is trained on."""

    offered: tuple[str, ...] = FEW
    learn: int = 2048
    score: int = 1000
    statistics: int = 512
    lesson: Lesson = field(default_factory=Lesson)
    solutions: int = 20
    overlap: float = 0.7
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=8, rate=0.02, smoothing=0.0))
    guidance: Guidance = field(default_factory=Guidance)
    seed: int = 0

    def seeded(self, seed: int) -> Recipe:
        """The same with another seed everywhere."""
        return replace(
            self, seed=seed, lesson=replace(self.lesson, seed=seed), schedule=replace(self.schedule, seed=seed)
        )


@dataclass(frozen=True, eq=False)
class Checked:
    """A solution: operators (l,), the predicted change of the loss, its seconds, and what it does swapped in."""

    choice: IntArray
    names: tuple[str, ...]
    predicted: float
    latency_s: float
    judged: Judged


@dataclass(frozen=True)
class Lana:
    """The method on a trained network, images and prices. `weights` are folded.

    UsageError when the images do not fit the network or are too few.
    """

    network: Network
    weights: Weights
    data: Dataset
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        shapes = self.network.shapes
        inputs, outputs = shapes[self.network.input.name], shapes[self.network.output.name]
        classes, r = len(self.data.classes), self.recipe
        if outputs != (classes,):
            raise UsageError(
                f"network '{self.network.name}' gives {outputs}, the images have {classes} classes; take images or a "
                "network that match"
            )
        if len(inputs) != 3 or inputs[0] != 3 or inputs[1] != inputs[2]:
            raise UsageError(f"network '{self.network.name}' takes {inputs}; expected square images of 3 channels")
        needed = r.score + max(r.lesson.batch, r.statistics, 2)
        if len(self.data.x_train) < needed:
            raise UsageError(
                f"{len(self.data.x_train):,} training images; {needed:,} are needed: {r.score:,} to score on, the rest "
                "to learn from"
            )

    @cached_property
    def space(self) -> OperatorsOf:
        """The operators of each unit."""
        return OperatorsOf(units_of(with_norms(self.network)), self.recipe.offered)

    @cached_property
    def teacher(self) -> Teacher:
        return Teacher(self.space.parts, self.weights, self.data.x_train)

    @cached_property
    def held(self) -> tuple[Images, Labels]:
        """Training images that nothing learns from before the fine-tuning, and their labels."""
        rows = self._order[: self.recipe.score]
        return self.data.x_train[rows], self.data.y_train[rows]

    @cached_property
    def lessons(self) -> Images:
        """Training images that the operators learn from."""
        return self.data.x_train[self._order[self.recipe.score :][: self.recipe.learn]]

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.random.default_rng(self.recipe.seed).permutation(len(self.data.x_train))

    def distillation(self, file: Path | None = None, on_begin: Callable[[int], None] | None = None) -> Layerwise:
        """The operators, ready to learn; `on_begin` as in `Layerwise`."""
        r = self.recipe
        return Layerwise(self.teacher, self.space.operators, self.lessons, self.held[0], r.lesson, file, on_begin)

    def scores(
        self,
        learnt: Layerwise,
        on_unit: Callable[[int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Scores | None:
        """Changes of the loss by single swaps, on the images held back."""
        return single_swaps(learnt, *self.held, on_unit=on_unit, should_stop=should_stop)

    def check(self, learnt: Layerwise, scores: Scores, prices: Prices, choice: IntArray) -> Checked:
        """A solution with its operators swapped in, on the images held back; norms re-estimated on others."""
        names = tuple(names_of(self.space.operators, choice))
        judged = swapped(learnt, names, *self.held, self.lessons[: self.recipe.statistics])
        predicted = float(scores.change[np.arange(len(choice)), choice].sum())
        return Checked(choice, names, predicted, float(prices.of(choice)[0]), judged)

    def solutions(
        self,
        learnt: Layerwise,
        scores: Scores,
        prices: Prices,
        limit_s: float,
        on_solution: Callable[[Checked], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Checked]:
        """The exact optimum first, then the others, all within `limit_s`; empty when no network is as fast."""
        problem = problem_of(scores.change, prices)
        out = []
        limits = {LATENCY: limit_s - prices.base_s}
        for found in diverse(problem, limits, self.recipe.solutions, self.recipe.overlap):
            if should_stop is not None and should_stop():
                break
            out.append(self.check(learnt, scores, prices, found.array))
            if on_solution is not None:
                on_solution(out[-1])
        return out

    def front(self, scores: Scores, prices: Prices, points: int = 200) -> list[tuple[float, float]]:
        """(seconds, sum of changes) of the front, up to the teacher's latency, to a thousandth of its range; of more
        than `points`, some left out evenly. An operator that changes the loss by more than `BEYOND` does not stretch
        the range."""
        problem = problem_of(scores.change, prices)
        spread = float(np.ptp(np.where(problem.allowed, np.minimum(problem.loss, BEYOND), 0.0), axis=1).sum())
        limit = prices.teacher_s - prices.base_s
        found = front(problem, LATENCY, limit=limit, tolerance=1e-3 * spread)
        kept = np.unique(np.linspace(0, len(found) - 1, points).round().astype(np.int64))
        return [(float(found.cost[i]) + prices.base_s, float(found.loss[i])) for i in kept]

    def student(self, learnt: Layerwise, names: Sequence[str]) -> NetworkModule:
        """The network of the chosen operators, its norms re-estimated."""
        module = student(learnt, names)
        re_estimate(module, self.lessons[: self.recipe.statistics])
        return module

    def training(self, start: NetworkModule, file: Path | None = None) -> Taught:
        """The fine-tuning of a student by the teacher."""
        r, teacher = self.recipe, (self.teacher.network, self.weights)
        return Taught(start, teacher, self.data, r.schedule, file, guidance=r.guidance)


def best_of(found: Sequence[Checked]) -> Checked:
    """The solution of the least true loss."""
    return min(found, key=lambda c: c.judged.loss)
