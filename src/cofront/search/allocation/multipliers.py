"""Several budgets at once: Lagrangian multipliers of the linear relaxation, and its mixture rounded to an allocation.

With a multiplier on each limit every unit takes the option of least priced loss by itself, and the sum, less what the
limits are worth, is a lower bound: whatever the multipliers. So what a solver returns here needs no trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from cofront.search.allocation.problem import BoolArray, FloatArray, IntArray, Problem


@dataclass(frozen=True)
class Rows:
    """Additive limits as arrays: `cost` (k, l, o), `limit` (k,)."""

    cost: FloatArray
    limit: FloatArray

    def met(self, choice: IntArray) -> bool:
        return bool(np.all(self.total(choice) <= self.limit))

    def total(self, choice: IntArray) -> FloatArray:
        """(k,) of choice (l,)."""
        return np.asarray(self.cost[:, np.arange(len(choice)), choice].sum(axis=1), float)


def multipliers(
    loss: FloatArray, mask: BoolArray, rows: Rows, near: Sequence[float]
) -> tuple[FloatArray, FloatArray, bool]:
    """(m, k) multipliers from 0 at limits between the least cost and so many times what the limits leave above it.

    With them the mixture (l, o) of the first, and whether its relaxation has no solution, by the solver's word.
    """
    l, o = loss.shape
    if not len(rows.limit):
        return np.zeros((0, 0)), (loss == np.where(mask, loss, np.inf).min(axis=1)[:, None]) * mask * 1.0, False
    unit, option = np.nonzero(mask)
    n = len(unit)
    scale = np.maximum(np.abs(rows.cost[:, unit, option]).max(axis=1, initial=0.0), 1e-300)
    size = max(float(np.abs(loss[mask]).max(initial=0.0)), 1e-300)
    a = sparse.csr_array(rows.cost[:, unit, option] / scale[:, None])
    one = sparse.csr_array((np.ones(n), (unit, np.arange(n))), shape=(l, n))
    least = np.where(mask, rows.cost, np.inf).min(axis=2).sum(axis=1)
    out, mix, dead = [], np.where(mask, 1.0, 0.0), False
    for number, share in enumerate(near):
        limit = least + share * (rows.limit - least)
        done = linprog(
            loss[unit, option] / size, A_ub=a, b_ub=limit / scale, A_eq=one, b_eq=np.ones(l), bounds=(0, None),
            method="highs",
        )  # fmt: skip
        if done.status == 0:
            out.append(np.maximum(0.0, -np.asarray(done.ineqlin.marginals)) * size / scale)
            if number == 0:
                mix = np.zeros((l, o))
                mix[unit, option] = done.x
        elif number == 0:
            dead = done.status == 2
    return np.array(out).reshape(len(out), len(rows.limit)), mix, dead


def mixed(problem: Problem, loss: FloatArray, mix: FloatArray, rows: Rows) -> IntArray | None:
    """The mixture rounded, and repaired where it misses limits: by the least loss per share of a limit that is won."""
    choice = mix.argmax(axis=1).astype(np.int64)
    units = np.arange(len(choice))
    scale = np.maximum(np.abs(rows.limit), 1e-300)
    for _ in range(4 * len(choice)):
        miss = np.maximum(rows.total(choice) - rows.limit, 0.0) / scale
        if not miss.any():
            return np.asarray(choice, np.int64)
        moved = rows.cost - rows.cost[:, units, choice][:, :, None]
        after = np.maximum((rows.total(choice) - rows.limit)[:, None, None] + moved, 0.0)
        less = miss.sum() - (after / scale[:, None, None]).sum(axis=0)
        more = np.maximum(loss - loss[units, choice][:, None], 0.0)
        worth = np.where(problem.allowed & (less > 0), more / np.maximum(less, 1e-300), np.inf)
        unit, option = np.unravel_index(int(worth.argmin()), worth.shape)
        if worth[unit, option] == np.inf:
            return None
        choice[unit] = option
    return None
