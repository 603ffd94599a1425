"""All designs of a tiny joint problem, by brute force."""

from __future__ import annotations

import itertools

import numpy as np

from cofront.problem import INFEASIBLE, CodesignProblem, IntArray, Trellis
from cofront.testing.problems import random_problem


def all_paths(trellis: Trellis) -> list[IntArray]:
    """Edges of every source-to-sink path."""
    at: dict[int, list[list[int]]] = {0: [[]]}
    for node in range(trellis.n_nodes - 1):
        for edge in np.flatnonzero(trellis.edge_from == node):
            for path in at.get(node, []):
                at.setdefault(int(trellis.edge_to[edge]), []).append([*path, int(edge)])
    return [np.array(p, dtype=np.int64) for p in at.get(trellis.n_nodes - 1, [])]


def accelerators(problem: CodesignProblem) -> list[tuple[int, tuple[int, ...]]]:
    """Every (engine, configurations) within the budget."""
    return [
        (e, chosen)
        for e, engine in enumerate(problem.engines)
        for chosen in itertools.product(*(range(len(k.params)) for k in engine.kernels))
        if np.all(engine.resources(chosen) <= problem.budget)
    ]


def brute_front(problem: CodesignProblem) -> list[tuple[int, int]]:
    """(cycles, score) of the non-dominated designs, fastest first."""
    trellis = problem.trellis
    paths = all_paths(trellis)
    counts = np.zeros((len(paths), trellis.n_rows), dtype=np.int64)
    for i, path in enumerate(paths):
        for e in path:
            np.add.at(counts[i], trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]], 1)
    score = np.array([problem.edge_score[p].sum() for p in paths], dtype=np.int64)
    best: dict[int, int] = {}
    for e, chosen in accelerators(problem):
        latency = problem.engines[e].row_latency(chosen)
        cycles = counts @ latency
        runs = ~((counts > 0) & (latency >= INFEASIBLE)).any(axis=1)
        for c, s in zip(cycles[runs], score[runs], strict=True):
            best[int(c)] = max(best.get(int(c), -(1 << 62)), int(s))
    front: list[tuple[int, int]] = []
    for c in sorted(best):
        if not front or best[c] > front[-1][1]:
            front.append((c, best[c]))
    return front


def tiny_problems(n: int, max_paths: int = 400, start: int = 0) -> list[CodesignProblem]:
    """The first n random tiny problems that have a design and not too many paths."""
    out: list[CodesignProblem] = []
    for seed in itertools.count(start):
        problem = random_problem(np.random.default_rng(seed))
        if 1 < problem.trellis.n_paths() <= max_paths and brute_front(problem):
            out.append(problem)
            if len(out) == n:
                return out
    raise AssertionError
