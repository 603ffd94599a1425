"""The allocation as an integer program for CP-SAT: a second opinion on `labels`, from another author.

CP-SAT counts in whole numbers: losses in millionths of their range, costs that are not whole in 2^-24 of the limit,
rounded up, so that its answer meets the limits; it can miss one that is better by no more than such rounding. No bound
is taken from it: its presolve was seen to cut the optimum of such a model away (OR-tools 9.15, coefficients of 2^40;
without probing it did not).
"""

from __future__ import annotations

import numpy as np

from cofront.search.allocation.multipliers import Rows
from cofront.search.allocation.pairs import split
from cofront.search.allocation.problem import BoolArray, IntArray, Problem
from cofront.search.exact.facade import Model, solve

UNITS = 10**6
GRAIN = 2.0**-24


def by_integers(
    problem: Problem, rows: Rows, mask: BoolArray, *, time_limit_s: float = 60.0, seed: int = 0
) -> IntArray | None:
    """(l,) the best allocation of what `mask` (l, o) leaves that CP-SAT finds, None without one."""
    unary, rest = split(problem)
    over = np.where(mask, unary - np.where(mask, unary, np.inf).min(axis=1)[:, None], 0.0)
    unit_loss = float(over.max(axis=1).sum() + sum(r.max() for r in rest.values())) / UNITS or 1.0
    model = Model()
    number = np.full(mask.shape, -1, np.int64)
    number[mask] = model.variables(int(mask.sum()))
    for i in range(len(mask)):
        model.add(number[i, mask[i]], lower=1, upper=1)
    for cost, limit in zip(rows.cost, rows.limit, strict=True):
        whole = np.array_equal(cost, np.rint(cost)) and np.abs(cost).max() < 1 << 24
        grain = 1.0 if whole else GRAIN * max(abs(limit), float(np.abs(cost).max()), 1e-300)
        model.add(number[mask], np.ceil(cost[mask] / grain).astype(np.int64), upper=int(np.floor(limit / grain)))
    which, value = [number[mask]], [np.rint(over[mask] / unit_loss).astype(np.int64)]
    for (i, j), p in rest.items():
        a, b = np.flatnonzero(mask[i]), np.flatnonzero(mask[j])
        both = model.variables(len(a) * len(b)).reshape(len(a), len(b))
        for k, option in enumerate(a):
            model.add([*both[k], number[i, option]], [*([1] * len(b)), -1], lower=0, upper=0)
        for k, option in enumerate(b):
            model.add([*both[:, k], number[j, option]], [*([1] * len(a)), -1], lower=0, upper=0)
        which.append(both.ravel())
        value.append(np.rint(p[np.ix_(a, b)].ravel() / unit_loss).astype(np.int64))
    model.minimise(np.concatenate(which), np.concatenate(value))
    solution = solve(model, "cpsat", time_limit_s=time_limit_s, seed=seed)
    if solution.values is None:
        return None
    return np.asarray(np.where(mask, solution.values[np.maximum(number, 0)], 0).argmax(axis=1), np.int64)
