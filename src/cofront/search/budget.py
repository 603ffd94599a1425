"""How long a heuristic may search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cofront.errors import UsageError

_DEFAULT_EVALUATIONS = 20_000


@dataclass(frozen=True)
class Budget:
    """When to stop: evaluations, seconds of wall clock, seconds of CPU, `should_stop`, whichever comes first.

    Only a budget of evaluations gives the same result twice. Without any limit it is 20,000 evaluations.
    """

    evaluations: int | None = None
    time_s: float | None = None
    cpu_s: float | None = None
    should_stop: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        for name in ("evaluations", "time_s", "cpu_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"search budget: expected {name} above 0, got {value}")

    @property
    def max_evaluations(self) -> float:
        if self.evaluations is not None:
            return self.evaluations
        return _DEFAULT_EVALUATIONS if self.time_s is None and self.cpu_s is None else float("inf")


class Stopwatch:
    """Seconds since it was made; `before` and `cpu_before` add what an earlier part of a resumed run used."""

    def __init__(self, before: float = 0.0, cpu_before: float = 0.0) -> None:
        self._wall, self._cpu = time.perf_counter() - before, time.process_time() - cpu_before

    @property
    def seconds(self) -> float:
        """Wall clock."""
        return time.perf_counter() - self._wall

    @property
    def cpu_s(self) -> float:
        """Processor time of this process."""
        return time.process_time() - self._cpu

    def spent(self, budget: Budget, evaluations: int) -> bool:
        if evaluations >= budget.max_evaluations or (budget.should_stop is not None and budget.should_stop()):
            return True
        over_wall = budget.time_s is not None and self.seconds >= budget.time_s
        return over_wall or (budget.cpu_s is not None and self.cpu_s >= budget.cpu_s)
