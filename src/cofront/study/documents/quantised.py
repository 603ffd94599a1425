"""The JSON of `cofront quantize`: a trained network, the bits that each layer got, and what that costs and saves."""

from __future__ import annotations

from typing import Any

from msgspec import field

from cofront.study.documents.base import Document, Part
from cofront.study.documents.parts import Limit, RoofPair


class QuantBudget(Part, frozen=True, kw_only=True):
    """A limit: the quantity, what the network costs at 8 bits, what is allowed and what was taken; SI, or bytes."""

    quantity: str
    at_8_bits: float
    limit: float
    taken: float | None = None


class QuantLayer(Part, frozen=True, kw_only=True):
    """A layer: its unit (what gets bits together), size, bits, and what it is expected to cost in loss.

    `rise_by_weight_bits` and `rise_by_act_bits` have one entry for each width of the document.
    """

    name: str
    unit: str
    op: str
    macs: int
    weights: int
    weight_bits: int
    act_bits: int
    rise: float
    rise_by_weight_bits: list[float]
    rise_by_act_bits: list[float]


class QuantUnit(Part, frozen=True, kw_only=True):
    """What gets bits together (a layer, or a block): its costs at the bits taken and at 8 bits, by quantity."""

    name: str
    weight_bits: int
    act_bits: int
    costs: dict[str, float] = field(default_factory=dict)
    at_8_bits: dict[str, float] = field(default_factory=dict)


class QuantPoint(Part, frozen=True, kw_only=True):
    """An allocation as a dot. `kind`: "front" (no allocation does better, in the model), "uniform", "chosen", "random".

    `rise`: expected rise of the loss; `accuracy`: measured on validation images, where it was.
    """

    kind: str
    label: str
    costs: dict[str, float]
    rise: float
    accuracy: float | None = None


class QuantAccuracy(Part, frozen=True, kw_only=True):
    """An accuracy (a fraction of `images`), of which network, on which images ("validation" or "test")."""

    what: str
    part: str
    accuracy: float
    images: int


class QuantisedDocument(Document, frozen=True, kw_only=True, tag="quantised"):
    """`cofront quantize`: bits for each layer within a budget, by a sensitivity model, and what came of it."""

    model: str
    device: str
    task: str
    method: str
    sensitivity: str  # the model that said what bits hurt
    sensitivity_words: str
    weight_bits: list[int]
    act_bits: list[int]
    budgets: list[QuantBudget]
    layers: list[QuantLayer] = field(default_factory=list)
    units: list[QuantUnit] = field(default_factory=list)
    points: list[QuantPoint] = field(default_factory=list)
    accuracies: list[QuantAccuracy] = field(default_factory=list)
    rise: float | None = None  # of the allocation, expected
    bound: float | None = None  # no allocation within the budget has a smaller one
    gap: float | None = None
    status: str = ""
    infeasible: list[Limit] = field(default_factory=list)
    cost_note: str = ""
    refined: str = ""
    accelerator: dict[str, Any] = field(default_factory=dict)  # the one that was found with the bits, on an FPGA
    floating: list[str] = field(default_factory=list)  # what stays in floating point
    seconds: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # SHA-256 of each file
    notes: list[str] = field(default_factory=list)
    roofline: RoofPair | None = None  # at 8 bits throughout, and at the bits taken
    roofline_note: str = ""  # why there is none
    study: str | None = None
    report: str | None = None
