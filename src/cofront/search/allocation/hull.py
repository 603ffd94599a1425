"""The linear relaxation of one budget: lower convex hulls of units, merged by steepness.

Relaxed, a unit may mix two neighbours of its hull; then the best use of a budget takes hull segments in the order of
loss saved per cost, and the least loss is a convex, piecewise linear function of the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofront.search.allocation.problem import BoolArray, FloatArray, IntArray


def undominated(loss: FloatArray, cost: FloatArray, mask: BoolArray) -> BoolArray:
    """(l, o) options that no other option of their unit equals or beats in both; of equals the first stays."""
    order = np.lexsort((np.where(mask, loss, np.inf), np.where(mask, cost, np.inf)), axis=1)
    sorted_loss = np.take_along_axis(np.where(mask, loss, np.inf), order, axis=1)
    best = np.minimum.accumulate(sorted_loss, axis=1)
    first = np.isfinite(sorted_loss)
    first[:, 1:] &= best[:, 1:] < best[:, :-1]
    keep = np.zeros_like(mask)
    np.put_along_axis(keep, order, first, axis=1)
    return keep


def lower_hull(cost: FloatArray, loss: FloatArray) -> list[int]:
    """Vertices of the lower convex hull of points with rising cost and falling loss, cheapest first."""
    c, z = cost.tolist(), loss.tolist()
    out: list[int] = []
    for i in range(len(c)):
        while len(out) > 1:
            a, b = out[-2], out[-1]
            if (z[b] - z[a]) * (c[i] - c[a]) < (z[i] - z[a]) * (c[b] - c[a]):
                break
            out.pop()
        out.append(i)
    return out


@dataclass(frozen=True)
class Segments:
    """Hull segments of all units, steepest first: `unit`, its `option` at the segment's end, cost and loss added (s,).

    `start` (l,) is each unit's cheapest option, `cost0` and `loss0` (l,) its cost and loss.
    """

    unit: IntArray
    option: IntArray
    cost: FloatArray
    loss: FloatArray
    start: IntArray
    cost0: FloatArray
    loss0: FloatArray

    @classmethod
    def of(cls, loss: FloatArray, cost: FloatArray, mask: BoolArray) -> Segments:
        keep = undominated(loss, cost, mask)
        units, options, dc, dz, start = [], [], [], [], []
        for i, row in enumerate(keep):
            o = np.flatnonzero(row)
            o = o[np.argsort(cost[i, o], kind="stable")]
            o = o[lower_hull(cost[i, o], loss[i, o])]
            start.append(int(o[0]))
            units.append(np.full(len(o) - 1, i))
            options.append(o[1:])
            dc.append(np.diff(cost[i, o]))
            dz.append(np.diff(loss[i, o]))
        unit, option, c, z = (np.concatenate(p) for p in (units, options, dc, dz))
        # stable: the segments of a unit stay in their order where rounding makes slopes equal
        order = np.argsort(z / c, kind="stable")
        rows = np.arange(len(keep))
        first = np.array(start, np.int64)
        return cls(
            unit[order].astype(np.int64), option[order].astype(np.int64), c[order], z[order],
            first, cost[rows, first], loss[rows, first],
        )  # fmt: skip

    def curve(self, units: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Budget (s + 1,) rising and least relaxed loss (s + 1,) falling, of the units (l,) that are true."""
        mine = units[self.unit]
        budget = np.cumsum(np.concatenate([[self.cost0[units].sum()], self.cost[mine]]))
        return budget, np.cumsum(np.concatenate([[self.loss0[units].sum()], self.loss[mine]]))

    def vertex(self, segments: int, units: BoolArray) -> IntArray:
        """(l,) options after the steepest so many segments of some units; of the others their cheapest."""
        taken = np.flatnonzero(units[self.unit])[:segments]
        choice = self.start.copy()
        np.maximum.at(position := np.full(len(choice), -1), self.unit[taken], taken)
        up = position >= 0
        choice[up] = self.option[position[up]]
        return choice


def relaxed(curve: tuple[FloatArray, FloatArray], budget: FloatArray) -> FloatArray:
    """Least relaxed loss at budgets of any shape; infinite below the least cost."""
    at, value = curve
    return np.where(budget < at[0], np.inf, np.interp(budget, at, value))
