"""What the published differentiable systems share: a task, a cost, a recipe, and the objective that sets them apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from cofront.search.gradient.cost import CostModel
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Objective
from cofront.search.gradient.recipe import Learned, OnProgress, Recipe
from cofront.search.gradient.task import Task


class GradientSystem(ABC):
    """One search; subclasses are dataclasses with these fields and those of their objective."""

    task: Task
    cost: CostModel
    recipe: Recipe

    @abstractmethod
    def objective(self) -> Objective:
        """How loss and latency become one."""

    def search(self, file: Path | None = None, on_progress: OnProgress | None = None) -> GradientSearch:
        """The search, at its beginning or where the checkpoint `file` left it."""
        search = GradientSearch(self.task, self.cost, self.objective(), self.recipe, file, on_progress)
        search.resume()
        return search

    def run(
        self,
        file: Path | None = None,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Learned:
        """The whole search; it goes on from the checkpoint `file` if there is one."""
        return self.search(file, on_progress).run(should_stop=should_stop)
