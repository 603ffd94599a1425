"""One integer linear model, several solvers: CP-SAT, HiGHS through OR-tools MathOpt, HiGHS through SciPy.

CP-SAT counts in integers. HiGHS counts in floating point, to a tolerance: a model whose numbers are so large that the
tolerance is worth half a unit would come back with an optimum that is none. Such a model goes to CP-SAT, and the
solution says so.

The solvers are imported in `cpsat.py` and `milp.py` and nowhere else (a test holds this): `ortools` and `highspy`
cannot be imported in one process, and the rest of the package should not care which of them is installed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cofront.errors import unknown_name
from cofront.problem import IntArray

Backend = Literal["cpsat", "milp", "scipy"]
BACKENDS: tuple[Backend, ...] = ("cpsat", "milp", "scipy")


@dataclass(frozen=True)
class Row:
    """lower <= sum(coefficients * variables) <= upper, if variable `only_if` is 1 (always, if that is -1).

    `slack` is by how much the sum can miss the limits when it need not hold: the big-M of solvers that need one.
    """

    variables: IntArray
    coefficients: IntArray
    lower: int | None
    upper: int | None
    only_if: int = -1
    slack: int = 0


@dataclass
class Model:
    """Minimise an integer linear objective over bounded integer variables."""

    lower: list[int] = field(default_factory=list)
    upper: list[int] = field(default_factory=list)
    derived: list[bool] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    objective: tuple[IntArray, IntArray] = field(default_factory=lambda: (np.zeros(0, np.int64), np.zeros(0, np.int64)))

    def variables(self, n: int, lower: int = 0, upper: int = 1, derived: bool = False) -> IntArray:
        """n new variables with common bounds (binary by default): their numbers (n,).

        `derived`: once the others are integers the rows only bound these from below, by integers, and smaller ones are
        never worse; so a solver may treat them as real numbers.
        """
        first = len(self.lower)
        self.lower.extend([lower] * n)
        self.upper.extend([upper] * n)
        self.derived.extend([derived] * n)
        return np.arange(first, first + n, dtype=np.int64)

    def add(
        self,
        variables: Sequence[int] | IntArray,
        coefficients: ArrayLike = 1,
        *,
        lower: int | None = None,
        upper: int | None = None,
        only_if: int = -1,
        slack: int | None = None,
    ) -> None:
        """One constraint; a scalar coefficient serves all variables.

        A conditional one gets its big-M from the variables' bounds unless `slack` gives a smaller one that is valid.
        """
        which = np.asarray(variables, dtype=np.int64)
        c = np.broadcast_to(np.asarray(coefficients, dtype=np.int64), which.shape)
        if slack is None and only_if >= 0:
            low, high = np.array(self.lower)[which], np.array(self.upper)[which]
            most = int(np.sum(np.where(c > 0, c * high, c * low)))
            least = int(np.sum(np.where(c > 0, c * low, c * high)))
            slack = max(0, most - upper if upper is not None else 0, lower - least if lower is not None else 0)
        self.rows.append(Row(which, c, lower, upper, only_if, slack or 0))

    def minimise(self, variables: Sequence[int] | IntArray, coefficients: ArrayLike = 1) -> None:
        which = np.asarray(variables, dtype=np.int64)
        self.objective = (which, np.broadcast_to(np.asarray(coefficients, dtype=np.int64), which.shape))


@dataclass(frozen=True)
class Solution:
    """`values` (v,) of all variables, or None when none was found. `bound` holds for every solution.

    `proven`: `values` is optimal, or, without values, the model has no solution. `backend` is who solved it.
    """

    values: IntArray | None
    objective: int
    bound: float
    proven: bool
    backend: Backend = "cpsat"


def solve(
    model: Model, backend: Backend, *, time_limit_s: float = math.inf, workers: int = 1, seed: int = 0
) -> Solution:
    """The model's optimum by one of the backends; deterministic for a given seed unless the time limit strikes."""
    if backend not in BACKENDS:
        raise unknown_name("solver", backend, BACKENDS)
    if backend != "cpsat":
        from cofront.search.exact.milp import scaled, solve_mathopt, solve_scipy

        if (matrix := scaled(model, backend)) is not None:
            found = (
                solve_mathopt(model, matrix, time_limit_s, seed)
                if backend == "milp"
                else solve_scipy(model, matrix, time_limit_s)
            )
            return replace(found, backend=backend)
    from cofront.search.exact.cpsat import solve_cpsat

    return solve_cpsat(model, time_limit_s, workers, seed)


def checked(model: Model, x: NDArray[np.float64], bound: float, proven: bool) -> Solution:
    """A Solution from a solver's floating-point answer: integers, with their own exact objective."""
    values = np.rint(x).astype(np.int64)
    which, c = model.objective
    objective = int(values[which] @ c)
    # a bound within half a unit of an integer objective is that objective
    bound = float(objective) if proven and abs(bound - objective) < 0.5 else min(float(objective), bound)
    return Solution(values, objective, bound, proven and bound == objective)
