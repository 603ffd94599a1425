"""Parquet, CSV and JSON files as columns of plain Python values; whatever is wrong with one is an InputError."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

from cofront.errors import InputError, UsageError

MAX_ROWS = 5_000_000
#: The column that an object of objects in JSON gets for its keys.
ROW_NAME = "arch"
_SHAPES = "expected a list of objects, or an object of lists or of objects"
Columns = dict[str, Sequence[object]]


def read_columns(path: Path, wanted: set[str]) -> tuple[Columns, tuple[str, ...]]:
    """The wanted columns that the file has, all of one length, and the names of all its columns."""
    readers = {".parquet": _read_parquet, ".csv": _read_csv, ".json": _read_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: expected a table ending in {', '.join(readers)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        columns, names = reader(path, wanted)
    # OverflowError, UnicodeError, JSONDecodeError and the like are among these; nothing else is computed inside
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}") from None
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        raise InputError(f"{path}: its columns have different lengths, {sorted(lengths)}")
    return columns, names


def in_file(path: Path, error: InputError) -> InputError:
    """The error of a table's contents with its file; rows, which are counted from 0, as the lines of a CSV file."""
    text = str(error)
    lines = _lines(path) if path.suffix.lower() == ".csv" and _ROWS.search(text) else []

    def place(found: re.Match[str]) -> str:
        plural, *rows = found[1], *(int(n) for n in found.groups()[1:] if n is not None)
        if all(r < len(lines) for r in rows):
            return f"line{plural} {' and '.join(str(lines[r]) for r in rows)}"
        return f"{found[0]} (from 0)"

    return InputError(f"{path}: {_ROWS.sub(place, text)}")


_ROWS = re.compile(r"\brow(s?) (\d+)(?: and (\d+))?")


def _lines(path: Path) -> list[int]:
    """The line of each row of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            next(rows, None)
            return [rows.line_num for row in rows if row]
    except (OSError, ValueError, csv.Error):
        return []


def _read_parquet(path: Path, wanted: set[str]) -> tuple[Columns, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            if file.metadata.num_rows > MAX_ROWS:
                raise ValueError(f"{file.metadata.num_rows} rows, at most {MAX_ROWS} are supported")
            table = file.read(columns=[n for n in names if n in wanted])
        # a nested field may share its root's name with a wanted column: keep exact names only, each once
        return {n: table.column(n).to_pylist() for n in table.column_names if n in wanted}, names
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def _read_csv(path: Path, wanted: set[str]) -> tuple[Columns, tuple[str, ...]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, strict=True)
        try:
            names = tuple(n.strip() for n in next(rows, []))
            if len(set(names)) < len(names):
                raise ValueError("two columns have the same name")
            kept = [(i, n) for i, n in enumerate(names) if n in wanted]
            columns: dict[str, list[object]] = {n: [] for _, n in kept}
            for row in rows:
                if not row:
                    continue
                if len(row) != len(names):
                    raise ValueError(f"line {rows.line_num} has {len(row)} fields, the header {len(names)}")
                for i, name in kept:
                    columns[name].append(_cell(row[i]))
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from None
    return dict(columns), names


def _cell(text: str) -> object:
    """A number, a list, nothing, or the text itself."""
    text = text.strip()
    if not text:
        return None
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            pass
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def _read_json(path: Path, wanted: set[str]) -> tuple[Columns, tuple[str, ...]]:
    data = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(data, dict) and data and all(isinstance(c, dict) for c in data.values()):
        data = [{ROW_NAME: name, **row} for name, row in data.items()]
    if isinstance(data, dict):
        if not all(isinstance(c, list) for c in data.values()):
            raise ValueError(_SHAPES)
        return {str(n): c for n, c in data.items() if n in wanted}, tuple(data)
    if not isinstance(data, list) or not all(isinstance(r, dict) for r in data):
        raise ValueError(_SHAPES)
    names = tuple(dict.fromkeys(n for row in data for n in row))
    return {n: [row.get(n) for row in data] for n in names if n in wanted}, names
