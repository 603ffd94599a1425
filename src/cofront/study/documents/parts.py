"""What several kinds of document are made of: costs, the calls and kernels behind them, designs, limits."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Part


class Limit(Part, frozen=True, kw_only=True):
    """A limit that nothing meets: what is needed at least, what there is, and what would help."""

    limit: str
    needed: float
    available: float
    excess: float
    unit: str
    remedy: str


class Call(Part, frozen=True, kw_only=True):
    """One call of the accelerator: which layers, how they ran, what limited it. `kernels`: cycles each was busy."""

    name: str
    cycles: int
    layers: list[str] = field(default_factory=list)
    precision: str = ""
    mode: str = ""
    bound_by: str = ""
    macs: int = 0
    dram_bytes: int = 0
    kernels: dict[str, int] = field(default_factory=dict)
    memory_cycles: int = 0
    overhead_cycles: int = 0
    utilisation: dict[str, float] = field(default_factory=dict)  # of each kernel's multipliers during the call
    ceiling_macs_per_s: float | None = None  # what multipliers and memory allow the call at best


class Kernel(Part, frozen=True, kw_only=True):
    """One kernel over all calls: what its multipliers could do and did. `limits`: share of the time it sets.

    "memory" is a row too: `busy` is the share of the time it needs for the bytes moved.
    """

    name: str
    macs: int
    busy: float
    limits: float
    peak_macs_per_s: float | None = None
    attained_macs_per_s: float | None = None  # while busy
    utilisation: float | None = None  # of the whole time
    bytes: int | None = None
    bytes_per_s: float | None = None


class Roof(Part, frozen=True, kw_only=True):
    """The roofline: what the multipliers and the memory could do at best."""

    peak_macs_per_s: float
    bandwidth_bytes_per_s: float


class RoofPoint(Part, frozen=True, kw_only=True):
    """What multiplies (a layer, a call of the accelerator, a unit of the network), against its roof.

    It moves `bytes` through memory and takes `seconds`; `peak_macs_per_s` is of the multipliers that it may use, at its
    `precision`. A name stands for the same part of a network before and after.
    """

    name: str
    macs: int
    bytes: int
    seconds: float
    peak_macs_per_s: float
    precision: str = ""
    bound_by: str = ""


class RoofSide(Part, frozen=True, kw_only=True):
    """A network on an accelerator, what multiplies one by one; `latency_s` and `bytes` are of all of it.

    `bytes` moved through memory include what multiplies nothing; None in documents from before they were counted.
    """

    label: str
    latency_s: float
    bandwidth_bytes_per_s: float
    points: list[RoofPoint]
    bytes: int | None = None


class RoofPair(Part, frozen=True, kw_only=True):
    """The roofline before and after."""

    before: RoofSide
    after: RoofSide


class Cost(Part, frozen=True, kw_only=True):
    """What a network costs on one configuration, call by call."""

    latency_s: float
    cycles: int
    clock_hz: float
    resources: dict[str, int]
    budget: dict[str, int]
    config: dict[str, Any]
    macs: int
    energy_j: float | None = None
    calls: list[Call] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    roof: Roof | None = None
    notes: list[str] = field(default_factory=list)


class Design(Part, frozen=True, kw_only=True):
    """One (network, precision, accelerator) choice.

    Where the device is a predictor, 95 % of new measurements lie between `latency_low_s` and `latency_high_s`.
    """

    accuracy: float | None
    latency_s: float
    fps: float
    cycles: int
    resources: dict[str, int]
    config: dict[str, Any]
    point: list[int] = field(default_factory=list)
    choices: dict[str, Any] = field(default_factory=dict)
    precisions: dict[str, int] = field(default_factory=dict)  # how many blocks are at which precision
    energy_j: float | None = None
    macs: int | None = None
    params: int | None = None
    weight_bytes: int | None = None
    activation_bytes: int | None = None  # if every layer's inputs and output went through memory once
    latency_low_s: float | None = None
    latency_high_s: float | None = None


class Step(Part, frozen=True, kw_only=True):
    """No design of at most `latency_s` (None: of any latency) is more accurate than `accuracy`."""

    latency_s: float | None
    accuracy: float
