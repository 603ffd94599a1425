"""Multipliers and the windows of cost in which each of them prunes; thresholds from the designs known so far.

The front so far is a step function F: the best score known at cost <= T. The windows part the integers T among the
multipliers (alpha, lam). A design (cost, score) with cost in window w that improves on F there has
score >= F(cost) + 1, hence

    alpha * score - lam * cost >= threshold_w = min over T in w of alpha * (F(T) + 1) - lam * T.

An accelerator whose bound L_w = max alpha * score - lam * cost stays below threshold_w therefore improves nothing in w.
Everything is an integer; where the windows end is a heuristic choice and affects speed only.

The first window has alpha = 0 (below the cheapest known design only the least cost counts), the last one lam = 0.
Windows come in chunks of LANES; a chunk has one multiplier of its own for a quick look at all of its windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.errors import UnsupportedError
from cofront.search.exact.joint.lagrange import CLOSED, NEG, Coarse, Fine

I64 = NDArray[np.int64]
#: No limit on the cost.
ENDLESS = 1 << 60
#: Fine windows per chunk.
LANES = 8
_BITS = 13


@dataclass(frozen=True)
class Windows:
    """Chunk multipliers (c,), fine multipliers (c, LANES), and the cost range [low, high] of each, same shapes."""

    alpha: I64
    lam: I64
    low: I64
    high: I64
    fine_alpha: I64
    fine_lam: I64
    fine_low: I64
    fine_high: I64

    @property
    def chunks(self) -> int:
        return len(self.alpha)

    def coarse(self, cost: I64, score: I64) -> Coarse:
        """The chunk multipliers with their thresholds for the front (cost, score)."""
        need = thresholds(cost, score, self.alpha, self.lam, self.low, self.high)
        return Coarse(self.alpha, self.lam, need)

    def fine(self, cost: I64, score: I64) -> Fine:
        """The fine multipliers with their thresholds for the front (cost, score)."""
        a, m, lo, hi = self.fine_alpha, self.fine_lam, self.fine_low, self.fine_high
        need = thresholds(cost, score, a.ravel(), m.ravel(), lo.ravel(), hi.ravel())
        return Fine(a, m, need.reshape(a.shape))


@njit(cache=True, nogil=True, error_model="numpy")
def thresholds(cost, score, alpha, lam, low, high):  # type: ignore[no-untyped-def]
    """Thresholds (w,) for the step function with breakpoints `cost` (rising) and values `score` (rising)."""
    out = np.full(alpha.shape[0], CLOSED, np.int64)
    n = cost.shape[0]
    for w in range(alpha.shape[0]):
        if high[w] < low[w]:
            continue
        if alpha[w] == 0:
            out[w] = -lam[w] * high[w] if high[w] < ENDLESS else NEG
            continue
        if n == 0 or low[w] < cost[0]:
            out[w] = NEG
            continue
        j = np.searchsorted(cost, low[w], side="right") - 1
        while j < n and cost[j] <= high[w]:
            end = min(cost[j + 1] - 1, high[w]) if j + 1 < n else high[w]
            if lam[w] > 0 and end >= ENDLESS:
                out[w] = NEG
                break
            out[w] = min(out[w], alpha[w] * (score[j] + 1) - lam[w] * end)
            j += 1
    return out


def _integers(slopes: NDArray[np.float64], cost_limit: int, score_limit: int) -> tuple[I64, I64]:
    """Slopes (score per cost) as integer pairs (alpha, lam), about _BITS accurate and within 64-bit headroom."""
    alpha, lam = np.ones(len(slopes), np.int64), np.ones(len(slopes), np.int64)
    room = 1 << 59
    for i, q in enumerate(slopes.tolist()):
        for bits in range(_BITS, 0, -1):
            shift = min(max(bits - int(np.floor(np.log2(q))), 0), 30)
            a, m = 1 << shift, round(q * (1 << shift))
            if m >= 1 and a * score_limit + m * cost_limit < room:
                alpha[i], lam[i] = a, m
                break
        else:
            if score_limit + cost_limit >= room:
                raise UnsupportedError("scores or costs too large for 64-bit arithmetic; use coarser units")
    return alpha, lam


def hull(cost: I64, score: I64) -> I64:
    """Indices of the upper concave hull of a front (both rising)."""
    x, y = cost.tolist(), score.tolist()
    kept: list[int] = []
    for i in range(len(x)):
        while len(kept) >= 2:
            a, b = kept[-2], kept[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) > (y[i] - y[a]) * (x[b] - x[a]):
                break
            kept.pop()
        kept.append(i)
    return np.array(kept, dtype=np.int64)


def first_windows(least_cost: int, cost_limit: int, score_limit: int, score_range: int, chunks: int) -> Windows:
    """Before any design is known: slopes over four decades around score range / least cost."""
    middle = max(score_range, 1) / max(least_cost, 1)
    slopes = middle * np.geomspace(100.0, 0.01, chunks - 2)
    alpha, lam = _integers(slopes, cost_limit, score_limit)
    alpha, lam = np.concatenate([[0], alpha, [1]]), np.concatenate([[1], lam, [0]])
    low, high = np.zeros(chunks, np.int64), np.full(chunks, ENDLESS)
    spread = (chunks, LANES)
    fine = [np.broadcast_to(a[:, None], spread).copy() for a in (alpha, lam, low, high)]
    return Windows(alpha, lam, low, high, fine[0], fine[1], fine[2], fine[3])


def least_cost_window(max_cost: int, chunks: int) -> Windows:
    """When no design is known: one window, in which only the least cost counts."""
    shape = (chunks, LANES)
    alpha, lam = np.zeros(shape, np.int64), np.ones(shape, np.int64)
    low, high = np.ones(shape, np.int64), np.zeros(shape, np.int64)
    low[0, 0], high[0, 0] = 0, max_cost
    first = [a[:, 0].copy() for a in (alpha, lam, low, high)]
    return Windows(first[0], first[1], first[2], first[3], alpha, lam, low, high)


def windows_for(cost: I64, score: I64, cost_limit: int, score_limit: int, max_cost: int, chunks: int) -> Windows:
    """Windows fitted to a front: slopes of its hull, boundaries where the tangents of neighbouring slopes cross."""
    middle = (chunks - 2) * LANES
    h = hull(cost, score)
    if len(h) > 1:
        slopes = np.diff(score[h]) / np.diff(cost[h])
        slopes = np.exp(np.interp(np.linspace(0, len(slopes) - 1, middle), np.arange(len(slopes)), np.log(slopes)))
    else:
        slopes = np.full(middle, 1.0)
    alpha, lam = _integers(slopes, cost_limit, score_limit)
    tangent = (alpha[:, None] * score[h][None, :] - lam[:, None] * cost[h][None, :]).max(axis=1) / alpha
    slope = lam / alpha
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = (tangent[1:] - tangent[:-1]) / (slope[:-1] - slope[1:])
    first, last = int(cost[0]), int(cost[-1])
    cross = np.where(np.isfinite(cross), cross, first - 1)
    high = np.concatenate([np.clip(np.floor(cross), first - 1, last - 1).astype(np.int64), [last - 1]])
    high = np.maximum.accumulate(high)
    low = np.concatenate([[first], high[:-1] + 1])

    def chunked(ends: tuple[int, int], values: I64, pad: tuple[int, int]) -> I64:
        out = np.empty((chunks, LANES), np.int64)
        out[1:-1] = values.reshape(-1, LANES)
        out[0], out[-1] = pad
        out[0, 0], out[-1, 0] = ends
        return out

    fine_alpha = chunked((0, 1), alpha, (0, 1))
    fine_lam = chunked((1, 0), lam, (1, 0))
    fine_low = chunked((0, last), low, (1, 1))
    fine_high = np.minimum(chunked((first - 1, ENDLESS), high, (0, 0)), max_cost)
    pick = LANES // 2
    whole_low, whole_high = fine_low[:, 0].copy(), fine_high[:, -1].copy()
    whole_high[[0, -1]] = fine_high[[0, -1], 0]
    whole_alpha, whole_lam = fine_alpha[:, pick].copy(), fine_lam[:, pick].copy()
    return Windows(whole_alpha, whole_lam, whole_low, whole_high, fine_alpha, fine_lam, fine_low, fine_high)
