"""Weights that are powers of two, and sums of absolute differences, in NumPy: what shift and adder layers compute.

A shift weight of b bits is a sign and a number of places, 0 to 2^(b - 1) - 1, to shift to the right: it stands for
sign * 2^-places [DeepShift21]. There is no code for zero: what is smaller than the least power becomes the least
power, and zero counts as positive (ours).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError

#: Bits of a shift or adder layer's weights where a network does not say: NASA's default.
WEIGHT_BITS = 6

#: A mantissa in [.5, 1) of at least this much rounds up in the logarithm.
HALF_WAY = np.float32(0.5**0.5)

Floats = NDArray[np.floating[Any]]


def most_places(bits: int) -> int:
    """The most places that a shift weight of so many bits can say."""
    if not 2 <= bits <= 8:
        raise InputError(f"a shift weight has 2 to 8 bits, got {bits}")
    return int(2 ** (bits - 1) - 1)


def shift_codes(weight: Floats, bits: int = WEIGHT_BITS) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
    """Sign (+1 or -1) and places of each weight: round(-log2 |w|), clipped to what the bits can say."""
    mantissa, exponent = np.frexp(np.asarray(weight, np.float32))
    places = -exponent + (np.abs(mantissa) < HALF_WAY)
    places = np.where(mantissa == 0, most_places(bits), places)
    sign = np.where(mantissa < 0, -1, 1)
    return sign.astype(np.int8), np.clip(places, 0, most_places(bits)).astype(np.int16)


def power_of_two(weight: Floats, bits: int = WEIGHT_BITS) -> NDArray[np.float32]:
    """The weights rounded to signed powers of two; rounding again changes nothing."""
    sign, places = shift_codes(weight, bits)
    return np.ldexp(sign.astype(np.float32), -places.astype(np.int32)).astype(np.float32)


def adder(patches: Floats, weight: Floats) -> Floats:
    """-sum |patch - weight|: patches (n, c, h, w, kh, kw), weight (o, c, kh, kw) -> (n, o, h, w)."""
    n, _, h, w = patches.shape[:4]
    columns = patches.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, -1)
    out = np.empty((n, len(weight), h, w), patches.dtype)
    for o, row in enumerate(weight.reshape(len(weight), -1)):
        out[:, o] = -np.abs(columns - row).sum(-1)
    return out
