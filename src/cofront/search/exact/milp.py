"""The facade's mixed-integer backends: HiGHS through OR-tools MathOpt, and through SciPy as a cross-check."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from cofront.errors import CofrontError
from cofront.search.exact.facade import Model, Solution, checked

#: Integrality and feasibility in units of the model: tight, because big-M coefficients multiply any slip.
_TOLERANCE = 1e-9


def _matrix(
    model: Model,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(row, column, value, lower, upper) of all constraints, conditional ones with their big-M."""
    rows, columns, values = [], [], []
    lower: list[float] = []
    upper: list[float] = []
    for row in model.rows:
        sides: tuple[tuple[float, float, float], ...]
        lo = -math.inf if row.lower is None else row.lower
        hi = math.inf if row.upper is None else row.upper
        if row.only_if < 0:
            sides = ((lo, hi, 0.0),)
        else:
            m = float(row.slack)
            sides = tuple(s for s in ((lo - m, math.inf, -m), (-math.inf, hi + m, m)) if any(map(math.isfinite, s[:2])))
        for low, high, m in sides:
            which = row.variables if row.only_if < 0 else np.append(row.variables, row.only_if)
            coefficients = row.coefficients if row.only_if < 0 else np.append(row.coefficients, m)
            rows.append(np.full(len(which), len(lower), dtype=np.int64))
            columns.append(which)
            values.append(coefficients.astype(np.float64))
            lower.append(low)
            upper.append(high)
    none = np.zeros(0)
    return (
        np.concatenate([none, *rows]).astype(np.int64),
        np.concatenate([none, *columns]).astype(np.int64),
        np.concatenate([none, *values]),
        np.array(lower),
        np.array(upper),
    )


@contextmanager
def _silent() -> Iterator[None]:
    """HiGHS prints some notes past its own switches; standard output belongs to the caller's JSON."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _objective(model: Model) -> NDArray[np.float64]:
    c = np.zeros(len(model.lower))
    np.add.at(c, model.objective[0], model.objective[1].astype(np.float64))
    return c


def solve_mathopt(model: Model, time_limit_s: float, seed: int) -> Solution:
    """HiGHS runs on one thread here: MathOpt cannot set its number."""
    import datetime

    from ortools.math_opt.python import mathopt
    from ortools.math_opt.solvers import highs_pb2

    problem = mathopt.Model()
    x = [problem.add_integer_variable(lb=lo, ub=hi) for lo, hi in zip(model.lower, model.upper, strict=True)]
    rows, columns, values, lower, upper = _matrix(model)
    constraints = [problem.add_linear_constraint(lb=lo, ub=hi) for lo, hi in zip(lower, upper, strict=True)]
    for r, c, v in zip(rows, columns, values, strict=True):
        constraint = constraints[r]
        constraint.set_coefficient(x[c], constraint.get_coefficient(x[c]) + v)
    problem.minimize(mathopt.LinearSum([c * x[i] for i, c in zip(*model.objective, strict=True)]))
    parameters = mathopt.SolveParameters(
        time_limit=datetime.timedelta(seconds=max(time_limit_s, 0.01)) if math.isfinite(time_limit_s) else None,
        random_seed=seed,
        relative_gap_tolerance=0.0,
        absolute_gap_tolerance=0.0,
        highs=highs_pb2.HighsOptionsProto(
            double_options={"mip_feasibility_tolerance": _TOLERANCE, "primal_feasibility_tolerance": _TOLERANCE}
        ),
    )
    with _silent():
        result = mathopt.solve(problem, mathopt.SolverType.HIGHS, params=parameters)
    reason = result.termination.reason
    bound = float(result.termination.objective_bounds.dual_bound)
    if result.has_primal_feasible_solution():
        proven = reason == mathopt.TerminationReason.OPTIMAL
        return checked(model, np.array(result.variable_values(x)), bound, proven)
    none = (mathopt.TerminationReason.INFEASIBLE, mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED)
    if reason in none:  # all variables are bounded, so it is not unbounded
        return Solution(None, 0, math.inf, True)
    if reason == mathopt.TerminationReason.NO_SOLUTION_FOUND:
        return Solution(None, 0, bound, False)
    raise CofrontError(f"HiGHS (MathOpt) ended with {reason.name}: {result.termination.detail}")


def solve_scipy(model: Model, time_limit_s: float) -> Solution:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    rows, columns, values, lower, upper = _matrix(model)
    matrix = coo_array((values, (rows, columns)), shape=(len(lower), len(model.lower))).tocsr()
    options: dict[str, float] = {"mip_rel_gap": 0.0}
    if math.isfinite(time_limit_s):
        options["time_limit"] = max(time_limit_s, 0.01)
    with _silent():
        result = milp(
            _objective(model),
            integrality=np.ones(len(model.lower)),
            bounds=Bounds(np.array(model.lower, float), np.array(model.upper, float)),
            constraints=LinearConstraint(matrix, lower, upper) if len(lower) else None,
            options=options,
        )
    bound = -math.inf if result.get("mip_dual_bound") is None else float(result.mip_dual_bound)
    if result.x is not None:
        return checked(model, np.asarray(result.x), bound, result.status == 0)
    if result.status == 2:
        return Solution(None, 0, math.inf, True)
    if result.status == 1:
        return Solution(None, 0, bound, False)
    raise CofrontError(f"HiGHS (SciPy) ended with status {result.status}: {result.message}")
