"""The JSON of `cofront zoo`, `devices` and `spaces`."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document


class NetworkDocument(Document, frozen=True, kw_only=True, tag="network"):
    """`cofront zoo` prints a list of these."""

    name: str
    macs: int
    params: int
    input_shape: list[int]
    published: list[dict[str, Any]] = field(default_factory=list)


class DeviceDocument(Document, frozen=True, kw_only=True, tag="device"):
    """`cofront devices` prints a list of these."""

    name: str
    title: str
    board: str
    dsp_kind: str
    resources: dict[str, int]
    budget: dict[str, int]
    clock_hz: float
    max_clock_hz: float
    bandwidth_bytes_per_s: float
    static_power_w: float | None = None
    sources: dict[str, str] = field(default_factory=dict)


class KnownDevicesDocument(Document, frozen=True, kw_only=True, tag="known-devices"):
    """`cofront devices --known` prints a list of these: devices that `predict` knows by networks of a space."""

    space: str
    names: list[str]
    source: str = ""


class SpaceDocument(Document, frozen=True, kw_only=True, tag="space"):
    """`cofront spaces` prints a list of these. `points` counts (network, precision) pairs."""

    name: str
    task: str
    input_shape: list[int]
    points: int
    precisions: list[str]
    choices: dict[str, list[Any]]
