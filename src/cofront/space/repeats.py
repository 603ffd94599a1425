"""Networks that a table measures more than once: whether the measurements agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cofront.space.base import Points


def contradiction(
    points: Points, values: NDArray[np.float64], *, ratio: float = np.inf, difference: float = np.inf
) -> tuple[int, int] | None:
    """Rows of one network whose values are more than `ratio` times or `difference` apart: the first such pair.

    `points` (n, d) are canonical; `values` (n,) may be NaN where there is none.
    """
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) < 2:
        return None
    order = rows[np.lexsort((values[rows], *points[rows].T))]  # by network, then by value
    first = np.r_[True, np.any(points[order[1:]] != points[order[:-1]], axis=1)]
    starts = np.flatnonzero(first)
    low, high = order[starts], order[np.r_[starts[1:], len(order)] - 1]
    apart = (values[high] > ratio * values[low]) | (values[high] - values[low] > difference)
    if not apart.any():
        return None
    i = int(np.argmax(apart))
    return int(min(low[i], high[i])), int(max(low[i], high[i]))
