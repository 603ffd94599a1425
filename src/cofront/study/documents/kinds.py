"""Every kind of document, and the JSON Schema of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from cofront import SCHEMA
from cofront.study.documents.accelerated import AccelerateDocument
from cofront.study.documents.base import Document
from cofront.study.documents.built import BuildDocument, VerifyDocument
from cofront.study.documents.catalogue import DeviceDocument, KnownDevicesDocument, NetworkDocument, SpaceDocument
from cofront.study.documents.designed import (
    AcceleratorDocument,
    AccuracyDocument,
    DesignDocument,
    ExportDocument,
    ReportDocument,
)
from cofront.study.documents.measured import LatencyDocument, MeasurementDocument
from cofront.study.documents.quantised import QuantisedDocument
from cofront.study.documents.ran import RunDocument
from cofront.study.documents.solved import EstimateDocument, FitDocument, SearchDocument
from cofront.study.documents.tables import AlikeDocument, ParetoDocument, PredictorDocument

KINDS: tuple[type[Document], ...] = (
    EstimateDocument,
    FitDocument,
    SearchDocument,
    DesignDocument,
    AcceleratorDocument,
    NetworkDocument,
    DeviceDocument,
    KnownDevicesDocument,
    AlikeDocument,
    SpaceDocument,
    AccuracyDocument,
    ExportDocument,
    ReportDocument,
    PredictorDocument,
    ParetoDocument,
    BuildDocument,
    VerifyDocument,
    MeasurementDocument,
    LatencyDocument,
    RunDocument,
    QuantisedDocument,
    AccelerateDocument,
)


def json_schemas() -> dict[str, dict[str, Any]]:
    """Kind -> JSON Schema (2020-12)."""
    out = {}
    for kind in KINDS:
        schema = msgspec.json.schema(kind)
        tag = str(kind.__struct_config__.tag)
        out[tag] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"cofront/{tag}/{SCHEMA}",
        } | schema
    return out


def write_schemas(folder: Path) -> None:
    """`docs/schema`: one file per kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for tag, schema in json_schemas().items():
        (folder / f"{tag}.schema.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
