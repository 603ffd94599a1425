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
def _halve(order: I64, first: int, last: int, columns: I64, c: int) -> None:
    """Reorders order[first:last] so that no member of the first half exceeds one of the second in column c."""
    middle = (first + last) // 2
    lo, hi = first, last - 1
    while lo < hi:  # quickselect
        pivot = columns[order[(lo + hi) // 2], c]
        i, j = lo, hi
        while i <= j:
            while columns[order[i], c] < pivot:
                i += 1
            while columns[order[j], c] > pivot:
                j -= 1
            if i <= j:
                keep = order[i]
                order[i] = order[j]
                order[j] = keep
                i += 1
                j -= 1
        if middle <= j:
            hi = j
        elif middle >= i:
            lo = i
        else:
            break


@njit(cache=True)
def build_tree(
    columns: I64, weight: F64, order: I64, low: I64, high: I64, child: I64, item: I64, size: I64, todo: I64
) -> None:
    """Fills a tree over the rows of `columns` (j, c): low (m, c) minima, child, item, size, with m = 2 j - 1.

    Halves at the median of the column of the largest weighted spread, so that minima stay close to their members.
    `order` (j,) counts up; `high` (c,) and `todo` (j + 1, 3) are scratch. The arrays are the caller's, because
    compiled array creation takes seconds to compile.
    """
    width = columns.shape[1]
    todo[0, 0], todo[0, 1], todo[0, 2] = 0, 0, len(columns)
    waiting, made = 1, 1
    while waiting > 0:
        waiting -= 1
        node, first, last = todo[waiting, 0], todo[waiting, 1], todo[waiting, 2]
        size[node] = last - first
        best, spread = 0, -1.0
        for c in range(width):
            low[node, c] = high[c] = columns[order[first], c]
        for i in range(first + 1, last):
            for c in range(width):
                v = columns[order[i], c]
                low[node, c] = min(low[node, c], v)
                high[c] = max(high[c], v)
        for c in range(width):
            s = weight[c] * (high[c] - low[node, c])
            if s > spread:
                best, spread = c, s
        if last - first == 1:
            item[node] = order[first]
            continue
        _halve(order, first, last, columns, best)
        middle = (first + last) // 2
        for side in range(2):
            child[node, side] = made
            todo[waiting, 0] = made
            todo[waiting, 1] = first if side == 0 else middle
            todo[waiting, 2] = middle if side == 0 else last
            waiting, made = waiting + 1, made + 1


@njit(cache=True)
def undominated(low: I64, child: I64, item: I64, todo: I64, keep: I64) -> None:
    """Sets `keep` (j,) to 0 for items that another replaces at no loss in any column; of equals the first stays."""
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
                keep[j] = 0
                break


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
    a0: I64, a1: I64, a2: I64, k: int, memory: I64, overhead: I64, counts: I64, rest: I64, cut: int, at: I64, out: I64
) -> None:
    """Bound (j,) into `out` for each configuration of kernel k, BIG beyond `cut`; the others are minima (1, u, 4).

    `at` (3,) is zeros.
    """
    for j in range(len(out)):
        at[k] = j
        out[j] = triple_cycles(a0, at[0], a1, at[1], a2, at[2], memory, overhead, counts, rest, cut)


def prefix_minima(a: I64, res: I64) -> tuple[I64, I64]:
    """For each resource i: sorted amounts (R, j) and the column minima of all configurations up to each (R, j, u, 4).

    Row i, m of the second holds the minima over the configurations with at most the amount at i, m of the first.
    """
    by = np.argsort(res, axis=0, kind="stable").T
    amounts = np.take_along_axis(res.T, by, axis=1)
    return np.ascontiguousarray(amounts), np.minimum.accumulate(a[by], axis=1)


@njit(cache=True)
def _fits(amounts: I64, i: int, spare: int) -> int:
    """How many configurations need at most `spare` of resource i."""
    lo, hi = 0, amounts.shape[1]
    while lo < hi:
        middle = (lo + hi) // 2
        if amounts[i, middle] <= spare:
            lo = middle + 1
        else:
            hi = middle
    return lo


@njit(cache=True)
def pair_bounds(
    a0: I64,
    a1: I64,
    a2: I64,
    px: int,
    py: int,
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
    steps: int,
    todo: I64,
    waiting: int,
    at: I64,
    last: I64,
    out: I64,
) -> tuple[int, int, int]:
    """Rows (x leaf, y leaf, bound) into `out` for pairs whose bound can matter: (waiting, rows, boxes visited).

    a0, a1, a2 are the boxes of the pipeline's kernels; at the third kernel's position stands `buffer` (1, u, 4), filled
    here with its minima. For latency: pairs with bound <= cut. For a resource: pairs that may run within `cut` cycles,
    with a bound on the resource. `todo` is a stack of `waiting` pairs of nodes; the loop pauses after `steps` boxes or
    when `out` is full. `at` (3,), zeros, and `last` (R,) are scratch.
    """
    n_res = rx.shape[1]
    kept = visited = 0
    while waiting > 0 and visited < steps and kept < len(out):
        waiting -= 1
        x, y = todo[waiting, 0], todo[waiting, 1]
        visited += 1
        fits = True
        for i in range(n_res):
            last[i] = _fits(amounts, i, left[i] - rx[x, i] - ry[y, i]) - 1
            if last[i] < 0:
                fits = False
                break
        if not fits:
            continue
        for r in range(buffer.shape[1]):
            for c in range(4):
                v = minima[0, last[0], r, c]
                for i in range(1, n_res):
                    v = max(v, minima[i, last[i], r, c])
                buffer[0, r, c] = v
        at[px], at[py] = x, y
        bound = triple_cycles(a0, at[0], a1, at[1], a2, at[2], mem, over, n, rest, cut)
        if bound > cut:
            continue
        if size_x[x] > 1 or size_y[y] > 1:
            split_x = size_x[x] >= size_y[y]
            for side in range(2):
                todo[waiting, 0] = child_x[x, side] if split_x else x
                todo[waiting, 1] = y if split_x else child_y[y, side]
                waiting += 1
            continue
        if minimise >= 0:  # the least amount of the resource whose column minima are still fast enough
            lo, hi = 0, last[minimise]
            while lo < hi:
                mid = (lo + hi) // 2
                for r in range(buffer.shape[1]):
                    for c in range(4):
                        buffer[0, r, c] = minima[minimise, mid, r, c]
                t = triple_cycles(a0, at[0], a1, at[1], a2, at[2], mem, over, n, rest, cut)
                if t <= cut:
                    hi = mid
                else:
                    lo = mid + 1
            bound = rx[x, minimise] + ry[y, minimise] + amounts[minimise, lo]
        out[kept, 0], out[kept, 1], out[kept, 2] = x, y, bound
        kept += 1
    return waiting, kept, visited


@njit(cache=True)
def complete(
    pairs: I64,
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
    todo: I64,
    at: I64,
    found: I64,
) -> tuple[int, int, int]:
    """The best completion of the `pairs` (n, 3) of x node, y node, bound: (value, second, nodes visited).

    `found` (3,) gets the nodes if they are better than (best, second). For latency `second` has no meaning; for a
    resource it is the cycles. Bounds must be sorted; the loop stops at the first that exceeds the best value. `todo`
    and `at` (3,) are scratch.
    """
    visited = 0
    n_res = rx.shape[1]
    for p in range(len(pairs)):
        x, y, bound = pairs[p, 0], pairs[p, 1], pairs[p, 2]
        if bound > best or (minimise < 0 and bound == best):
            break
        at[px], at[py] = x, y
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
            at[pz] = z
            t = triple_cycles(a0, at[0], a1, at[1], a2, at[2], mem, over, n, rest, cut)
            if t > cut:
                continue
            if child_z[z, 0] >= 0:
                first = 0 if minimise < 0 or rz[child_z[z, 0], minimise] <= rz[child_z[z, 1], minimise] else 1
                todo[waiting] = child_z[z, 1 - first]
                todo[waiting + 1] = child_z[z, first]
                waiting += 2
                continue
            if minimise < 0:
                best = t
            else:
                best, second = value, t
            found[0], found[1], found[2] = at[0], at[1], at[2]
    return best, second, visited
