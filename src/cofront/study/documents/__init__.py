"""The JSON that cofront writes: typed, versioned, and never with NaN or infinity.

Every document has `schema` (this version: `cofront.SCHEMA`), `cofront` (the version that wrote it) and `kind`.
`docs/schema` holds the JSON Schema of each kind, made from these types. Units are SI and in the names; accuracies
are fractions.
"""

from __future__ import annotations

from cofront.study.documents.accelerated import (
    AcceleratedNetwork,
    AccelerateDocument,
    AcceleratedPoint,
    AcceleratedUnit,
    MeasuredPair,
)
from cofront.study.documents.base import Document, Part, clean, from_json, read_document, to_json
from cofront.study.documents.built import BuildDocument, CyclesPart, DifferencePart, ResourcePart, VerifyDocument
from cofront.study.documents.catalogue import DeviceDocument, KnownDevicesDocument, NetworkDocument, SpaceDocument
from cofront.study.documents.designed import (
    AcceleratorDocument,
    AccuracyDocument,
    DesignDocument,
    ExportDocument,
    ReportDocument,
)
from cofront.study.documents.kinds import KINDS, json_schemas, write_schemas
from cofront.study.documents.measured import LatencyDocument, LatencyPart, MeasurementDocument, OverheadPart
from cofront.study.documents.parts import (
    Call,
    Cost,
    Design,
    Kernel,
    Limit,
    Roof,
    RoofPair,
    RoofPoint,
    RoofSide,
    Step,
)
from cofront.study.documents.quantised import (
    QuantAccuracy,
    QuantBudget,
    QuantisedDocument,
    QuantLayer,
    QuantPoint,
    QuantUnit,
)
from cofront.study.documents.ran import RunDocument, RunEpoch, RunLayer, RunNetwork, RunPoint, RunTraining
from cofront.study.documents.solved import EstimateDocument, FitDocument, SearchDocument
from cofront.study.documents.tables import (
    AlikeDocument,
    ParetoDocument,
    ParetoPoint,
    PredictorDocument,
    PredictorScore,
    SearchTrace,
)

__all__ = [
    "KINDS",
    "AccelerateDocument",
    "AcceleratedNetwork",
    "AcceleratedPoint",
    "AcceleratedUnit",
    "AcceleratorDocument",
    "AccuracyDocument",
    "AlikeDocument",
    "BuildDocument",
    "Call",
    "Cost",
    "CyclesPart",
    "Design",
    "DesignDocument",
    "DeviceDocument",
    "DifferencePart",
    "Document",
    "EstimateDocument",
    "ExportDocument",
    "FitDocument",
    "Kernel",
    "KnownDevicesDocument",
    "LatencyDocument",
    "LatencyPart",
    "Limit",
    "MeasuredPair",
    "MeasurementDocument",
    "NetworkDocument",
    "OverheadPart",
    "ParetoDocument",
    "ParetoPoint",
    "Part",
    "PredictorDocument",
    "PredictorScore",
    "QuantAccuracy",
    "QuantBudget",
    "QuantLayer",
    "QuantPoint",
    "QuantUnit",
    "QuantisedDocument",
    "ReportDocument",
    "ResourcePart",
    "Roof",
    "RoofPair",
    "RoofPoint",
    "RoofSide",
    "RunDocument",
    "RunEpoch",
    "RunLayer",
    "RunNetwork",
    "RunPoint",
    "RunTraining",
    "SearchDocument",
    "SearchTrace",
    "SpaceDocument",
    "Step",
    "VerifyDocument",
    "clean",
    "from_json",
    "json_schemas",
    "read_document",
    "to_json",
    "write_schemas",
]
