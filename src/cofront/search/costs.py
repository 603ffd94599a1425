"""Compiled costs of many joint designs at once: the formulas of `problem.py`, one design after the other."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cofront.problem import INFEASIBLE

I64 = NDArray[np.int64]


@njit(cache=True)
def row_cycles(
    kernels: tuple[I64, ...], chosen: I64, memory: I64, overhead: I64, rows: I64, out: I64
) -> None:  # pragma: no cover - compiled
    """Latency of each of `rows` into `out`; `kernels` hold (j, r, 4) tables of cycles, head, tail, solo."""
    n = len(kernels)
    for i in range(len(rows)):
        r = rows[i]
        fused, split = memory[r], 0
        for k in range(n):
            split += kernels[k][chosen[k], r, 3]
            path = kernels[k][chosen[k], r, 0]
            for other in range(n):
                if other < k:
                    path += kernels[other][chosen[other], r, 1]
                elif other > k:
                    path += kernels[other][chosen[other], r, 2]
            fused = max(fused, path)
        out[i] = min(fused + overhead[r], split, INFEASIBLE)


@njit(cache=True)
def design_cycles(
    kernels: tuple[I64, ...], chosen: I64, memory: I64, overhead: I64, paths: I64, row_ptr: I64, rows: I64
) -> tuple[I64, I64, I64]:  # pragma: no cover - compiled
    """(cycles, rows, infeasible rows) of each design, each (n,): `chosen` (n, k), `paths` (n, s) padded with -1."""
    n = len(paths)
    total, count, bad = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    one = np.empty(1, np.int64)
    for i in range(n):
        for step in range(paths.shape[1]):
            edge = paths[i, step]
            if edge < 0:
                continue
            for p in range(row_ptr[edge], row_ptr[edge + 1]):
                row_cycles(kernels, chosen[i], memory, overhead, rows[p : p + 1], one)
                count[i] += 1
                if one[0] >= INFEASIBLE:
                    bad[i] += 1
                else:
                    total[i] += one[0]
    return total, count, bad
