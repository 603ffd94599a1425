"""The JSON that cofront writes: typed, versioned, and never with NaN or infinity.

Every document has `schema` (this version: `cofront.SCHEMA`), `cofront` (the version that wrote it) and `kind`.
`docs/schema` holds the JSON Schema of each kind, made from these types. Units are SI and in the names; accuracies
are fractions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cofront import SCHEMA, __version__
from cofront.errors import InputError


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document."""


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
    layers: list[str] = []
    precision: str = ""
    mode: str = ""
    bound_by: str = ""
    macs: int = 0
    dram_bytes: int = 0
    kernels: dict[str, int] = {}
    memory_cycles: int = 0
    overhead_cycles: int = 0
    utilisation: dict[str, float] = {}  # of each kernel's multipliers during the call
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
    calls: list[Call] = []
    kernels: list[Kernel] = []
    roof: Roof | None = None
    notes: list[str] = []


class Design(Part, frozen=True, kw_only=True):
    """One (network, precision, accelerator) choice."""

    accuracy: float | None
    latency_s: float
    fps: float
    cycles: int
    resources: dict[str, int]
    config: dict[str, Any]
    point: list[int] = []
    choices: dict[str, Any] = {}
    precisions: dict[str, int] = {}  # how many blocks are at which precision
    energy_j: float | None = None
    macs: int | None = None
    params: int | None = None
    weight_bytes: int | None = None
    activation_bytes: int | None = None  # if every layer's inputs and output went through memory once


class Step(Part, frozen=True, kw_only=True):
    """No design of at most `latency_s` (None: of any latency) is more accurate than `accuracy`."""

    latency_s: float | None
    accuracy: float


