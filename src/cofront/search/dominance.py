"""Which of many (cost, value) pairs make the front: cost is to be small, value large."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def non_dominated(cost: NDArray[Any], value: NDArray[Any]) -> NDArray[np.int64]:
    """Indices of the pairs (n,) that no other beats in one and equals in the other, cheapest first.

    Of equal pairs the first counts.
    """
    order = np.lexsort((np.arange(len(cost)), -value, cost))
    best = np.maximum.accumulate(value[order])
    first = np.ones(len(order), dtype=bool)
    first[1:] = best[1:] > best[:-1]
    return np.asarray(order[first], dtype=np.int64)
