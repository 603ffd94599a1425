"""Measured latency or energy of whole networks: a table with a space's columns and one column per device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError, unknown_name
from cofront.hardware.tables.units import (
    KNOWN_LATENCY_S,
    Quantity,
    check_magnitude,
    column_numbers,
    parse_column,
)
from cofront.space import Points, Space
from cofront.space.columnfile import in_file, read_columns
from cofront.space.repeats import contradiction

#: Measurements of one network that are this many times apart contradict each other.
FAR = 2.0


@dataclass(frozen=True)
class MeasuredTable:
    """n rows of the file: points of `space` and values in SI units, one column per quantity.

    `values[name]` is (n,) with NaN where the file has no entry; `rows` are the row numbers in the file.
    """

    space: Space
    points: Points  # (n, d)
    values: dict[str, NDArray[np.float64]]
    quantities: dict[str, Quantity]
    source: str

    def __len__(self) -> int:
        return len(self.points)

    def column(self, name: str) -> NDArray[np.float64]:
        """(n,) one column; an unknown name is a UsageError with the nearest ones."""
        if name not in self.values:
            raise unknown_name("column", name, self.values)
        return self.values[name]

    def measured(self, name: str) -> NDArray[np.bool_]:
        """(n,) which rows have an entry."""
        return np.isfinite(self.column(name))


def read_measured(
    path: str | Path,
    space: Space,
    columns: Sequence[str],
    *,
    unit: str | None = None,
    drop_negative: bool = False,
    any_magnitude: bool = False,
) -> MeasuredTable:
    """The named columns of a .parquet, .csv or .json file that also has the columns of `space`.

    Units come from the columns' names (`lat_ms_x`, `energy_mJ_x`) or from `unit`. NaN, negative values,
    medians that no known device comes near, and networks measured twice that are `FAR` apart are InputErrors of one
    line; a column that is not there is a UsageError.
    """
    path = Path(path)
    quantities = {name: parse_column(name, unit) for name in columns}
    found, names = read_columns(path, {*space.table_columns(), *columns})
    for name in columns:
        if name not in found:
            raise UsageError(f"{path}: {unknown_name('column', name, names)}")
    if not len(found[columns[0]] if columns else ()):
        raise InputError(f"{path}: the table has no rows")
    try:
        actual, points = space.from_table({k: v for k, v in found.items() if k not in columns})
        values = {name: column_numbers(name, found[name], drop_negative=drop_negative) for name in columns}
        for name, column in values.items():
            here = column[np.isfinite(column)]
            if not len(here):
                raise InputError(f"column '{name}': no row has an entry")
            if not any_magnitude:
                check_magnitude(name, here, quantities[name], KNOWN_LATENCY_S.get(space.name.partition("@")[0]))
            if (pair := contradiction(points, column, ratio=FAR)) is not None:
                a, b = pair
                raise InputError(
                    f"column '{name}', rows {a} and {b}: {column[a]:g} and {column[b]:g} for one and the same network; "
                    "keep one row of it"
                )
    except InputError as error:
        raise in_file(path, error) from None
    scaled = {name: column * quantities[name].scale for name, column in values.items()}
    return MeasuredTable(actual, points, scaled, quantities, str(path))
