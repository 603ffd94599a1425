"""How few accelerators (bitstreams) cover a front within a tolerance: exact minimum set cover.

Exact over the candidates given, by default the accelerators of the front itself; one that is on no front design could
in principle cover more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError
from cofront.front import Front
from cofront.problem import CodesignProblem
from cofront.search.evaluator import Evaluator
from cofront.search.exact.facade import Model, solve
from cofront.search.sequential import Accelerator, own_front

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Cover:
    """Indices of the chosen candidates; `loss` (p,) is each point's least loss over them; `proven`: none is smaller.

    `uncovered` are points that no candidate covers: they are left out of the problem and named here.
    """

    chosen: tuple[int, ...]
    loss: FloatArray
    uncovered: tuple[int, ...]
    proven: bool


def accelerators_of(problem: CodesignProblem, front: Front) -> tuple[Accelerator, ...]:
    """The distinct accelerators of a front's designs, in the order of first appearance."""
    return tuple(dict.fromkeys(find_accelerator(problem, d.config) for d in front.designs))


def find_accelerator(problem: CodesignProblem, config: dict[str, object]) -> Accelerator:
    """Engine number and configuration indices of a design's `config`."""
    for number, engine in enumerate(problem.engines):
        if engine.name != config.get("engine"):
            continue
        chosen = []
        for k in engine.kernels:
            wanted = config.get(k.name)
            if not isinstance(wanted, dict):
                break
            values = np.array([wanted.get(n, -1) for n in k.param_names])
            match = np.flatnonzero(np.all(k.params == values, axis=1))
            if len(match) == 0:
                break
            chosen.append(int(match[0]))
        if len(chosen) == len(engine.kernels):
            return number, tuple(chosen)
    raise InputError(f"the problem has no accelerator {config}")


def accuracy_losses(problem: CodesignProblem, front: Front, accelerators: Sequence[Accelerator]) -> FloatArray:
    """(a, p): accuracy points (percent) that each accelerator alone, with its best networks, loses at each design.

    Infinite where the accelerator has no network as fast as the design.
    """
    evaluator = Evaluator(problem)
    cycles = np.array([d.cycles for d in front.designs], dtype=np.int64)
    _, accuracy = front.arrays()
    limit = int(cycles.max(initial=0))
    out = np.full((len(accelerators), len(cycles)), np.inf)
    for a, accelerator in enumerate(accelerators):
        own = own_front(evaluator, accelerator, limit)
        at = np.searchsorted(own.cost, cycles, side="right")
        has = at > 0
        out[a, has] = (accuracy[has] - problem.accuracy(own.score[at[has] - 1])) * 100.0
    return np.asarray(np.maximum(out, 0.0))


def cover(loss: FloatArray, tolerance: float, *, time_limit_s: float = float("inf")) -> Cover:
    """The fewest rows of `loss` (a, p) such that every point has one with a loss of at most `tolerance`."""
    if not tolerance >= 0:
        raise UsageError(f"tolerance: expected a number from 0, got {tolerance}")
    covers = loss <= tolerance
    open_points = np.flatnonzero(covers.any(axis=0))
    model = Model()
    x = model.variables(len(loss))
    for column in np.unique(covers[:, open_points], axis=1).T:
        model.add(x[column], lower=1)
    model.minimise(x)
    found = solve(model, "cpsat", time_limit_s=time_limit_s)
    picked = np.arange(len(loss)) if found.values is None else np.flatnonzero(found.values[x])
    least = loss[picked].min(axis=0) if len(picked) else np.full(loss.shape[1], np.inf)
    uncovered = np.setdiff1d(np.arange(loss.shape[1]), open_points)
    return Cover(tuple(int(i) for i in picked), least, tuple(int(i) for i in uncovered), found.proven)


def smallest_tolerance(loss: FloatArray, k: int) -> tuple[float, Cover]:
    """The least worst-case loss that k rows can reach over all points, exactly, and such a cover.

    Raises UsageError when no k rows reach every point at any finite loss.
    """
    if k < 1:
        raise UsageError(f"number of accelerators: expected at least 1, got {k}")
    if np.isnan(loss).any():
        raise InputError("losses: expected numbers or infinity, got NaN")
    values = np.unique(loss[np.isfinite(loss)])
    low, high = 0, len(values) - 1
    best: tuple[float, Cover] | None = None
    while low <= high:
        middle = (low + high) // 2
        found = cover(loss, float(values[middle]))
        if not found.uncovered and len(found.chosen) <= k:
            best, high = (float(values[middle]), found), middle - 1
        else:
            low = middle + 1
    if best is None:
        raise UsageError(f"no {k} of {len(loss)} accelerators reach every design, however much accuracy is given up")
    return best
