"""Compiled loops of the enumeration: trees of configurations, bounds of pairs, best completions.

A kernel's configurations are the leaves of a binary tree whose nodes hold the minima of all columns below them, so
that one evaluation bounds every combination of whole subtrees. Arrays: `box` (m, u, 4) with cycles, head, tail, solo
of each row, `res` (m, R), `child` (m, 2) or -1 at leaves, `item` (m,) the configuration of a leaf, `size` (m,) leaves
below; node 0 is the root. A *pair* is a configuration of two kernels; the third is bounded by column minima over those
of its configurations that fit what the pair leaves of each resource.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.problem import INFEASIBLE

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
BIG = 1 << 62


@njit(cache=True)
def build_tree(columns: I64, weight: F64) -> tuple[I64, I64, I64, I64]:
    """Tree over the rows of `columns` (j, c): (minima (m, c), child, item, size).

    Halves at the median of the column of the largest weighted spread, so that minima stay close to their members.
    """
    n, width = columns.shape
    low = np.empty((2 * n - 1, width), dtype=np.int64)
    child = np.full((2 * n - 1, 2), -1, dtype=np.int64)
    item = np.full(2 * n - 1, -1, dtype=np.int64)
    size = np.empty(2 * n - 1, dtype=np.int64)
    order = np.arange(n)
    todo = np.empty((n + 1, 3), dtype=np.int64)  # node, first, last
    todo[0, 0], todo[0, 1], todo[0, 2] = 0, 0, n
    waiting, made = 1, 1
    high = np.empty(width, dtype=np.int64)
    while waiting > 0:
        waiting -= 1
        node, first, last = todo[waiting, 0], todo[waiting, 1], todo[waiting, 2]
        size[node] = last - first
        low[node] = columns[order[first]]
        high[:] = columns[order[first]]
        for i in range(first + 1, last):
            for c in range(width):
                v = columns[order[i], c]
                low[node, c] = min(low[node, c], v)
                high[c] = max(high[c], v)
        if last - first == 1:
            item[node] = order[first]
            continue
        best, spread = 0, -1.0
        for c in range(width):
            s = weight[c] * (high[c] - low[node, c])
            if s > spread:
                best, spread = c, s
        part = order[first:last].copy()
        by = np.argsort(columns[part, best], kind="mergesort")
        order[first:last] = part[by]
        middle = (first + last) // 2
        for side in range(2):
            child[node, side] = made
            todo[waiting, 0] = made
            todo[waiting, 1] = first if side == 0 else middle
            todo[waiting, 2] = middle if side == 0 else last
            waiting, made = waiting + 1, made + 1
    return low, child, item, size


@njit(cache=True)
def undominated(low: I64, child: I64, item: I64) -> I64:
    """Items of a tree that no other replaces at no loss in any column, ascending; of equals the first."""
    n = (len(item) + 1) // 2
    keep = np.ones(n, dtype=np.bool_)
    todo = np.empty(len(item), dtype=np.int64)
    for leaf in range(len(item)):
        j = item[leaf]
        if j < 0:
            continue
        todo[0] = 0
        waiting = 1
        while waiting > 0:
            waiting -= 1
            node = todo[waiting]
            below = node != leaf
            for c in range(low.shape[1]):
                if low[node, c] > low[leaf, c]:
                    below = False
                    break
            if not below:
                continue
            if item[node] < 0:
                todo[waiting], todo[waiting + 1] = child[node, 1], child[node, 0]
                waiting += 2
                continue
            equal = True
            for c in range(low.shape[1]):
                if low[node, c] != low[leaf, c]:
                    equal = False
                    break
            if not equal or item[node] < j:
                keep[j] = False
                break
    return np.flatnonzero(keep)


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
def single_bounds(
    a0: I64, a1: I64, a2: I64, k: int, memory: I64, overhead: I64, counts: I64, rest: I64, cut: int
) -> I64:
    """Bound (j,) for each configuration of kernel k, BIG beyond `cut`; the others are column minima (1, u, 4)."""
    n = max(len(a0), len(a1), len(a2))
    out = np.empty(n, dtype=np.int64)
    at = np.zeros(3, dtype=np.int64)
    for j in range(n):
        at[k] = j
        out[j] = triple_cycles(a0, at[0], a1, at[1], a2, at[2], memory, overhead, counts, rest, cut)
    return out


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
def pair_bounds(
    a0: I64,
    a1: I64,
    a2: I64,
    px: int,
    py: int,
    pz: int,
    buffer: I64,
    rx: I64,
    child_x: I64,
    size_x: I64,
    ry: I64,
    child_y: I64,
    size_y: I64,
    amounts: I64,
    minima: I64,
    left: I64,
    mem: I64,
    over: I64,
    n: I64,
    rest: I64,
    cut: int,
    minimise: int,
    start: int,
) -> tuple[I64, I64, I64, int]:
    """(x leaf, y leaf, bound, nodes visited) of the pairs below x node `start` whose bound can matter.

    a0, a1, a2 are the boxes of the pipeline's kernels; at position pz stands `buffer` (1, u, 4), filled here with the
    third kernel's minima. For latency: pairs with bound <= cut. For a resource: pairs that may run within `cut`
    cycles, with a bound on the resource.
    """
    n_res = rx.shape[1]
    xs, ys, bounds = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    kept = visited = 0
    todo = np.empty((128, 2), dtype=np.int64)
    todo[0, 0], todo[0, 1] = start, 0
    waiting = 1
    j = np.zeros(3, dtype=np.int64)
    last = np.empty(n_res, dtype=np.int64)
    while waiting > 0:
        waiting -= 1
        x, y = todo[waiting, 0], todo[waiting, 1]
        visited += 1
        fits = True
        for i in range(n_res):
            spare = left[i] - rx[x, i] - ry[y, i]
            last[i] = np.searchsorted(amounts[i], spare, side="right") - 1
            if last[i] < 0:
                fits = False
                break
        if not fits:
            continue
        for i in range(n_res):
            m = last[i]
            for r in range(buffer.shape[1]):
                for c in range(4):
                    v = minima[i, m, r, c]
                    buffer[0, r, c] = v if i == 0 else max(v, buffer[0, r, c])
        j[px], j[py] = x, y
        bound = triple_cycles(a0, j[0], a1, j[1], a2, j[2], mem, over, n, rest, cut)
        if bound > cut:
            continue
        if size_x[x] > 1 or size_y[y] > 1:
            if waiting + 2 > len(todo):
                more = np.empty((2 * len(todo), 2), dtype=np.int64)
                more[: len(todo)] = todo
                todo = more
            for side in range(2):
                split_x = size_x[x] >= size_y[y]
                todo[waiting, 0] = child_x[x, side] if split_x else x
                todo[waiting, 1] = y if split_x else child_y[y, side]
                waiting += 1
            continue
        if minimise >= 0:  # the least amount of the resource whose column minima are still fast enough
            lo, hi = 0, last[minimise]
            while lo < hi:
                mid = (lo + hi) // 2
                buffer[0] = minima[minimise, mid]
                t = triple_cycles(a0, j[0], a1, j[1], a2, j[2], mem, over, n, rest, cut)
                if t <= cut:
                    hi = mid
                else:
                    lo = mid + 1
            bound = rx[x, minimise] + ry[y, minimise] + amounts[minimise, lo]
        if kept == len(xs):
            xs, ys = np.append(xs, np.empty_like(xs)), np.append(ys, np.empty_like(ys))
            bounds = np.append(bounds, np.empty_like(bounds))
        xs[kept], ys[kept], bounds[kept] = x, y, bound
        kept += 1
    return xs[:kept], ys[:kept], bounds[:kept], visited


@njit(cache=True)
def complete(
    xs: I64,
    ys: I64,
    bounds: I64,
    a0: I64,
    a1: I64,
    a2: I64,
    px: int,
    py: int,
    pz: int,
    rx: I64,
    ry: I64,
    rz: I64,
    child_z: I64,
    left: I64,
    mem: I64,
    over: I64,
    n: I64,
    rest: I64,
    limit: int,
    minimise: int,
    best: int,
    second: int,
) -> tuple[int, int, I64, int]:
    """The best completion of the pairs (nodes `xs`, `ys`): (value, second, nodes (3,) or -1, nodes visited).

    Better than (best, second) or none. For latency `second` has no meaning; for a resource it is the cycles. Bounds
    must be sorted; the loop stops at the first that exceeds the best value.
    """
    found = np.full(3, -1, dtype=np.int64)
    visited = 0
    n_res = rx.shape[1]
    todo = np.empty(256, dtype=np.int64)
    j = np.zeros(3, dtype=np.int64)
    for p in range(len(xs)):
        if bounds[p] > best or (minimise < 0 and bounds[p] == best):
            break
        x, y = xs[p], ys[p]
        j[px], j[py] = x, y
        todo[0] = 0
        waiting = 1
        while waiting > 0:
            waiting -= 1
            z = todo[waiting]
            visited += 1
            fits = True
            for i in range(n_res):
                if rx[x, i] + ry[y, i] + rz[z, i] > left[i]:
                    fits = False
                    break
            if not fits:
                continue
            cut, value = limit, 0
            if minimise < 0:
                cut = min(limit, best - 1)
            else:
                value = rx[x, minimise] + ry[y, minimise] + rz[z, minimise]
                if value > best:
                    continue
                if value == best:  # below z the amount may only be larger, so only the cycles can improve
                    cut = min(limit, second - 1)
            j[pz] = z
            t = triple_cycles(a0, j[0], a1, j[1], a2, j[2], mem, over, n, rest, cut)
            if t > cut:
                continue
            if child_z[z, 0] >= 0:
                first = 0 if minimise < 0 or rz[child_z[z, 0], minimise] <= rz[child_z[z, 1], minimise] else 1
                todo[waiting] = child_z[z, 1 - first]
                todo[waiting + 1] = child_z[z, first]
                waiting += 2
            elif minimise < 0:
                best = t
                found[:] = j
            else:
                best, second = value, t
                found[:] = j
    return best, second, found, visited
