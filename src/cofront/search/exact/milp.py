"""The facade's mixed-integer backends: HiGHS through OR-tools MathOpt, and through SciPy as a cross-check."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import CofrontError
from cofront.search.exact.facade import Backend, Model, Row, Solution, checked

#: Integrality and feasibility, of variables and rows scaled to about 1. SciPy cannot set them.
_TOLERANCE = {"milp": 1e-9, "scipy": 1e-6}
#: What a tolerance may be worth in units of the model: all is integer, so less than half a unit changes nothing.
_SLIP = 0.4


@dataclass(frozen=True)
class Scaled:
    """The rows (row, column, value) with `lower` and `upper`, and the cost of each column, all scaled by powers of two.

    A variable is `unit` times its column; `whole` are those that must be integers.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    cost: NDArray[np.float64]
    unit: NDArray[np.float64]
    whole: NDArray[np.bool_]


def scaled(model: Model, backend: Backend) -> Scaled | None:
    """The model for HiGHS, conditional rows with their big-M; None when its numbers are too large to be told apart."""
    whole = ~np.array(model.derived, dtype=np.bool_)
    unit = np.where(whole, 1.0, _power(np.array(model.upper, dtype=np.float64)))
    cost = np.zeros(len(unit))
    np.add.at(cost, model.objective[0], model.objective[1].astype(np.float64))
    cost *= unit
    rows, columns, values = [], [], []
    lower: list[float] = []
    upper: list[float] = []
    largest = float(np.abs(cost).sum())
    for row in model.rows:
        for which, c, low, high in _sides(row):
            c = c * unit[which]
            scale = _power(np.abs(c).max(initial=0.0))
            largest = max(largest, scale)
            rows.append(np.full(len(which), len(lower), dtype=np.int64))
            columns.append(which)
            values.append(c / scale)
            lower.append(low / scale)
            upper.append(high / scale)
    if largest * _TOLERANCE[backend] >= _SLIP:
        return None
    none = np.zeros(0)
    return Scaled(
        np.concatenate([none, *rows]).astype(np.int64),
        np.concatenate([none, *columns]).astype(np.int64),
        np.concatenate([none, *values]),
        np.array(lower),
        np.array(upper),
        cost,
        unit,
        whole,
    )


def _power(x: Any) -> Any:
    """The least powers of two from 1 on that are not below x."""
    return np.exp2(np.ceil(np.log2(np.maximum(x, 1.0))))


def _sides(row: Row) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], float, float]]:
    """(variables, coefficients, lower, upper): a conditional row has a big-M, and one for each of its limits."""
    lo = -math.inf if row.lower is None else float(row.lower)
    hi = math.inf if row.upper is None else float(row.upper)
    if row.only_if < 0:
        # an integer sum is at most `hi` or at least `hi` + 1: half way between, no tolerance matters
        yield row.variables, row.coefficients.astype(np.float64), lo, hi if math.isfinite(lo) else hi + 0.5
        return
    m = float(row.slack)
    which = np.append(row.variables, row.only_if)
    for low, high, big in ((lo - m, math.inf, -m), (-math.inf, hi + m, m)):
        if math.isfinite(low) or math.isfinite(high):
            yield which, np.append(row.coefficients, big).astype(np.float64), low, high


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


def solve_mathopt(model: Model, lp: Scaled, time_limit_s: float, seed: int) -> Solution:
    """HiGHS runs on one thread here: MathOpt cannot set its number."""
    import datetime

    from ortools.math_opt.python import mathopt
    from ortools.math_opt.solvers import highs_pb2

    problem = mathopt.Model()
    bounds = zip(model.lower / lp.unit, model.upper / lp.unit, lp.whole, strict=True)
    x = [problem.add_variable(lb=float(lo), ub=float(hi), is_integer=bool(whole)) for lo, hi, whole in bounds]
    constraints = [
        problem.add_linear_constraint(lb=float(lo), ub=float(hi)) for lo, hi in zip(lp.lower, lp.upper, strict=True)
    ]
    for r, c, v in zip(lp.row, lp.column, lp.value, strict=True):
        constraint = constraints[r]
        constraint.set_coefficient(x[c], constraint.get_coefficient(x[c]) + v)
    problem.minimize(mathopt.LinearSum([float(lp.cost[i]) * x[i] for i in np.flatnonzero(lp.cost)]))
    parameters = mathopt.SolveParameters(
        time_limit=datetime.timedelta(seconds=max(time_limit_s, 0.01)) if math.isfinite(time_limit_s) else None,
        random_seed=seed,
        relative_gap_tolerance=0.0,
        absolute_gap_tolerance=0.0,
        highs=highs_pb2.HighsOptionsProto(
            double_options=dict.fromkeys(
                ("mip_feasibility_tolerance", "primal_feasibility_tolerance"), _TOLERANCE["milp"]
            )
        ),
    )
    with _silent():
        result = mathopt.solve(problem, mathopt.SolverType.HIGHS, params=parameters)
    reason = result.termination.reason
    bound = float(result.termination.objective_bounds.dual_bound)
    if result.has_primal_feasible_solution():
        proven = reason == mathopt.TerminationReason.OPTIMAL
        return checked(model, np.array(result.variable_values(x)) * lp.unit, bound, proven)
    none = (mathopt.TerminationReason.INFEASIBLE, mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED)
    if reason in none:  # all variables are bounded, so it is not unbounded
        return Solution(None, 0, math.inf, True)
    if reason == mathopt.TerminationReason.NO_SOLUTION_FOUND:
        return Solution(None, 0, bound, False)
    raise CofrontError(f"HiGHS (MathOpt) ended with {reason.name}: {result.termination.detail}")


def solve_scipy(model: Model, lp: Scaled, time_limit_s: float) -> Solution:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    matrix = coo_array((lp.value, (lp.row, lp.column)), shape=(len(lp.lower), len(lp.unit))).tocsr()
    options: dict[str, float] = {"mip_rel_gap": 0.0}
    if math.isfinite(time_limit_s):
        options["time_limit"] = max(time_limit_s, 0.01)
    with _silent():
        result = milp(
            lp.cost,
            integrality=lp.whole.astype(np.float64),
            bounds=Bounds(model.lower / lp.unit, model.upper / lp.unit),
            constraints=LinearConstraint(matrix, lp.lower, lp.upper) if len(lp.lower) else None,
            options=options,
        )
    bound = -math.inf if result.get("mip_dual_bound") is None else float(result.mip_dual_bound)
    if result.x is not None:
        return checked(model, np.asarray(result.x) * lp.unit, bound, result.status == 0)
    if result.status == 2:
        return Solution(None, 0, math.inf, True)
    if result.status == 1:
        return Solution(None, 0, bound, False)
    raise CofrontError(f"HiGHS (SciPy) ended with status {result.status}: {result.message}")
