"""The exact integer resize of input images: part of what the integer network computes.

Separable triangle filter, wide enough not to alias; the weights of each output pixel are integers that sum to 128, so
that two passes of 8-bit pixels stay below 2^22 and are exact in float32 too, in any order of summation.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

#: The network input is the resized uint8 image q; its real value is (q - zero) * scale.
INPUT_ZERO = 128
INPUT_SCALE = 1.0 / 64


@lru_cache
def resize_matrix(source: int, target: int) -> npt.NDArray[np.int64]:
    """Weights (target, source); every row sums to 128."""
    ratio = source / target
    centre = (np.arange(target) + 0.5) * ratio
    w = np.maximum(0.0, 1 - np.abs(np.arange(source) + 0.5 - centre[:, None]) / max(ratio, 1.0))
    w = w / w.sum(1, keepdims=True) * 128
    q = np.floor(w + 0.5).astype(np.int64)
    q[np.arange(target), w.argmax(1)] += 128 - q.sum(1)
    out: npt.NDArray[np.int64] = q
    return out


def resize_images(x: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Images (n, h, w, c) to (n, side, side, c): (rows x cols^T + 8192) >> 14 in integers."""
    if x.shape[1:3] == (side, side):
        return x
    rows = resize_matrix(x.shape[1], side).astype(np.float32)
    cols = resize_matrix(x.shape[2], side).astype(np.float32)
    y = np.einsum("ih,nhwc->niwc", rows, x.astype(np.float32), optimize=True)
    y = np.einsum("jw,niwc->nijc", cols, y, optimize=True)
    out: npt.NDArray[np.uint8] = ((y.astype(np.int64) + 8192) >> 14).astype(np.uint8)
    return out
