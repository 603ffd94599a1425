"""What predictors of latency see of a network: its choices, one column per option, then its totals of work."""

from __future__ import annotations

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, one_hot
from cofront.space import Points, Space


def latency_columns(space: Space, points: Points) -> FloatArray:
    """(n, f + w): (n, f) one-hot choices and (n, w) totals of work (`Space.work`)."""
    return np.concatenate([one_hot(space, points), space.work(points)], axis=1)


def check_columns(x: FloatArray, columns: int, what: str) -> FloatArray:
    """x as float64 (n, `columns`), or an InputError."""
    x = np.asarray(x, float)
    if x.ndim != 2 or x.shape[1] != columns:
        raise InputError(f"{what}: expected (n, {columns}) columns, got {x.shape}")
    return x


def check_variety(x: FloatArray, y: FloatArray, what: str) -> None:
    """InputError when nothing can be learnt: all rows or all measurements alike."""
    if np.ptp(x, axis=0).max(initial=0.0) == 0 or np.ptp(y) == 0:
        raise InputError(f"{what}: all measurements are alike, there is nothing to learn from them")
