"""Tables of measured accuracies for a Space, from Parquet, CSV or JSON; everything in them is checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cofront.errors import InputError, UsageError
from cofront.predict.base import FloatArray
from cofront.predict.columnfile import in_file, read_columns
from cofront.space import Points, Space
from cofront.space.repeats import contradiction

#: Names under which an accuracy is looked for, the first found wins.
ACCURACY_COLUMNS = (
    "val_accuracy",
    "accuracy",
    "test_accuracy",
    "imagenet_top1",
    "top1_accuracy",
    "top1",
    "val_acc",
    "test_acc",
    "acc",
)
N_VAL = "n_val"
#: Accuracies of one network that are this far apart contradict each other; runs with other seeds are nearer.
FAR = 0.05


@dataclass(frozen=True)
class AccuracyTable:
    """n measurements: canonical points of `space` and accuracies as fractions; `n_val` images each, if known."""

    space: Space
    points: Points  # (n, d)
    accuracy: FloatArray  # (n,)
    n_val: int | None
    source: str
    column: str

    @property
    def precisions(self) -> dict[str, tuple[str, ...]]:
        """Block -> precisions that were measured; none for a block that no measured network has."""
        return self.space.precisions_of(self.points)

    def unmeasured(self) -> tuple[str, ...]:
        """Options that occur in no row, as "choice=value", precisions aside: the model knows nothing of them."""
        out = []
        for j, choice in enumerate(self.space.choices):
            if not choice.name.endswith("_bits"):
                seen = set(np.unique(self.points[:, j]).tolist())
                out += [f"{choice.name}={o}" for i, o in enumerate(choice.options) if i not in seen]
        return tuple(out)


def read_table(path: str | Path, space: Space, accuracy_column: str | None = None) -> AccuracyTable:
    """The table in a .parquet, .csv or .json file.

    JSON is a list of objects or an object of lists. Accuracies are fractions or percent, told apart by their range.
    """
    path = Path(path)
    wanted = {*space.table_columns(), *ACCURACY_COLUMNS, N_VAL, *filter(None, [accuracy_column])}
    columns, names = read_columns(path, wanted)
    has = (
        f"the file has the columns {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
        if names
        else "the file has no columns at all"
    )
    name = accuracy_column or next((n for n in ACCURACY_COLUMNS if n in columns), "")
    if not name:
        known = ", ".join(ACCURACY_COLUMNS[:4])
        raise InputError(f"{path}: no accuracy column ({known}, ...); {has}; name one with --accuracy-column")
    if name not in columns:
        raise UsageError(f"{path}: no accuracy column '{name}'; {has}")
    if not len(columns[name]):
        raise InputError(f"{path}: the table has no rows")
    try:
        found, points = space.from_table(columns)
        accuracy = _fractions(name, columns[name])
        n_val = _n_val(columns[N_VAL]) if N_VAL in columns else None
        if (pair := contradiction(points, accuracy, difference=FAR)) is not None:
            a, b = pair
            raise InputError(
                f"column '{name}', rows {a} and {b}: {accuracy[a]:.4g} and {accuracy[b]:.4g} for one and the same "
                "network; keep one row of it"
            )
    except InputError as error:
        raise in_file(path, error) from None
    return AccuracyTable(found, points, accuracy, n_val, str(path), name)


def _fractions(name: str, column: Sequence[object]) -> FloatArray:
    values = np.array([_number(name, i, v) for i, v in enumerate(column)])
    bad = np.flatnonzero((values < 0) | (values > 100))
    if len(bad):
        raise InputError(f"column '{name}', row {bad[0]}: {values[bad[0]]:g} is neither a fraction nor a percentage")
    if (values <= 1).all():
        return values
    small = np.flatnonzero(values <= 1)
    if len(small):
        large = int(np.argmax(values))
        raise InputError(
            f"column '{name}': {values[small[0]]:g} in row {small[0]} looks like a fraction, {values[large]:g} in row "
            f"{large} like a percentage; give all as fractions"
        )
    return values / 100


def _number(name: str, row: int, value: object) -> float:
    number = math.nan
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        got = "an empty cell" if value is None or value == "" else f"{str(value)!r:.40}"
        raise InputError(f"column '{name}', row {row}: expected a number, got {got}")
    return number


def _n_val(column: Sequence[object]) -> int:
    least = min(_number(N_VAL, i, v) for i, v in enumerate(column))
    if least < 1 or not least.is_integer():
        raise InputError(f"column '{N_VAL}': expected numbers of images, got {least:g}")
    return int(least)
