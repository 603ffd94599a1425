"""The JSON of `cofront accelerate`: a trained network with cheaper operators."""

from __future__ import annotations

from msgspec import field

from cofront.study.documents.base import Document, Part
from cofront.study.documents.parts import RoofPair
from cofront.study.documents.ran import RunTraining


class AcceleratedUnit(Part, frozen=True, kw_only=True):
    """One unit of the network, its operators in the order of `names`, the teacher's own first.

    `change`: of the loss, when the unit alone has that operator; `error` of what the operator gives, mean square over
    the variance of what it should give (None: no number); `seconds` each, None where the device cannot run it.
    """

    name: str
    names: list[str]
    change: list[float]
    error: list[float | None]
    seconds: list[float | None]
    chosen: str
    saved_s: float


class AcceleratedNetwork(Part, frozen=True, kw_only=True):
    """A solution of the selection, swapped in: `predicted` is the sum of changes, `loss` and `accuracy` the true ones,
    on training images that were held back."""

    operators: list[str]
    predicted: float
    latency_s: float
    loss: float
    accuracy: float


class AcceleratedPoint(Part, frozen=True, kw_only=True):
    """A point of the exact front: the least sum of changes at that latency."""

    latency_s: float
    predicted: float


class MeasuredPair(Part, frozen=True, kw_only=True):
    """Both networks on the machine itself, in turns: medians and the 95 % interval of their quotient."""

    before_s: float
    after_s: float
    speed_up: float
    interval_95: list[float]
    visits: int


class AccelerateDocument(Document, frozen=True, kw_only=True, tag="accelerate"):
    """`cofront accelerate`: units with their operators, solutions (the exact optimum first), and the chosen network."""

    model: str
    device: str
    task: str
    budget: str
    limit_s: float
    before_s: float
    least_s: float  # of the fastest network of the space
    latency_note: str
    teacher_loss: float  # on the training images held back
    teacher_validation: float
    units: list[AcceleratedUnit] = field(default_factory=list)
    solutions: list[AcceleratedNetwork] = field(default_factory=list)
    chosen: int | None = None
    front: list[AcceleratedPoint] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)  # before, after
    params: list[int] = field(default_factory=list)
    validation: float | None = None  # of the result
    training: RunTraining | None = None
    teacher_test: float | None = None
    measured: MeasuredPair | None = None
    interrupted: bool = False
    roofline: RoofPair | None = None  # of the teacher and of the result, both on the accelerator of the prices
    roofline_note: str = ""  # why there is none
    files: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # SHA-256 of each file
    notes: list[str] = field(default_factory=list)
    study: str | None = None
    report: str | None = None
