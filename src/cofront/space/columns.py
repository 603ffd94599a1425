"""Columns of a table -> points: one column per choice, holding option numbers or the option values themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.space.base import PRECISIONS, Choice, Points, Space

Columns = Mapping[str, Sequence[object]]

MISSING = -1  # no entry: fine for a block that the network does not have
FOREIGN = -2  # an entry that is no option


def points_from_columns(space: Space, columns: Columns) -> Points:
    """(n, d) canonical points, for columns of n entries. Precisions that have no column are W8A8; a choice with one
    option needs none.

    A table holds either option numbers (0, 1, ...) or values (24, "dw3e2", "W4A8") throughout, never both: it is read
    in the way that fits more of it, as numbers if both do.
    """
    needed = [c for c in space.choices if c.name not in columns and not _optional(c)]
    if needed:
        raise InputError(f"no column {_some([c.name for c in needed])}, which space '{space.name}' needs")
    present = [(j, c) for j, c in enumerate(space.choices) if c.name in columns]
    n = len(next(iter(columns.values()), ()))  # also where no choice needs a column
    numbers, values = ({j: read(c, columns[c.name]) for j, c in present} for read in (_as_numbers, _as_values))
    misfits = [sum(int((a == FOREIGN).sum()) for a in read.values()) for read in (numbers, values)]
    chosen, way = (numbers, "numbers") if misfits[0] <= misfits[1] else (values, "values")
    points = np.zeros((n, len(space.sizes)), np.int64)
    for j, choice in present:
        bad = np.flatnonzero(chosen[j] == FOREIGN)
        if len(bad):
            options = _some(choice.options) if way == "values" else f"0 to {len(choice.options) - 1}"
            raise InputError(
                f"column '{choice.name}', row {bad[0]}: {columns[choice.name][bad[0]]!r:.40} is outside space "
                f"'{space.name}'; expected {options} (the table holds option {way})"
            )
        points[:, j] = chosen[j]
    return _without_gaps(space, points)


def _optional(choice: Choice) -> bool:
    return len(choice.options) == 1 or all(o in PRECISIONS for o in choice.options)


def _without_gaps(space: Space, points: Points) -> Points:
    """Canonical points; a missing entry is an error where it matters."""
    gaps = points == MISSING
    if not gaps.any():
        return space.canonical(points)
    low = space.canonical(np.where(gaps, 0, points))
    high = space.canonical(np.where(gaps, space.sizes - 1, points))
    bad = np.argwhere(low != high)
    if len(bad):
        i, j = bad[0]
        raise InputError(f"column '{space.choices[j].name}', row {i}: no entry, but the network of this row needs one")
    return low


def _as_numbers(choice: Choice, column: Sequence[object]) -> NDArray[np.int64]:
    return _lookup({i: i for i in range(len(choice.options))}, column)


def _as_values(choice: Choice, column: Sequence[object]) -> NDArray[np.int64]:
    return _lookup({_key(o): i for i, o in enumerate(choice.options)}, column)


def _lookup(table: Mapping[object, int], column: Sequence[object]) -> NDArray[np.int64]:
    return np.fromiter((table.get(_key(v), FOREIGN) if not _is_gap(v) else MISSING for v in column), np.int64)


def _key(value: object) -> object:
    """Numbers that are whole as int, text without surrounding space; anything else matches nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return value if isinstance(value, int | np.integer) else None


def _is_gap(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _some(names: Sequence[object], most: int = 8) -> str:
    shown = ", ".join(str(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") if names else "none"
