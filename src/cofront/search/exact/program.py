"""`fit` as an integer linear program: one-hot configurations, a fused or split mode per row.

    minimise  sum_r counts[r] * t[r]
    subject to  sum_j x[k, j] = 1,  sum_kj resources[k, j] * x[k, j] <= budget,  f[r] + s[r] = 1
                f[r] = 1  =>  t[r] >= overhead[r] + path(k, r) for every kernel k, and the memory's cycles
                s[r] = 1  =>  t[r] >= solo cycles of all kernels

[HAO21] says that such a program is solved per subgraph; this formulation is our own. Configurations that cannot run a
row exclude its mode instead of carrying a large number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cofront.problem import INFEASIBLE, Engine, IntArray
from cofront.search.exact.facade import Backend, Model, Solution, solve
from cofront.search.exact.rows import LATENCY, FitTask, Outcome

#: In `Outcome.stats`: how many engines' programs CP-SAT solved because their numbers are too large for the backend.
BY_CPSAT = "solved_by_cpsat"


@dataclass(frozen=True)
class _Program:
    """The model of one engine: variables x of every kernel, the table index of each, t of every row."""

    model: Model
    x: tuple[IntArray, ...]
    index: tuple[IntArray, ...]
    t: IntArray


def _useful(task: FitTask, engine: Engine, prune: bool) -> list[IntArray]:
    """Indices of the configurations that may be chosen, per kernel; empty where none fits the budget."""
    left = task.budget - engine.base
    least = [k.resources.min(axis=0) for k in engine.kernels]
    out = []
    for n, k in enumerate(engine.kernels):
        others = np.sum([least[i] for i in range(len(least)) if i != n], axis=0)
        index = np.flatnonzero(np.all(k.resources + others <= left, axis=1))
        if prune and len(index):
            from cofront.search.exact.views import undominated

            a = np.stack([k.cycles, k.head, k.tail, k.solo], axis=-1)[index]
            index = index[undominated(a, k.resources[index])]
        out.append(index)
    return out


def build(task: FitTask, number: int, prune: bool) -> _Program | None:
    """The program of one engine, or None when the budget or a row obviously excludes it."""
    engine = task.engines[number]
    if any(len(k.params) == 0 for k in engine.kernels):
        return None
    index = _useful(task, engine, prune)
    if any(len(i) == 0 for i in index):
        return None
    m = Model()
    x = tuple(m.variables(len(i)) for i in index)
    for group in x:
        m.add(group, lower=1, upper=1)
    everything = np.concatenate(x)
    used = np.concatenate([k.resources[i] for k, i in zip(engine.kernels, index, strict=True)])
    for i in range(len(task.budget)):
        m.add(everything, used[:, i], upper=int(min(task.budget[i] - engine.base[i], 1 << 52)))
    t = []
    for r in range(len(task.counts)):
        if (row := _row(m, engine, index, x, r)) is None:
            return None
        t.append(row)
    times = np.array(t, dtype=np.int64)
    if task.limit < int(task.counts @ np.array(m.upper)[times]):
        m.add(times, task.counts, upper=task.limit)
    if task.minimise == LATENCY:
        m.minimise(times, task.counts)
    else:
        m.minimise(everything, used[:, task.minimise])
    return _Program(m, x, tuple(index), times)


def _row(m: Model, engine: Engine, index: list[IntArray], x: tuple[IntArray, ...], r: int) -> int | None:
    """Adds t[r] with its modes; None when no mode is possible at all."""
    n = len(engine.kernels)
    cycles, head, tail, solo = (
        [getattr(k, name)[i, r] for k, i in zip(engine.kernels, index, strict=True)]
        for name in ("cycles", "head", "tail", "solo")
    )
    inf = INFEASIBLE
    no_fused = [(cycles[k] >= inf) | ((head[k] >= inf) & (k < n - 1)) | ((tail[k] >= inf) & (k > 0)) for k in range(n)]
    no_split = [solo[k] >= inf for k in range(n)]
    floor = int(engine.memory[r])
    can_fuse = floor < inf and engine.overhead[r] < inf and not any(b.all() for b in no_fused)
    can_split = n > 0 and not any(b.all() for b in no_split)
    if not (can_fuse or can_split):
        return None
    paths = []
    for k in range(n):
        parts = [cycles[i] if i == k else (head[i] if i < k else tail[i]) for i in range(n)]
        paths.append([np.where(no_fused[i], 0, parts[i]) for i in range(n)])
    splits = [np.where(no_split[k], 0, solo[k]) for k in range(n)]
    over = int(engine.overhead[r]) if can_fuse else 0
    tops = [sum(int(p.max()) for p in path) for path in paths]
    top_fused = over + max([floor, *tops]) if can_fuse else 0
    top_split = sum(int(p.max()) for p in splits) if can_split else 0
    t = int(m.variables(1, 0, max(top_fused, top_split), derived=True)[0])
    fused, split = (int(v) for v in m.variables(2))
    m.add([fused, split], lower=1, upper=1)
    group, everything = list(range(n)), np.concatenate(x)
    for k, least in enumerate(_least(cycles, head, tail, solo, floor, int(engine.overhead[r]))):
        hopeless = least >= inf
        if hopeless.any():
            m.add(x[k][hopeless], upper=0)
        m.add(np.append(x[k], t), np.append(-np.where(hopeless, 0, least), 1), lower=0)
    if can_fuse:
        m.add([t], lower=floor + over, only_if=fused)
        for path, top in zip(paths, tops, strict=True):
            late = np.append(-np.concatenate(path), 1)
            m.add(np.append(everything, t), late, lower=over, only_if=fused, slack=over + top)
    if can_split:
        late = np.append(-np.concatenate(splits), 1)
        m.add(np.append(everything, t), late, lower=0, only_if=split, slack=top_split)
    for mode, can, bad in ((fused, can_fuse, no_fused), (split, can_split, no_split)):
        if not can:
            m.add([mode], upper=0)
            continue
        for k in group:
            if bad[k].any():
                m.add(np.append(x[k][bad[k]], mode), upper=1)
    return t


def _least(
    cycles: list[IntArray], head: list[IntArray], tail: list[IntArray], solo: list[IntArray], floor: int, over: int
) -> list[IntArray]:
    """For each kernel, the row's least latency (j,) with each of its configurations: cuts that hold in both modes."""
    n = len(cycles)
    low = [[int(a.min()) for a in part] for part in (cycles, head, tail, solo)]
    out = []
    for k in range(n):
        fused = np.full(len(cycles[k]), floor, dtype=np.int64)
        for p in range(n):
            path = cycles[k] if p == k else (head[k] if k < p else tail[k]) + low[0][p]
            fixed = sum(low[1][i] if i < p else low[2][i] for i in range(n) if i not in (k, p))
            fused = np.maximum(fused, path + fixed)
        split = solo[k] + sum(low[3][i] for i in range(n) if i != k)
        out.append(np.minimum(np.minimum(fused + over, split), INFEASIBLE))
    return out


