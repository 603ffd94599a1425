"""Single-path instances for `fit`, and brute force over all configurations, vectorised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cofront.problem import INFEASIBLE, CodesignProblem, Engine, IntArray, Trellis
from cofront.testing.problems import Size, random_problem


def path_trellis(rows: list[list[int]], n_rows: int) -> Trellis:
    """One path whose edge i runs rows[i], with a dead end that `fit` must not count."""
    n = len(rows)
    flat = [r for edge in rows for r in edge] + [0]
    return Trellis(
        n + 2,
        np.array([0 if i == 0 else i + 1 for i in range(n)] + [0]),
        np.array([i + 2 for i in range(n)] + [1]),
        np.concatenate([[0], np.cumsum([len(e) for e in rows] + [1])]).astype(np.int64),
        np.array(flat, dtype=np.int64),
        np.zeros(n + 2, dtype=np.int64),
        np.zeros(0, dtype=np.int64),
        tuple(() for _ in range(n + 1)),
        n_rows,
        0,
    )


def single_path(seed: int, size: Size = "tiny") -> CodesignProblem:
    """The engines and budget of a random problem, with one network of a few calls."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, size)
    n_rows = problem.trellis.n_rows
    rows = [[int(r) for r in rng.integers(0, n_rows, rng.integers(0, 3))] for _ in range(int(rng.integers(1, 5)))]
    trellis = path_trellis(rows, n_rows)
    return replace(problem, trellis=trellis, edge_score=np.zeros(trellis.n_edges, dtype=np.int64))


def all_configurations(engine: Engine, rows: list[int]) -> tuple[IntArray, IntArray]:
    """(cycles (...), resources (..., R)) of every combination: the formulas of problem.py once more, broadcast."""
    n = len(engine.kernels)

    def axis(a: IntArray, k: int) -> IntArray:
        shape = [1] * n + list(a.shape[1:])
        shape[k] = len(a)
        return a.reshape(shape)

    fused = np.broadcast_to(engine.memory[rows], [len(k.params) for k in engine.kernels] + [len(rows)])
    for k in range(n):
        path = axis(engine.kernels[k].cycles[:, rows], k)
        for i in range(n):
            if i != k:
                path = path + axis((engine.kernels[i].head if i < k else engine.kernels[i].tail)[:, rows], i)
        fused = np.maximum(fused, path)
    split = np.zeros(fused.shape, dtype=np.int64)
    used = np.zeros((*fused.shape[:-1], len(engine.base)), dtype=np.int64) + engine.base
    for k in range(n):
        split = split + axis(engine.kernels[k].solo[:, rows], k)
        used = used + axis(engine.kernels[k].resources, k)
    per_row = np.minimum(fused + engine.overhead[rows], split)
    cycles = np.where((per_row >= INFEASIBLE).any(axis=-1), INFEASIBLE, per_row.sum(axis=-1))
    return cycles, used


def path_rows(problem: CodesignProblem) -> list[int]:
    """Rows of the network of `single_path`: all edges but the dead end."""
    t = problem.trellis
    return [int(r) for r in t.rows[: t.row_ptr[t.n_edges - 1]]]


def brute_force(problem: CodesignProblem, limit: int, resource: int | None = None) -> tuple[int, int] | None:
    """(cycles, 0), or (amount, cycles) when a resource is minimised; None when nothing fits."""
    best: tuple[int, int] | None = None
    for engine in problem.engines:
        cycles, resources = all_configurations(engine, path_rows(problem))
        ok = (resources <= problem.budget).all(axis=-1) & (cycles <= limit) & (cycles < INFEASIBLE)
        if not ok.any():
            continue
        if resource is None:
            found = (int(cycles[ok].min()), 0)
        else:
            pairs = np.stack([resources[ok][:, resource], cycles[ok]], axis=1)
            amount, time = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))[0]]
            found = (int(amount), int(time))
        best = found if best is None else min(best, found)
    return best
