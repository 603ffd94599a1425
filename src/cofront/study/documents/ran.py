"""The JSON of `cofront run`: a differentiable search, what it learnt, and the network that came of it."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document, Part


class RunLayer(Part, frozen=True, kw_only=True):
    """One layer of the space. `cost_s`: seconds of each option, where the device's cost adds up; else empty."""

    name: str
    options: list[str]
    allowed: list[bool]
    cost_s: list[float] = field(default_factory=list)


class RunEpoch(Part, frozen=True, kw_only=True):
    """The state at the end of an epoch. `probabilities` (layers x options) are 0 where an option is not allowed.

    `loss`: mean on the architecture's images, None while the architecture is frozen; `expected_s` of the
    distribution, `likely_s` of its most likely network; `entropy` in nats, mean of the layers.
    """

    epoch: int
    loss: float | None
    expected_s: float
    likely_s: float
    entropy: float
    temperature: float
    multiplier: float | None
    probabilities: list[list[float]]


class RunNetwork(Part, frozen=True, kw_only=True):
    """A network that the run speaks of. `role`: "most likely", "polished", "certified optimum".

    `loss` and `accuracy` are the supernet's, on validation images; `predicted` is the additive model's accuracy.
    `options` (one per layer) index the layers' options.
    """

    role: str
    options: list[int]
    point: list[int]
    latency_s: float
    macs: int
    params: int
    loss: float
    accuracy: float
    predicted: float


class RunPoint(Part, frozen=True, kw_only=True):
    """A network as a dot: its latency, the accuracy that the additive model predicts, and the supernet's where known.

    `kind`: "front" (of the certified front) or "random".
    """

    kind: str
    latency_s: float
    predicted: float
    accuracy: float | None = None
    options: list[int] = field(default_factory=list)


class RunTraining(Part, frozen=True, kw_only=True):
    """Training of the derived network from the start. Accuracies are fractions; `test` is read once, at the end."""

    epochs: int
    images: int
    seconds: float
    loss: list[float]
    validation: list[float]
    test: float | None = None
    test_images: int = 0


class RunDocument(Document, frozen=True, kw_only=True, tag="run"):
    """`cofront run`: a differentiable system on a task and a device."""

    system: str
    preset: str
    space: str
    device: str
    task: str
    target_s: float | None
    words: str  # what is descended, and how paths are drawn
    bounds_s: list[float]  # of the fastest and the slowest network
    layers: list[RunLayer]
    history: list[RunEpoch]
    networks: list[RunNetwork]
    chosen: int | None  # of `networks`, the one that is trained
    points: list[RunPoint]
    gap: float | None  # of the front of the additive model; 0 where it is exact
    regret: float | None  # of the most likely network: predicted accuracy below the front's at its own latency
    predictor_note: str
    latency_note: str
    epochs: int
    steps: int
    images: int
    search_s: float
    search_cpu_s: float
    peak_bytes: int | None = None
    training: RunTraining | None = None
    fitted: dict[str, Any] = field(default_factory=dict)  # the derived network on the best accelerator for it
    interrupted: bool = False
    files: dict[str, str] = field(default_factory=dict)
    study: str | None = None
    report: str | None = None
    notes: list[str] = field(default_factory=list)
