"""Several budgets at once: Lagrangian multipliers, and the mixture that they price as best, rounded to an allocation.

With a multiplier on each limit every unit takes the option of least priced loss by itself, and the sum, less what the
limits are worth, is a lower bound: whatever the multipliers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cofront.search.allocation.problem import BoolArray, FloatArray, IntArray, Problem

#: Bound, subgradient, choice.
Dual = tuple[float, FloatArray, IntArray]
#: Up to so many limits each multiplier is bisected, in so many rounds; then so many steps.
FEW, CYCLES, STEPS = 4, 4, 120


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


def multipliers(loss: FloatArray, mask: BoolArray, rows: Rows, near: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """(m, k) multipliers from 0 at limits between the least cost and so many times what the limits leave above it.

    With them the mixture (l, o) of the first. Bisection of each multiplier in turn where they are few, then steps along
    subgradients towards a target that rises while it is reached.
    """
    k = len(rows.limit)
    priced = np.where(mask, loss, np.inf)
    if not k:
        return np.zeros((0, 0)), (priced == priced.min(axis=1)[:, None]) * 1.0
    least = np.where(mask, rows.cost, np.inf).min(axis=2).sum(axis=1)
    size = np.where(mask, np.abs(rows.cost), 0.0).max(axis=(1, 2))
    scale = np.where(size > 0, size, 1.0)
    cost = np.where(mask, rows.cost / scale[:, None, None], 0.0)
    out, mix, weight = [], np.zeros(loss.shape), np.zeros(k)
    for number, share in enumerate(near):
        limit = (least + share * (rows.limit - least)) / scale
        weight, mean = _ascend(priced, cost, limit, weight)
        out.append(weight / scale)
        if number == 0:
            mix = mean
    return np.array(out).reshape(len(out), k), mix


def _dual(loss: FloatArray, cost: FloatArray, limit: FloatArray, weight: FloatArray) -> Dual:
    """The bound, its subgradient (k,), and the choice (l,) that it comes from."""
    price = loss + np.tensordot(weight, cost, 1)
    choice = price.argmin(axis=1)
    units = np.arange(len(choice))
    return (
        float(price[units, choice].sum() - weight @ limit),
        np.asarray(cost[:, units, choice].sum(axis=1) - limit, float),
        np.asarray(choice, np.int64),
    )


def _ascend(loss: FloatArray, cost: FloatArray, limit: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The best multipliers (k,) met, and the mean (l, o) of the last choices."""
    l, k = len(loss), len(limit)
    finite = np.where(np.isfinite(loss), loss, np.nan)
    spread = max(float((np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1)).sum()), 1e-300)
    best, top = start.copy(), _dual(loss, cost, limit, start)[0]
    for _ in range(CYCLES if k <= FEW else 0):
        for j in range(k):
            best, top = _bisect(loss, cost, limit, best, top, j, spread)
    mix = np.zeros(loss.shape)
    weight, target, quiet = best.copy(), 0.01 * spread, 0
    for step in range(STEPS):
        value, slope, choice = _dual(loss, cost, limit, weight)
        if step >= STEPS // 2:
            mix[np.arange(l), choice] += 1
        if value > top:
            best, top, quiet = weight, value, 0
        else:
            quiet += 1
        if quiet >= 5:
            weight, target, quiet = best.copy(), target / 2, 0
            continue
        size = float(slope @ slope)
        if not size:
            break
        weight = np.maximum(0.0, weight + (top + target - value) / size * slope)
    if not mix.any():
        mix[np.arange(l), _dual(loss, cost, limit, best)[2]] = 1
    return best, mix


def _bisect(
    loss: FloatArray, cost: FloatArray, limit: FloatArray, best: FloatArray, top: float, j: int, spread: float
) -> tuple[FloatArray, float]:
    """The best value of one multiplier, the others as they are: where its limit turns from missed to met."""
    trial = best.copy()
    trial[j] = 0.0
    if _dual(loss, cost, limit, trial)[1][j] <= 0:
        high = 0.0
    else:
        low, high = 0.0, max(best[j], 1e-6 * spread)
        for _ in range(60):
            trial[j] = high
            if _dual(loss, cost, limit, trial)[1][j] <= 0:
                break
            low, high = high, 4 * high
        for _ in range(40):
            trial[j] = 0.5 * (low + high)
            low, high = (trial[j], high) if _dual(loss, cost, limit, trial)[1][j] > 0 else (low, trial[j])
    trial[j] = high
    value = _dual(loss, cost, limit, trial)[0]
    return (trial, value) if value > top else (best, top)


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
