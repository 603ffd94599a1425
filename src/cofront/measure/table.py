"""Tables of what was measured, in the layouts that `cofront.hardware.tables` reads, and what a table says of itself.

A description (the machine, how it was measured, what is fitted) is metadata of a Parquet file, and lies beside a CSV or
JSON file as `<file>.description.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cofront.errors import InputError, UsageError
from cofront.measure.base import Item
from cofront.measure.overhead import FloatArray, Overhead, fit_overhead
from cofront.measure.statistics import Timing
from cofront.network import Network
from cofront.rights import move_into_place
from cofront.space.base import Space
from cofront.space.work import WORK, network_work

SUFFIXES = (".parquet", ".csv", ".json")
_KEY = b"cofront"


def edge_elements(network: Network, batch: int = 1) -> int:
    """Elements of the tensors at the edges of a fragment."""
    ends = (network.input.name, network.output.name)
    return batch * sum(math.prod(network.shapes[e]) for e in ends)


def network_terms(parts: Sequence[Sequence[Network]], seconds: Mapping[str, float], batch: int, key: Any) -> FloatArray:
    """(n, 3) sums over each network's parts: seconds, operators, elements at their edges."""
    rows = [
        [sum(seconds[key(p)] for p in each), len(each), sum(edge_elements(p, batch) for p in each)] for each in parts
    ]
    return np.array(rows, float).reshape(len(rows), 3)


def operator_columns(
    items: Sequence[Item], timing: Mapping[str, Timing], overhead: Overhead, batch: int
) -> dict[str, list[Any]]:
    """The operator table: corrected latencies, what was measured, and the work of each operator."""
    found = [timing[i.id] for i in items]
    measured = np.array([t.median_s for t in found])
    elements = np.array([edge_elements(i.network, batch) for i in items], float)
    corrected = overhead.operator(measured, elements)
    work = np.array([network_work(i.network) for i in items]) * 1.0
    columns: dict[str, list[Any]] = {
        "operator": ["", *(i.key for i in items)],
        "latency_ms": [1e3 * overhead.base_s, *(1e3 * corrected)],
        "label": ["every network", *(i.label for i in items)],
        "measured_ms": [None, *(1e3 * measured)],
        "low_ms": [None, *(1e3 * t.low_s for t in found)],
        "high_ms": [None, *(1e3 * t.high_s for t in found)],
        "visits": [0, *(t.visits for t in found)],
        "runs": [0, *(t.runs for t in found)],
        "outliers": [0, *(t.outliers for t in found)],
        "edge_elements": [0, *map(int, elements)],
    }
    return columns | {name: [0, *map(int, work[:, j])] for j, name in enumerate(WORK)}


def network_columns(
    space: Space, items: Sequence[Item], timing: Mapping[str, Timing], device: str
) -> dict[str, list[Any]]:
    """The table of whole networks: the space's choices and the latency on `device`."""
    found = [timing[i.id] for i in items]
    points = [space.describe(np.array(i.point)) for i in items]
    columns: dict[str, list[Any]] = {c.name: [_plain(p[c.name]) for p in points] for c in space.choices}
    return columns | {
        f"lat_ms_{device}": [1e3 * t.median_s for t in found],
        "low_ms": [1e3 * t.low_s for t in found],
        "high_ms": [1e3 * t.high_s for t in found],
        "visits": [t.visits for t in found],
        "runs": [t.runs for t in found],
        "outliers": [t.outliers for t in found],
    }


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def check_name(path: Path) -> None:
    """UsageError for a table that could not be written: before anything is measured."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"'{path}': a table's name ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"'{path}': there is no folder '{path.parent}'")


def beside(path: Path) -> Path:
    """Where the description of a CSV or JSON table lies."""
    return path.with_name(path.name + ".description.json")


def write_table(path: Path, columns: Mapping[str, Sequence[Any]], description: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    text = json.dumps(description, indent=1)
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            table = pa.table(dict(columns))
            pq.write_table(table.replace_schema_metadata({_KEY: text.encode()}), part)
        elif path.suffix.lower() == ".csv":
            import csv

            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(["" if v is None else v for v in row] for row in zip(*columns.values(), strict=True))
        else:
            part.write_text(json.dumps({k: list(v) for k, v in columns.items()}) + "\n", encoding="utf-8")
        if path.suffix.lower() != ".parquet":
            beside(path).write_text(text + "\n", encoding="utf-8")
        move_into_place(part, path)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def read_description(path: Path) -> dict[str, Any]:
    """What a table says of itself; {} for a table that is not ours."""
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                text = (pq.read_schema(path).metadata or {}).get(_KEY, b"{}").decode()
            except pa.ArrowException as error:
                raise InputError(f"'{path}' cannot be read as Parquet: {error}") from None
        else:
            text = beside(path).read_text(encoding="utf-8") if beside(path).is_file() else "{}"
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}': its description cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def fitted(
    networks: Sequence[Item], parts: Sequence[Sequence[Network]], operators: Sequence[Item],
    timing: Mapping[str, Timing], batch: int,
) -> Overhead:  # fmt: skip
    """The overhead model of measured networks, whose `parts` are all among `operators`."""
    from cofront.hardware.tables import operator_key

    seconds = {i.key: timing[i.id].median_s for i in operators}
    terms = network_terms(parts, seconds, batch, operator_key)
    each = np.array([(timing[i.id].median_s, edge_elements(i.network, batch)) for i in operators], float)
    return fit_overhead(terms, np.array([timing[i.id].median_s for i in networks]), each)
