"""The JSON of `cofront measure` and `cofront predict`."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document, Part


class OverheadPart(Part, frozen=True, kw_only=True):
    """latency = base_s + factor * sum + per_operator_s * operators + per_element_s * elements at operators' edges.

    `error`: leave-one-out mean relative error over `networks` measured ones; `plain_error`: that of the sum alone.
    """

    base_s: float
    factor: float
    per_operator_s: float
    per_element_s: float
    networks: int
    error: float | None = None
    plain_error: float | None = None
    spread: float | None = None


class MeasurementDocument(Document, frozen=True, kw_only=True, tag="measurement"):
    """`cofront measure`: what was measured on which machine, how steady it was, and where the tables are.

    `half_width` is the median over the models of the 95 % interval's half width relative to the latency. `adapted`
    says what a few-shot predictor was adapted from. With `done` below `total` visits it was interrupted.
    """

    device: str
    space: str
    operators: int
    networks: int
    done: int
    total: int
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    half_width: float | None = None
    overhead: OverheadPart | None = None
    adapted: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    reused: bool = False
    notes: list[str] = field(default_factory=list)


class LatencyPart(Part, frozen=True, kw_only=True):
    """One network. `std_s`: standard deviation of a new measurement, `null` if not known; the interval is of 95 %."""

    network: str
    latency_s: float
    std_s: float | None
    low_s: float | None
    high_s: float | None
    how: str


class LatencyDocument(Document, frozen=True, kw_only=True, tag="latency"):
    """`cofront predict`: latency of networks on a measured or known device."""

    device: str
    table: str
    networks: list[LatencyPart]
    machine: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
