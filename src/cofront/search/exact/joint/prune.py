"""Exact dominance between the configurations of one kernel.

Configuration a makes b superfluous when it needs no more of any resource and no more cycles, head, tail and solo on
any used row: by the max-plus formula no combination with b is then faster than the same one with a. Of equal
configurations the first stays.

Before that, cycles are raised to a floor which no combination can see: as long as
cycles_k + (others' largest head and tail) <= memory, the memory term decides. Differences below it would only keep
configurations that are never better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from cofront.problem import INFEASIBLE, Engine, IntArray


def floored_cycles(engine: Engine, rows: IntArray) -> list[IntArray]:
    """Cycles (j, u) of every kernel on `rows`, raised to what the memory term hides anyway."""
    n = len(engine.kernels)

    def most(table: IntArray) -> IntArray:
        part = table[:, rows]
        return np.asarray(np.where(part < INFEASIBLE, part, 0).max(axis=0))

    heads = [most(k.head) for k in engine.kernels]
    tails = [most(k.tail) for k in engine.kernels]
    floored = []
    for k in range(n):
        others = sum((heads[i] if i < k else tails[i] for i in range(n) if i != k), np.zeros(len(rows), np.int64))
        floored.append(np.maximum(engine.kernels[k].cycles[:, rows], np.maximum(engine.memory[rows] - others, 0)))
    return floored


@njit(cache=True, nogil=True, error_model="numpy")
def _beats(a, b):  # type: ignore[no-untyped-def]
    """Whether a <= b everywhere; in blocks, so that the comparison can use vector instructions and still stop early."""
    n = a.shape[0]
    start = 0
    while start < n:
        end = min(start + 32, n)
        worse = 0
        for i in range(start, end):
            worse += a[i] > b[i]
        if worse:
            return False
        start = end
    return True


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def _undominated(columns, order):  # type: ignore[no-untyped-def]
    """Mask of the rows of `columns` (n, c) that no row earlier in `order` dominates; `order` by rising row sum."""
    n = columns.shape[0]
    keep = np.zeros(n, np.bool_)
    kept = np.empty(n, np.int64)
    n_kept = 0
    block = 256
    start = 0
    while start < n:
        end = min(start + block, n)
        alive = np.ones(end - start, np.bool_)
        for i in prange(end - start):
            for j in range(n_kept):
                if _beats(columns[kept[j]], columns[order[start + i]]):
                    alive[i] = False
                    break
        for i in range(end - start):
            if not alive[i]:
                continue
            for j in range(i):
                if alive[j] and _beats(columns[order[start + j]], columns[order[start + i]]):
                    alive[i] = False
                    break
        for i in range(end - start):
            if alive[i]:
                kept[n_kept] = order[start + i]
                keep[order[start + i]] = True
                n_kept += 1
        start = end
    return keep


@njit(cache=True, nogil=True)
def _column_hashes(a):  # type: ignore[no-untyped-def]
    """One 64-bit hash per column of `a` (n, c), in one pass over the rows."""
    out = np.full(a.shape[1], 1469598103934665603, np.uint64)
    for i in range(a.shape[0]):
        for c in range(a.shape[1]):
            out[c] = (out[c] ^ np.uint64(a[i, c])) * np.uint64(1099511628211)
    return out


def distinct_columns(a: NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Of `a` (n, c): indices of one column per group of equal columns, rising, and (c,) each column's group."""
    groups: dict[int, list[int]] = {}
    first: list[int] = []
    of = np.empty(a.shape[1], dtype=np.int64)
    for c, key in enumerate(_column_hashes(a).tolist()):  # only a hash: equality is checked
        for g in groups.setdefault(key, []):
            if np.array_equal(a[:, c], a[:, first[g]]):
                of[c] = g
                break
        else:
            groups[key].append(len(first))
            of[c] = len(first)
            first.append(c)
    return np.array(first, dtype=np.int64), of


def undominated(columns: Sequence[NDArray[np.integer]]) -> IntArray:
    """Indices (rising) of the configurations that none makes superfluous; `columns` are (j, *), smaller is better."""
    top = (1 << 31) - 1
    small = all(_finite_top(a) < top and a.min(initial=0) >= 0 for a in columns)
    limit, dtype = (top, np.int32) if small else (INFEASIBLE, np.int64)
    a = np.concatenate([np.where(c >= limit, limit, c).astype(dtype) for c in columns], axis=1)
    a = a[:, (a != a[:1]).any(axis=0)]
    if a.shape[1] == 0:
        return np.zeros(1, dtype=np.int64)
    a = np.ascontiguousarray(a[:, distinct_columns(a)[0]])
    order = np.argsort(a.sum(axis=1, dtype=np.int64), kind="stable")
    return np.flatnonzero(_undominated(a, order)).astype(np.int64)


def _finite_top(a: NDArray[np.integer]) -> int:
    """The greatest entry below INFEASIBLE."""
    most = int(a.max(initial=0))
    return most if most < INFEASIBLE else int(np.where(a < INFEASIBLE, a, 0).max(initial=0))
