"""What to search, how far a search is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cofront import registry
from cofront.errors import UsageError, unknown_name
from cofront.study.documents import Cost, SearchDocument

if TYPE_CHECKING:
    from cofront.search.method import Method

THIRD = ("energy", "dsp", "lut", "ff", "bram36")


@dataclass(frozen=True)
class SearchRequest:
    """What to search. `fps` and `accuracy` (a fraction) choose a design of the front; they do not narrow it.

    `latency_column` is for a `device` that is a table of whole networks with several columns of latency.
    """

    device: str = "zu3eg"
    space: str = "subgraph32"
    accuracy_table: Path | None = None
    accuracy_column: str | None = None
    latency_column: str | None = None
    penalty: str | None = None
    precisions: tuple[str, ...] | None = None
    grid: str = "coarse"
    clock_hz: float | None = None
    budget: dict[str, int] | None = None
    fps: float | None = None
    accuracy: float | None = None
    third: str | None = None
    cover: float | None = None
    method: str = "exact"
    predictor: str = "additive"
    accelerator: str = "subgraph"
    time_limit_s: float | None = None
    evaluations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        method = self.chosen_method()
        registry.load("accelerator", self.accelerator)
        predictor = registry.load("predictor", self.predictor)
        if predictor.needs_devices:
            raise UsageError(
                f"--predictor {self.predictor} learns latencies of devices, not accuracies; choose additive, or svr "
                "with --method nsga2-fit or hao"
            )
        if method.additive and not predictor.adds_up:
            takers = [n for n in registry.names("search") if not registry.load("search", n).additive]
            raise UsageError(
                f"--predictor {self.predictor} gives accuracies that do not add up: it goes with --method "
                f"{' or '.join(takers)}, got {self.method}; choose one of those, or --predictor additive"
            )
        if self.accuracy_column is not None and self.accuracy_table is None:
            raise UsageError(
                f"--accuracy-column {self.accuracy_column} is a column of a table of yours; name it with "
                "--accuracy-table FILE"
            )
        if self.third is not None and self.third not in THIRD:
            raise unknown_name("third objective", self.third, THIRD)
        if self.third is not None and self.method != "exact":
            raise UsageError(f"--third needs --method exact, got {self.method}")
        if self.third is not None and self.cover is not None:
            raise UsageError("--cover is about latency and accuracy; it does not go with --third")
        if self.evaluations is not None and not method.counts:
            raise UsageError(f"--evaluations limits heuristics; --method {self.method} takes --time-limit")

    def chosen_method(self) -> Method:
        """The registered method. Raises a UsageError with the nearest names when there is none."""
        found: Method = registry.load("search", self.method, "method")
        return found


@dataclass(frozen=True)
class Progress:
    """How far a search is. `elapsed_s` is since its stage began; `gap` is a fraction (None: nothing is certified)."""

    stage: str
    elapsed_s: float
    designs: int = 0
    gap: float | None = None
    detail: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class SearchResult:
    """The document, the front it was made from, and whether it came from the study instead of a new search."""

    document: SearchDocument
    costs: list[Cost]
    run_id: int | None = None
    reused: bool = False
    interrupted: bool = False
