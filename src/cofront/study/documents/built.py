"""The JSON of `cofront build` and `cofront verify`."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document, Part


class BuildDocument(Document, frozen=True, kw_only=True, tag="build"):
    """A build folder. `weights` is "trained", or says why they are not; cycles and resources are the cost model's.

    `scheduled_cycles` and `fps` are those of the program's schedule, which knows what waits for what.
    """

    design: str
    folder: str
    network: str
    device: str
    clock_hz: float
    config: dict[str, Any]
    bus_bits: int
    weights: str
    cycles: int
    latency_s: float
    scheduled_cycles: int
    fps: float
    resources: dict[str, int]
    descriptors: int
    memory_bytes: int
    files: list[str]
    seconds: float
    notes: list[str] = field(default_factory=list)


class CyclesPart(Part, frozen=True, kw_only=True):
    """Cycles of one call. `predicted` from the program, run by run; `model` is the cost model's share of a sum.

    `error` is (predicted - simulated) / simulated; null where memory rested, which no prediction knows.
    """

    call: str
    layers: list[str]
    descriptors: int
    simulated: int
    predicted: int | None = None
    error: float | None = None
    model: int | None = None


class DifferencePart(Part, frozen=True, kw_only=True):
    """The first element that differs from the integer model."""

    image: int
    tensor: str
    layer: str
    descriptor: int
    row: int
    column: int
    channel: int
    expected: int
    found: int


class ResourcePart(Part, frozen=True, kw_only=True):
    """One resource, predicted by the cost model and counted by Yosys (an estimate itself)."""

    resource: str
    predicted: int
    counted: int
    error: float | None = None


class VerifyDocument(Document, frozen=True, kw_only=True, tag="verify"):
    """`passed`: no element compared differs. Cycles are those of the first image.

    Where memory rested, in `stalls` of 1000 cycles at random, predictions are of another memory: errors are null.
    With `study`, the design is number `front_index` (from 0) of the front that its run `front_run` found.
    """

    folder: str
    title: str = ""  # network and device
    passed: bool
    simulator: str
    images: int
    image_source: str
    tensors: int
    elements: int
    differing: int
    cycles: int
    predicted_cycles: int
    cycles_error: float | None
    model_cycles: int
    model_error: float | None
    seconds: float
    calls: list[CyclesPart]
    first_difference: DifferencePart | None = None
    fps: float | None = None  # at the design's clock, an image after the other
    accuracy: float | None = None  # of the images' labels, as hardware classifies them
    resources: list[ResourcePart] = field(default_factory=list)
    synthesis: dict[str, Any] | None = None
    waveform: str | None = None
    gantt: str | None = None
    study: str | None = None  # that the verification was added to
    front_run: int | None = None
    front_index: int | None = None
    stalls: int = 0
    busy: dict[str, float] = field(default_factory=dict)  # share of the time each kernel multiplies
    notes: list[str] = field(default_factory=list)
