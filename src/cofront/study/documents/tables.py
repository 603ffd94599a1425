"""The JSON of what is learnt of tables: `cofront evaluate-predictor` and `cofront pareto`."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document, Part


class PredictorScore(Part, frozen=True, kw_only=True):
    """How well one predictor did: means over the draws and half widths of 95 % intervals (`null` for one draw).

    `mae` is in seconds or joules, `within_5` and `within_10` shares of networks predicted to within 5 and 10 %,
    `coverage` the share within 1.96 predicted standard deviations; times are per draw.
    """

    predictor: str
    spearman: float
    kendall: float
    mape: float | None
    mae: float
    within_5: float | None
    within_10: float | None
    coverage: float
    fit_s: float
    predict_s: float
    spearman_half: float | None = None
    kendall_half: float | None = None
    mape_half: float | None = None


class PredictorDocument(Document, frozen=True, kw_only=True, tag="predictor"):
    """`cofront evaluate-predictor`: learnt from `samples` rows of a table, scored on `n_test` others."""

    space: str
    table: str
    target: str
    quantity: str
    rows: int
    left_out: int
    samples: int
    n_test: int
    draws: int
    seed: int
    trim: float
    score: PredictorScore
    baselines: list[PredictorScore] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


class AlikeDocument(Document, frozen=True, kw_only=True, tag="alike"):
    """`cofront devices --known --space`: Spearman's rank correlation of the latencies of each pair of devices.

    `null` where two devices have no networks in common; `devices` are in an order in which those alike are neighbours.
    """

    space: str
    source: str
    networks: int
    devices: list[str]
    spearman: list[list[float | None]]


class ParetoPoint(Part, frozen=True, kw_only=True):
    """One network of an exact front; `row` of the table, from 0, `ties` other rows with the same two values."""

    row: int
    cost: float
    accuracy: float
    choices: dict[str, Any]
    ties: int = 0


class SearchTrace(Part, frozen=True, kw_only=True):
    """What a search finds of the exact front in so many evaluations; medians over `runs`.

    `share` of the front's points found; `hypervolume` relative to the exact front's; `to_all` evaluations until the
    whole front is found, `null` where it was not. `found_after`: per run, after how many evaluations each point of the
    front that it found was met.
    """

    search: str
    evaluations: int
    runs: int
    share: float
    hypervolume: float
    to_half: float | None = None
    to_all: float | None = None
    found_after: list[list[int]] = field(default_factory=list)


class ParetoDocument(Document, frozen=True, kw_only=True, tag="pareto"):
    """`cofront pareto`: the exact front of a full table, cheapest first."""

    space: str
    table: str
    accuracy: str
    cost: str
    cost_better: str
    rows: int
    left_out: int
    front: list[ParetoPoint]
    searches: list[SearchTrace] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
