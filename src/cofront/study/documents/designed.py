"""The JSON of one chosen design: its files, its accuracy, what was made of it."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document
from cofront.study.documents.parts import Call, Design


class DesignDocument(Document, frozen=True, kw_only=True, tag="design"):
    """One design in a file: what `export`, `train` and `evaluate` take.

    With `network_sha256`, the hash of the file that the network is read from, `network` is that file's path, in a file
    relative to the design file.
    """

    accelerator: str = "subgraph"
    device: str
    clock_hz: float
    design: Design
    space: str = ""
    network: str = ""
    network_sha256: str = ""
    precision: str = ""
    input_shape: list[int] = field(default_factory=list)  # of `network`, where it was asked for
    device_file: str = ""  # of a device that does not come with cofront
    provenance: dict[str, Any] = field(default_factory=dict)


class AcceleratorDocument(Document, frozen=True, kw_only=True, tag="accelerator"):
    """The accelerator of one design and the schedule of its calls."""

    family: str
    device: str
    clock_hz: float
    config: dict[str, Any]
    resources: dict[str, int]
    budget: dict[str, int]
    calls: list[Call]
    provenance: dict[str, Any] = field(default_factory=dict)


class AccuracyDocument(Document, frozen=True, kw_only=True, tag="accuracy"):
    """`cofront train` and `cofront evaluate`: accuracies are fractions of `images` test images."""

    verb: str
    design: str
    task: str
    images: int
    accuracies: dict[str, float]
    seconds: float
    predicted: float | None = None
    files: dict[str, str] = field(default_factory=dict)
    note: str = ""


class ExportDocument(Document, frozen=True, kw_only=True, tag="export"):
    design: str
    files: dict[str, str]
    left_out: list[str] = field(default_factory=list)


class ReportDocument(Document, frozen=True, kw_only=True, tag="report"):
    study: str
    report: str
    runs: int
    designs: int
    scores: int = 0  # of predictors
    differentiable: int = 0  # runs of `cofront run`
    quantised: int = 0  # runs of `cofront quantize`
    accelerated: int = 0  # runs of `cofront accelerate`