def solver(backend: Backend, prune: bool = True) -> Callable[..., Outcome]:
    """A `fit` method by one backend. `prune` drops dominated configurations first."""

    def run(task: FitTask, deadline: float = math.inf, on_progress: object = None) -> Outcome:
        first = _minimum(task, backend, prune, deadline)
        if task.minimise == LATENCY or first.engine < 0 or not first.proven:
            return first
        budget = task.budget.copy()
        budget[task.minimise] = first.value
        second = _minimum(task.with_(minimise=LATENCY, budget=budget), backend, prune, deadline)
        if second.engine < 0:  # only when the time is over
            return first
        stats = {**first.stats, **second.stats}
        return Outcome(second.engine, second.chosen, first.value, first.value, second.proven, stats)

    return run


def _minimum(task: FitTask, backend: Backend, prune: bool, deadline: float) -> Outcome:
    """The least value over the engines, one after the other, each only asked to beat the best so far."""
    best, bounds, proven = Outcome(-1, (), 0, 0, True, {}), [], True
    n_variables = n_exchanged = 0
    for number in range(len(task.engines)):
        if best.engine >= 0 and task.minimise == LATENCY:
            task = task.with_(limit=best.value - 1)
        elif best.engine >= 0:
            budget = task.budget.copy()
            budget[task.minimise] = best.value - 1
            task = task.with_(budget=budget)
        program = build(task, number, prune)
        if program is None:
            continue
        n_variables += len(program.model.lower)
        found = solve(program.model, backend, time_limit_s=deadline - time.monotonic())
        answer = _answer(task, number, program, found)
        if not answer.agrees:  # rounding led the solver astray: one that does not round decides
            found = solve(program.model, "cpsat", time_limit_s=deadline - time.monotonic())
            answer = _answer(task, number, program, found)
        n_exchanged += found.backend != backend
        base = 0 if task.minimise == LATENCY else int(task.engines[number].base[task.minimise])
        proven &= found.proven and answer.agrees
        if not answer.agrees:
            bounds.append(base)
        elif not found.proven:
            bounds.append(base + math.ceil(max(found.bound, 0.0) - 1e-6))
        if answer.fits:
            best = Outcome(number, answer.chosen, answer.value, answer.value, True, {})
    bound = min([*bounds, best.value]) if best.engine >= 0 else min(bounds, default=0)
    stats = {"variables": float(n_variables)} | ({BY_CPSAT: float(n_exchanged)} if n_exchanged else {})
    return Outcome(best.engine, best.chosen, best.value, bound, proven, stats)


@dataclass(frozen=True)
class _Answer:
    """A solver's configuration by the reference path. `agrees`: it fits, and is worth what the solver says."""

    chosen: tuple[int, ...]
    value: int
    fits: bool
    agrees: bool


def _answer(task: FitTask, number: int, program: _Program, found: Solution) -> _Answer:
    if found.values is None:
        return _Answer((), 0, False, True)
    picked = [found.values[x] for x in program.x]
    chosen = tuple(int(i[np.argmax(p)]) for i, p in zip(program.index, picked, strict=True))
    engine = task.engines[number]
    used, cycles = engine.resources(chosen), task.cycles(number, chosen)
    value = cycles if task.minimise == LATENCY else int(used[task.minimise])
    told = found.objective + (0 if task.minimise == LATENCY else int(engine.base[task.minimise]))
    fits = cycles <= task.limit and bool(np.all(used <= task.budget))
    # an unproven answer may hold times longer than they need be
    agrees = fits and (value == told if found.proven else value <= told)
    return _Answer(chosen, value, fits, agrees)
