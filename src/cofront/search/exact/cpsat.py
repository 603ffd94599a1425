"""The facade's CP-SAT backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from cofront.errors import CofrontError
from cofront.search.exact.facade import Model, Solution

#: Stands for "no limit on this side": beyond any activity of our models, within CP-SAT's 64 bits.
_FAR = 1 << 60


def solve_cpsat(model: Model, time_limit_s: float, workers: int, seed: int) -> Solution:
    cp = cp_model.CpModel()
    x = [cp.new_int_var(lo, hi, "") for lo, hi in zip(model.lower, model.upper, strict=True)]

    def total(which: Any, coefficients: Any) -> Any:
        return cp_model.LinearExpr.weighted_sum([x[i] for i in which], [int(c) for c in coefficients])

    for row in model.rows:
        lower = -_FAR if row.lower is None else row.lower
        upper = _FAR if row.upper is None else row.upper
        constraint = cp.add_linear_constraint(total(row.variables, row.coefficients), lower, upper)
        if row.only_if >= 0:
            constraint.only_enforce_if(x[row.only_if])
    cp.minimize(total(*model.objective))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    if math.isfinite(time_limit_s):
        solver.parameters.max_time_in_seconds = max(time_limit_s, 0.01)
    status = solver.solve(cp)
    if status == cp_model.MODEL_INVALID:
        raise CofrontError(f"CP-SAT rejects the model: {cp.validate()}")
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        values = np.array([solver.value(v) for v in x], dtype=np.int64)
        objective = round(solver.objective_value)
        return Solution(values, objective, solver.best_objective_bound, status == cp_model.OPTIMAL)
    bound = solver.best_objective_bound if status == cp_model.UNKNOWN else math.inf
    return Solution(None, 0, bound, status == cp_model.INFEASIBLE)
