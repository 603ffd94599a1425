"""Local search: a feasible allocation made better by changing one unit at a time, while that helps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cofront.search.allocation.problem import FloatArray, IntArray, Problem, slack

#: Rounds of changing one unit.
ROUNDS = 200


def improve(problem: Problem, choice: IntArray, limits: Mapping[str, float]) -> IntArray:
    """(l,) the choice, from which no single change within the limits is better; unchanged if it is not within them."""
    if not problem.within(choice, limits)[0]:
        return choice
    choice = choice.copy()
    rows = np.arange(len(choice))
    for _ in range(ROUNDS):
        gain = change(problem, choice)
        left = {}
        for name, limit in limits.items():
            cost = problem.cost(name)
            spare = limit + slack(cost[problem.allowed], limit) - float(cost[rows, choice].sum())
            left[name] = cost - cost[rows, choice][:, None]
            gain = np.where(left[name] <= spare, gain, 0.0)
        gain = np.where(problem.allowed, gain, 0.0)
        unit, option = np.unravel_index(int(gain.argmin()), gain.shape)
        # below the last bits of the sums there is no gain, and two rounds could undo each other
        if gain[unit, option] >= -1e-12 * np.abs(problem.loss[rows, choice]).sum():
            break
        choice[unit] = option
    return choice


def change(problem: Problem, choice: IntArray) -> FloatArray:
    """(l, o) by how much the loss changes when one unit takes another option."""
    rows = np.arange(len(choice))
    out = problem.loss - problem.loss[rows, choice][:, None]
    for (i, j), p in problem.pairs.items():
        out[i] += p[:, choice[j]] - p[choice[i], choice[j]]
        out[j] += p[choice[i], :] - p[choice[i], choice[j]]
    return np.asarray(np.where(problem.allowed, out, np.inf), float)
