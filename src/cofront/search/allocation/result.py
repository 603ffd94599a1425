"""Allocation: which option each unit takes, how good it is, and how good any could be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from cofront.front import Infeasible
from cofront.search.allocation.problem import Cut, IntArray, Problem

Status = Literal["optimal", "feasible", "heuristic", "infeasible", "unknown"]


@dataclass(frozen=True)
class Allocation:
    """`choice` has the option of each unit, () when none was found; `loss` and `costs` are its own sums.

    `bound`: no allocation within the limits has a smaller loss (-inf where nothing is known); proven, up to the
    rounding of floats, relative 1e-12. "optimal": that is this loss. "heuristic": nothing is proven. "infeasible" is
    proven too, and `infeasible` says why. "unknown": stopped before any was found.
    """

    choice: tuple[int, ...]
    loss: float
    costs: dict[str, float]
    bound: float
    status: Status
    method: str
    solve_s: float
    infeasible: tuple[Infeasible, ...] = ()
    work: int = 0

    @property
    def gap(self) -> float:
        """Loss above the bound, from 0; infinite where nothing was found or nothing is known."""
        return max(0.0, self.loss - self.bound) if self.choice and np.isfinite(self.bound) else np.inf

    @property
    def array(self) -> IntArray:
        """(l,) the choice."""
        return np.array(self.choice, np.int64)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; infinities become None."""
        data = {**asdict(self), "gap": self.gap}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in data.items()}


def found(
    problem: Problem, choice: IntArray, bound: float, status: Status, method: str, solve_s: float, work: int = 0
) -> Allocation:
    """An allocation with its own sums."""
    loss = float(problem.losses(choice)[0])
    costs = {name: float(problem.total(name, choice)[0]) for name in problem.costs}
    return Allocation(
        tuple(choice.tolist()), loss, costs, min(bound, loss), status, method, solve_s, work=work
    )  # fmt: skip


def too_tight(problem: Problem, limits: Mapping[str, float], cuts: tuple[Cut, ...]) -> tuple[Infeasible, ...]:
    """Limits that no allocation meets even alone: the least that each cost can be, and by how much that misses."""
    out = []
    for name, limit in limits.items():
        cheapest = np.where(problem.allowed, problem.cost(name), np.inf).argmin(axis=1)
        if not problem.within(cheapest, {name: limit})[0]:
            least = float(problem.total(name, cheapest)[0])
            remedy = f"the least {name} of any allocation misses the limit by {least - limit:.6g}: allow at least that"
            out.append(Infeasible(name, least, limit, _unit(name), remedy))
    for number, cut in enumerate(cuts):
        same = problem.allowed.copy()
        same[np.arange(len(same)), cut.choice] = False
        least = int((~same.any(axis=1)).sum())
        if least > cut.most:
            remedy = f"{least} units have no other option than that of cut {number}: allow that many"
            out.append(Infeasible(f"cut {number}", least, cut.most, "units", remedy))
    return tuple(out)


def conflict(names: tuple[str, ...], proven: bool) -> tuple[Infeasible, ...]:
    """Each limit alone can be met, all together cannot; nothing unless that is `proven`."""
    if not proven:
        return ()
    remedy = f"each can be met alone; raise one of {', '.join(names)}"
    return (Infeasible("limits", 1.0, 0.0, "conflict", remedy),)


def _unit(name: str) -> str:
    return {"s": "s", "j": "J"}.get(name.rpartition("_")[2], name)
