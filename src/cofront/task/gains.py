"""Gains between two tensors as the integers of the common rounding: multipliers over one power of two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError

MULTIPLIER_BITS = 15
MAX_SHIFT = 46


def fixed_gains(gain: npt.NDArray[np.floating[Any]], where: str = "") -> tuple[npt.NDArray[np.int32], int]:
    """Gains (c,) of either sign as integers over one power of two; the greatest uses all 15 bits.

    An InputError, which begins with `where`, when the greatest is not finite, 0, or too large.
    """
    most = float(np.abs(gain).max())
    if not (math.isfinite(most) and most > 0):
        raise InputError(f"{where}a gain of {most} between two tensors")
    shift = min(MAX_SHIFT, MULTIPLIER_BITS - math.frexp(most)[1])
    if shift < 1:
        raise InputError(f"{where}a gain of {most:.3g} between two tensors has no 15-bit multiplier")
    m = np.minimum(np.floor(np.abs(gain) * 2.0**shift + 0.5), 2**MULTIPLIER_BITS - 1)
    return np.where(gain < 0, -m, m).astype(np.int32), shift
