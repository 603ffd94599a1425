"""The adder layers' loops compiled: each difference is used where it is made, so that memory holds none of them.

Sums may be reordered (they are vectorised) but NaN and infinities are what they are. The inner loop is the longer one.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FLAGS = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS)
def forward(x: Floats, w: Floats, turned: Floats, out: Floats) -> None:
    """out (r, o) = -sum_k |x (r, k) - w (o, k)|; `turned` is w.T, contiguous."""
    rows, terms = x.shape
    outs = len(w)
    for r in range(rows):
        if terms >= outs:
            for o in range(outs):
                total = np.float32(0)
                for k in range(terms):
                    total += abs(x[r, k] - w[o, k])
                out[r, o] = -total
        else:
            out[r, :] = np.float32(0)
            for k in range(terms):
                here = x[r, k]
                for o in range(outs):
                    out[r, o] -= abs(here - turned[k, o])


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS)
def backward(x: Floats, w: Floats, turned: Floats, g: Floats, out: Floats) -> None:
    """out (r, k) = sum_o g (r, o) hardtanh(w (o, k) - x (r, k))."""
    rows, terms = x.shape
    outs = len(w)
    low, high = np.float32(-1), np.float32(1)
    for r in range(rows):
        if outs >= terms:
            for k in range(terms):
                here = x[r, k]
                total = np.float32(0)
                for o in range(outs):
                    d = turned[k, o] - here
                    d = low if d < low else d
                    d = high if d > high else d
                    total += g[r, o] * d
                out[r, k] = total
        else:
            out[r, :] = np.float32(0)
            for o in range(outs):
                weight = g[r, o]
                for k in range(terms):
                    d = w[o, k] - x[r, k]
                    d = low if d < low else d
                    d = high if d > high else d
                    out[r, k] += weight * d


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS)
def channels_forward(x: Floats, w: Floats, out: Floats, sh: int, sw: int, dh: int, dw: int) -> None:
    """out (n, c, h, w) = -sum over the kernel of |x - w (c, kh, kw)|, channel by channel; x is padded."""
    for n in range(out.shape[0]):
        for c in range(out.shape[1]):
            for i in range(out.shape[2]):
                row = out[n, c, i]
                row[:] = np.float32(0)
                for u in range(w.shape[1]):
                    source = x[n, c, i * sh + u * dh]
                    for v in range(w.shape[2]):
                        here = w[c, u, v]
                        if sw == 1:  # contiguous, so that it is vectorised
                            seen = source[v * dw : v * dw + len(row)]
                            for j in range(len(row)):
                                row[j] -= abs(seen[j] - here)
                        else:
                            for j in range(len(row)):
                                row[j] -= abs(source[j * sw + v * dw] - here)


@numba.njit(cache=True, nogil=True, fastmath=_FLAGS)
def channels_backward(
    x: Floats, w: Floats, g: Floats, of_x: Floats, of_w: Floats, sh: int, sw: int, dh: int, dw: int
) -> None:
    """of_x += g hardtanh(w - x) and of_w += g (x - w); both come as zeros."""
    low, high = np.float32(-1), np.float32(1)
    for n in range(g.shape[0]):
        for c in range(g.shape[1]):
            for i in range(g.shape[2]):
                row = g[n, c, i]
                for u in range(w.shape[1]):
                    source, target = x[n, c, i * sh + u * dh], of_x[n, c, i * sh + u * dh]
                    for v in range(w.shape[2]):
                        here, total = w[c, u, v], np.float32(0)
                        if sw == 1:
                            seen = source[v * dw : v * dw + len(row)]
                            into = target[v * dw : v * dw + len(row)]
                            for j in range(len(row)):
                                total -= row[j] * (here - seen[j])
                            for j in range(len(row)):
                                d = here - seen[j]
                                d = low if d < low else d
                                d = high if d > high else d
                                into[j] += row[j] * d
                        else:
                            for j in range(len(row)):
                                d = here - source[j * sw + v * dw]
                                total -= row[j] * d
                                d = low if d < low else d
                                d = high if d > high else d
                                target[j * sw + v * dw] += row[j] * d
                        of_w[c, u, v] += total