class Document(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every document has."""

    schema: int = SCHEMA
    cofront: str = __version__


class NetworkDocument(Document, frozen=True, kw_only=True, tag="network"):
    """`cofront zoo` prints a list of these."""

    name: str
    macs: int
    params: int
    input_shape: list[int]
    published: list[dict[str, Any]] = []


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
    sources: dict[str, str] = {}


class SpaceDocument(Document, frozen=True, kw_only=True, tag="space"):
    """`cofront spaces` prints a list of these. `points` counts (network, precision) pairs."""

    name: str
    task: str
    input_shape: list[int]
    points: int
    precisions: list[str]
    choices: dict[str, list[Any]]


class EstimateDocument(Document, frozen=True, kw_only=True, tag="estimate"):
    """`cofront estimate`: a network on one given configuration."""

    accelerator: str = "subgraph"
    network: str
    device: str
    precision: str
    clock_hz: float
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int  # if every layer's inputs and output went through memory once
    latency_s: float
    fps: float
    cycles: int
    resources: dict[str, int]
    budget: dict[str, int]
    fits: bool
    config: dict[str, Any]
    energy_j: float | None = None
    calls: list[Call] = []
    kernels: list[Kernel] = []
    roof: Roof | None = None
    infeasible: list[Limit] = []
    notes: list[str] = []


class FitDocument(Document, frozen=True, kw_only=True, tag="fit"):
    """`cofront fit`: the best configuration for one network. `bound_s` is the proven lower bound of the latency."""

    accelerator: str = "subgraph"
    status: str
    network: str
    device: str
    precision: str
    clock_hz: float
    objective: str
    method: str
    grid: str
    budget: dict[str, int]
    solve_s: float
    macs: int
    params: int
    designs: int
    latency_s: float | None = None
    bound_s: float | None = None
    fps: float | None = None
    value: float | None = None
    bound: float | None = None
    required_fps: float | None = None
    cycles: int | None = None
    resources: dict[str, int] | None = None
    config: dict[str, Any] | None = None
    energy_j: float | None = None
    calls: list[Call] = []
    kernels: list[Kernel] = []
    roof: Roof | None = None
    infeasible: list[Limit] = []
    notes: list[str] = []


class SearchDocument(Document, frozen=True, kw_only=True, tag="search"):
    """`cofront search`: the Pareto front, fastest design first.

    `gap` (a fraction) is certified: no design of the space exceeds the front's accuracy at any latency by more.
    `designs` is how many (network, precision, accelerator) triples that statement covers. A heuristic has status
    "heuristic" and no gap: `designs` is how many it tried, and nothing is known of the others.
    """

    accelerator: str = "subgraph"
    predictor: str = "additive"
    status: str
    space: str
    device: str
    precisions: list[str]
    clock_hz: float
    method: str
    grid: str
    budget: dict[str, int]
    front: list[Design]
    gap: float | None
    designs: int
    solve_s: float
    bound: list[Step] = []
    chosen: int | None = None
    knee: int | None = None
    third: str | None = None
    third_levels: list[float] = []
    required_fps: float | None = None
    required_accuracy: float | None = None
    accuracy_source: str = ""
    accuracy_note: str = ""
    infeasible: list[Limit] = []
    cover: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    study: str | None = None
    report: str | None = None
    left_out: list[str] = []
    notes: list[str] = []
    stats: dict[str, float] = {}


class DesignDocument(Document, frozen=True, kw_only=True, tag="design"):
    """One design in a file: what `export`, `train` and `evaluate` take."""

    accelerator: str = "subgraph"
    device: str
    clock_hz: float
    design: Design
    space: str = ""
    network: str = ""
    precision: str = ""
    provenance: dict[str, Any] = {}


class AcceleratorDocument(Document, frozen=True, kw_only=True, tag="accelerator"):
    """The accelerator of one design and the schedule of its calls."""

    family: str
    device: str
    clock_hz: float
    config: dict[str, Any]
    resources: dict[str, int]
    budget: dict[str, int]
    calls: list[Call]
    provenance: dict[str, Any] = {}


class AccuracyDocument(Document, frozen=True, kw_only=True, tag="accuracy"):
    """`cofront train` and `cofront evaluate`: accuracies are fractions of `images` test images."""

    verb: str
    design: str
    task: str
    images: int
    accuracies: dict[str, float]
    seconds: float
    predicted: float | None = None
    files: dict[str, str] = {}
    note: str = ""


class ExportDocument(Document, frozen=True, kw_only=True, tag="export"):
    design: str
    files: dict[str, str]
    left_out: list[str] = []


class ReportDocument(Document, frozen=True, kw_only=True, tag="report"):
    study: str
    report: str
    runs: int
    designs: int


class PredictorScore(Part, frozen=True, kw_only=True):
    """How well one predictor did: means over the draws and half widths of 95 % intervals (`null` for one draw).

    `mae` is in seconds or joules, `within_5` and `within_10` shares of networks predicted to within 5 and 10 %,
    `coverage` the share within 1.96 predicted standard deviations; times are per draw.
    """

    predictor: str
    spearman: float
    kendall: float
    mape: float | None
    mae: float
    within_5: float | None
    within_10: float | None
    coverage: float
    fit_s: float
    predict_s: float
    spearman_half: float | None = None
    kendall_half: float | None = None
    mape_half: float | None = None


class PredictorDocument(Document, frozen=True, kw_only=True, tag="predictor"):
    """`cofront evaluate-predictor`: learnt from `samples` rows of a table, scored on `n_test` others."""

    space: str
    table: str
    target: str
    quantity: str
    rows: int
    left_out: int
    samples: int
    n_test: int
    draws: int
    seed: int
    trim: float
    score: PredictorScore
    baselines: list[PredictorScore] = []
    known: list[str] = []
    seconds: float = 0.0
    notes: list[str] = []


class ParetoPoint(Part, frozen=True, kw_only=True):
    """One network of an exact front; `row` of the table, from 0, `ties` other rows with the same two values."""

    row: int
    cost: float
    accuracy: float
    choices: dict[str, Any]
    ties: int = 0


class SearchTrace(Part, frozen=True, kw_only=True):
    """What a search finds of the exact front in so many evaluations; medians over `runs`.

    `share` of the front's points found; `hypervolume` relative to the exact front's; `to_all` evaluations until the
    whole front is found, `null` where it was not.
    """

    search: str
    evaluations: int
    runs: int
    share: float
    hypervolume: float
    to_half: float | None = None
    to_all: float | None = None


class ParetoDocument(Document, frozen=True, kw_only=True, tag="pareto"):
    """`cofront pareto`: the exact front of a full table, cheapest first."""

    space: str
    table: str
    accuracy: str
    cost: str
    cost_better: str
    rows: int
    left_out: int
    front: list[ParetoPoint]
    searches: list[SearchTrace] = []
    seconds: float = 0.0
    notes: list[str] = []


_KINDS: tuple[type[Document], ...] = (
    EstimateDocument,
    FitDocument,
    SearchDocument,
    DesignDocument,
    AcceleratorDocument,
    NetworkDocument,
    DeviceDocument,
    SpaceDocument,
    AccuracyDocument,
    ExportDocument,
    ReportDocument,
    PredictorDocument,
    ParetoDocument,
)


def __getattr__(name: str) -> Any:
    """`KINDS`: every kind of document; some are in modules that build on this one."""
    if name != "KINDS":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from cofront.study import built

    return (*_KINDS, *built.KINDS)


D = TypeVar("D", bound=Document)


def clean(value: Any) -> Any:
    """Plain JSON values: NumPy scalars and tuples become numbers and lists; NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return clean(value.tolist())
    return str(value)


def to_json(document: Document | Part | Sequence[Document], indent: int | None = 2) -> str:
    """The document, or the list of documents, as JSON text."""
    return json.dumps(clean(msgspec.to_builtins(document)), indent=indent, ensure_ascii=False, allow_nan=False)


def from_json(text: str | bytes, kind: type[D], where: str) -> D:
    """The document of type `kind` in `text`, or an InputError that names `where` and what is wrong."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON document ({_short(error)})") from None
    return read_document(raw, kind, where)


def read_document(raw: object, kind: type[D], where: str) -> D:
    """As `from_json`, for JSON that was parsed already."""
    tag = str(kind.__struct_config__.tag)
    if not isinstance(raw, dict) or "kind" not in raw or "schema" not in raw:
        raise InputError(f"{where}: not a cofront document; expected a '{tag}' with the keys 'kind' and 'schema'")
    if raw["kind"] != tag:
        raise InputError(f"{where}: a cofront document of kind '{_short(raw['kind'])}', expected '{tag}'")
    if raw["schema"] != SCHEMA:
        raise InputError(
            f"{where}: schema version {_short(raw['schema'])}, this cofront reads {SCHEMA}; write the file again with "
            f"cofront {__version__}"
        )
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"{where}: {_short(error)}") from None


def _short(value: object) -> str:
    return str(value).splitlines()[0][:120] if str(value) else type(value).__name__


def json_schemas() -> dict[str, dict[str, Any]]:
    """Kind -> JSON Schema (2020-12)."""
    out = {}
    for kind in __getattr__("KINDS"):
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
