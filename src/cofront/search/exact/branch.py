"""Compiled loops of the enumeration: dominance, the latency of a triple with early abort, bounds of pairs, leaves.

Layout: a kernel is `a` (j, u, 4) with cycles, head, tail, solo of each row, and `res` (j, R). A *pair* is a
configuration of the first two kernels of `order`; the third (the largest table) is bounded by column minima over those
of its configurations that fit what the pair leaves of each resource.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.problem import INFEASIBLE

I64 = NDArray[np.int64]
BIG = 1 << 62


@njit(cache=True)
def undominated(x: I64) -> I64:
    """Indices of the rows of `x` (j, c), sorted by sum, that no earlier kept row is <= in every column."""
    kept = np.empty(len(x), dtype=np.int64)
    n = 0
    for j in range(len(x)):
        dominated = False
        for i in range(n):
            k = kept[i]
            worse = False
            for c in range(x.shape[1]):
                if x[k, c] > x[j, c]:
                    worse = True
                    break
            if not worse:
                dominated = True
                break
        if not dominated:
            kept[n] = j
            n += 1
    return kept[:n]


@njit(cache=True)
def triple_cycles(
    a0: I64, j0: int, a1: I64, j1: int, a2: I64, j2: int, memory: I64, overhead: I64, counts: I64, rest: I64, cut: int
) -> int:
    """Total cycles of a triple, or BIG as soon as it is certain to be infeasible or to exceed `cut`.

    `rest[r]` bounds the cycles of the rows after r from below.
    """
    total = 0
    for r in range(len(counts)):
        head01 = a0[j0, r, 1] + a1[j1, r, 1]
        tail12 = a1[j1, r, 2] + a2[j2, r, 2]
        fused = max(a0[j0, r, 0] + tail12, head01 + a2[j2, r, 0])
        fused = max(fused, a0[j0, r, 1] + a1[j1, r, 0] + a2[j2, r, 2])
        fused = max(fused, memory[r]) + overhead[r]
        t = min(fused, a0[j0, r, 3] + a1[j1, r, 3] + a2[j2, r, 3])
        if t >= INFEASIBLE:
            return BIG
        total += counts[r] * t
        if total + rest[r] > cut:
            return BIG
    return total


@njit(cache=True)
def prefix_minima(a: I64, res: I64) -> tuple[I64, I64]:
    """For each resource i: sorted amounts (R, j) and the column minima of all configurations up to each (R, j, u, 4).

    Row i, m of the second holds the minima over the configurations with at most the amount at i, m of the first.
    """
    n_res = res.shape[1]
    amounts = np.empty((n_res, len(a)), dtype=np.int64)
    minima = np.empty((n_res, *a.shape), dtype=np.int64)
    for i in range(n_res):
        by = np.argsort(res[:, i])
        for m in range(len(a)):
            amounts[i, m] = res[by[m], i]
            for r in range(a.shape[1]):
                for c in range(4):
                    v = a[by[m], r, c]
                    minima[i, m, r, c] = v if m == 0 else min(v, minima[i, m - 1, r, c])
    return amounts, minima


@njit(cache=True)
def _fits(amounts: I64, i: int, left: int) -> Any:
    """How many configurations use at most `left` of resource i."""
    return np.searchsorted(amounts[i], left, side="right")


@njit(cache=True)
def _with_third(
    pos: int, b: I64, jb: int, ax: I64, jx: int, ay: I64, jy: int, mem: I64, over: I64, n: I64, rest: I64, cut: int
) -> Any:
    """`triple_cycles` with the third kernel of the order at position `pos` of the pipeline."""
    if pos == 0:
        return triple_cycles(b, jb, ax, jx, ay, jy, mem, over, n, rest, cut)
    if pos == 1:
        return triple_cycles(ax, jx, b, jb, ay, jy, mem, over, n, rest, cut)
    return triple_cycles(ax, jx, ay, jy, b, jb, mem, over, n, rest, cut)


@njit(cache=True)
def pair_bounds(
    first: int,
    last: int,
    pos: int,
    ax: I64,
    rx: I64,
    ay: I64,
    ry: I64,
    amounts: I64,
    minima: I64,
    left: I64,
    mem: I64,
    over: I64,
    n: I64,
    rest: I64,
    cut: int,
    minimise: int,
) -> tuple[I64, I64, I64]:
    """(x, y, bound) of the pairs with first <= x < last whose bound on the objective can matter.

    For latency: pairs with bound <= cut. For a resource: pairs that may run within `cut` cycles, with a bound on the
    resource.
    """
    size = (last - first) * len(ay)
    xs = np.empty(size, dtype=np.int64)
    ys = np.empty(size, dtype=np.int64)
    bounds = np.empty(size, dtype=np.int64)
    n_res = rx.shape[1]
    buffer = np.empty((1, ax.shape[1], 4), dtype=np.int64)
    size = 0
    for x in range(first, last):
        for y in range(len(ay)):
            fits = True
            for i in range(n_res):
                if rx[x, i] + ry[y, i] + amounts[i, 0] > left[i]:
                    fits = False
                    break
            if not fits:
                continue
            for i in range(n_res):
                m = _fits(amounts, i, left[i] - rx[x, i] - ry[y, i]) - 1
                for r in range(buffer.shape[1]):
                    for c in range(4):
                        v = minima[i, m, r, c]
                        buffer[0, r, c] = v if i == 0 else max(v, buffer[0, r, c])
            bound = _with_third(pos, buffer, 0, ax, x, ay, y, mem, over, n, rest, cut)
            if bound > cut:
                continue
            if minimise >= 0:  # the least amount of the resource whose column minima are still fast enough
                lo, hi = 0, _fits(amounts, minimise, left[minimise] - rx[x, minimise] - ry[y, minimise]) - 1
                while lo < hi:
                    mid = (lo + hi) // 2
                    t = _with_third(pos, minima[minimise], mid, ax, x, ay, y, mem, over, n, rest, cut)
                    if t <= cut:
                        hi = mid
                    else:
                        lo = mid + 1
                bound = rx[x, minimise] + ry[y, minimise] + amounts[minimise, lo]
            xs[size], ys[size], bounds[size] = x, y, bound
            size += 1
    return xs[:size], ys[:size], bounds[:size]


@njit(cache=True)
def leaves(
    xs: I64,
    ys: I64,
    bounds: I64,
    pos: int,
    ax: I64,
    rx: I64,
    ay: I64,
    ry: I64,
    b: I64,
    rb: I64,
    by: I64,
    left: I64,
    mem: I64,
    over: I64,
    n: I64,
    rest: I64,
    limit: int,
    minimise: int,
    best: int,
    second: int,
) -> tuple[int, int, int, int, int, int]:
    """The best completion (value, second, x, y, third, triples) of the pairs, better than (best, second), or x = -1.

    `by` orders the third kernel (by the minimised resource, if one is). For latency `second` has no meaning; for a
    resource it is the cycles. Bounds must be sorted; the loop stops at the first that exceeds the best value.
    """
    found_x, found_y, found_b, triples = -1, -1, -1, 0
    n_res = rx.shape[1]
    for p in range(len(xs)):
        if bounds[p] > best or (minimise < 0 and bounds[p] == best):
            break
        x, y = xs[p], ys[p]
        for m in range(len(by)):
            j = by[m]
            fits = True
            for i in range(n_res):
                if rx[x, i] + ry[y, i] + rb[j, i] > left[i]:
                    fits = False
                    break
            if not fits:
                continue
            triples += 1
            if minimise < 0:
                t = _with_third(pos, b, j, ax, x, ay, y, mem, over, n, rest, min(limit, best - 1))
                if t < best and t <= limit:
                    best, found_x, found_y, found_b = t, x, y, j
                continue
            value = rx[x, minimise] + ry[y, minimise] + rb[j, minimise]
            if value > best:
                break
            cut = limit if value < best else min(limit, second - 1)
            t = _with_third(pos, b, j, ax, x, ay, y, mem, over, n, rest, cut)
            if t <= cut:
                best, second, found_x, found_y, found_b = value, t, x, y, j
    return best, second, found_x, found_y, found_b, triples


@njit(cache=True)
def descend(
    a0: I64,
    r0: I64,
    a1: I64,
    r1: I64,
    a2: I64,
    r2: I64,
    start: I64,
    left: I64,
    mem: I64,
    over: I64,
    n: I64,
    rest: I64,
    best: int,
) -> tuple[int, I64]:
    """Coordinate descent on latency from `start` (3,): (cycles, triple), with `best` where nothing better was met."""
    at = start.copy()
    found = start.copy()
    n_res = r0.shape[1]
    sizes = (len(a0), len(a1), len(a2))
    here = BIG - 1
    moved = True
    while moved:
        moved = False
        for k in range(3):
            keep = at[k]
            for j in range(sizes[k]):
                at[k] = j
                fits = True
                for i in range(n_res):
                    if r0[at[0], i] + r1[at[1], i] + r2[at[2], i] > left[i]:
                        fits = False
                        break
                if not fits:
                    continue
                t = triple_cycles(a0, at[0], a1, at[1], a2, at[2], mem, over, n, rest, here - 1)
                if t < here:
                    here, keep, moved = t, j, True
            at[k] = keep
        if here < best:
            best = here
            found[:] = at
    return best, found
