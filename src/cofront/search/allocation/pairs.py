"""Pair terms split into what bounds can see of each unit alone, and rests."""

from __future__ import annotations

import numpy as np

from cofront.search.allocation.problem import FloatArray, Problem


def split(problem: Problem) -> tuple[FloatArray, dict[tuple[int, int], FloatArray]]:
    """Pair terms as unary parts (l, o), which bounds see, and rests from 0."""
    unary = np.where(problem.allowed, problem.loss, 0.0)
    rest = {}
    for (i, j), p in problem.pairs.items():
        here = np.ix_(problem.allowed[i], problem.allowed[j])
        of_i = p[here].min(axis=1)
        of_j = (p[here] - of_i[:, None]).min(axis=0)
        unary[i, problem.allowed[i]] += of_i
        unary[j, problem.allowed[j]] += of_j
        left = np.zeros_like(p)
        left[here] = np.maximum(p[here] - of_i[:, None] - of_j, 0.0)
        rest[i, j] = left
    return unary, rest
