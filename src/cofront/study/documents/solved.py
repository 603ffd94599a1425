"""The JSON of `cofront estimate`, `fit` and `search`."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document
from cofront.study.documents.parts import Call, Design, Kernel, Limit, Roof, Step


class EstimateDocument(Document, frozen=True, kw_only=True, tag="estimate"):
    """`cofront estimate`: a network on one given configuration."""

    accelerator: str = "subgraph"
    network: str
    device: str
    precision: str
    clock_hz: float
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int  # if every layer's inputs and output went through memory once
    latency_s: float
    fps: float
    cycles: int
    resources: dict[str, int]
    budget: dict[str, int]
    fits: bool
    config: dict[str, Any]
    energy_j: float | None = None
    calls: list[Call] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    roof: Roof | None = None
    infeasible: list[Limit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class FitDocument(Document, frozen=True, kw_only=True, tag="fit"):
    """`cofront fit`: the best configuration for one network. `bound_s` is the proven lower bound of the latency."""

    accelerator: str = "subgraph"
    status: str
    network: str
    device: str
    precision: str
    clock_hz: float
    objective: str
    method: str
    grid: str
    budget: dict[str, int]
    solve_s: float
    macs: int
    params: int
    designs: int
    latency_s: float | None = None
    bound_s: float | None = None
    fps: float | None = None
    value: float | None = None
    bound: float | None = None
    required_fps: float | None = None
    cycles: int | None = None
    resources: dict[str, int] | None = None
    config: dict[str, Any] | None = None
    energy_j: float | None = None
    calls: list[Call] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    roof: Roof | None = None
    infeasible: list[Limit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class SearchDocument(Document, frozen=True, kw_only=True, tag="search"):
    """`cofront search`: the Pareto front, fastest design first.

    `gap` (a fraction) is certified: no design of the space exceeds the front's accuracy at any latency by more.
    `designs` is how many (network, precision, accelerator) triples that statement covers. A heuristic has status
    "heuristic" and no gap: `designs` is how many it tried, and nothing is known of the others.
    """

    accelerator: str = "subgraph"
    predictor: str = "additive"
    status: str
    space: str
    device: str
    precisions: list[str]
    clock_hz: float
    method: str
    grid: str
    budget: dict[str, int]
    front: list[Design]
    gap: float | None
    designs: int
    solve_s: float
    bound: list[Step] = field(default_factory=list)
    chosen: int | None = None
    knee: int | None = None
    third: str | None = None
    third_levels: list[float] = field(default_factory=list)
    required_fps: float | None = None
    required_accuracy: float | None = None
    accuracy_source: str = ""
    accuracy_note: str = ""
    latency_note: str = ""  # how the latencies are known, where the device is a predictor
    infeasible: list[Limit] = field(default_factory=list)
    cover: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    study: str | None = None
    report: str | None = None
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stats: dict[str, float] = field(default_factory=dict)
