"""`joint_front`: the exact Pareto front of (network, precision, accelerator), as results that print and convert."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cofront.errors import InputError, UsageError, unknown_name
from cofront.problem import CodesignProblem, IntArray
from cofront.search.exact.joint.compact import Cost
from cofront.search.exact.joint.incumbent import Candidate
from cofront.search.exact.joint.solve import Counters, Limits, Search
from cofront.search.exact.joint.windows import ENDLESS

Objective = Literal["cycles", "energy"]
#: Budgets of a third resource unless they are given.
_LEVELS = 24


@dataclass(frozen=True)
class JointPoint:
    """One design of the front: what it costs, its integer score, the accelerator and the path.

    `configs[k]` is the configuration of kernel k of `problem.engines[engine]`, `edges` the path's trellis edges.
    """

    cycles: int
    score: int
    engine: int
    configs: tuple[int, ...]
    edges: tuple[int, ...]
    resources: tuple[int, ...]
    energy_pj: int | None = None
    level: int | None = None  # with a third objective: the least budget of the ladder that it fits


@dataclass(frozen=True)
class JointFront:
    """The front by rising cost, and what is proven about it.

    `gap_micro`: no design of at most the cost of any front point (or more) has a score more than this above the
    front's; 0 when the search ran to its end. With a third resource the points are all that are non-dominated in (cost,
    score, `level`); gap and bound then hold for the widest budget, and `levels` are the budgets that are done, each of
    them exact. `bound` lists (cost, score): designs up to that cost have at most that
    score. No design costs less than `least_cost`. `counts` and `seconds` tell how the search went.
    """

    points: tuple[JointPoint, ...]
    gap_micro: int
    complete: bool
    least_cost: int
    bound: tuple[tuple[int, int], ...]
    n_designs: int
    n_accelerators: int
    n_paths: int
    objective: Objective = "cycles"
    pj_per_cycle: int | None = None
    third: str | None = None
    levels: tuple[int, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> Literal["optimal", "feasible", "infeasible"]:
        if self.complete:
            return "optimal" if self.points else "infeasible"
        return "feasible"


@dataclass(frozen=True)
class JointProgress:
    """What a running search knows: the stage, front points so far, open boxes, the certified gap, seconds gone.

    `gap_micro` is None as long as nothing is proven.
    """

    stage: str
    points: int
    open_boxes: int
    gap_micro: int | None
    seconds: float


def joint_front(
    problem: CodesignProblem,
    *,
    objective: Objective = "cycles",
    max_cycles: int | None = None,
    min_score: int | None = None,
    max_energy_pj: int | None = None,
    third: str | None = None,
    third_budgets: Sequence[int] | None = None,
    on_progress: Callable[[JointProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    time_limit_s: float | None = None,
    dominance: bool = True,
    bounding: bool = True,
) -> JointFront:
    """All non-dominated (cost, score) of a problem, exactly, with a design for each.

    `objective` "energy" minimises picojoules instead of cycles: the rows' dynamic energy plus the static power, rounded
    to whole pJ per cycle. `max_cycles` and `max_energy_pj` limit the objective of that name, `min_score` the path's
    score (without `score_offset`). With `third`, a resource, the result holds the exact front for each of
    `third_budgets` (24 equal shares of the problem's budget unless given) at once.

    `should_stop` is asked often; when it says True or the time is up, what is known so far comes back with a proven
    gap. `dominance` and `bounding` switch pruning off, for tests. Same input, same output.
    """
    start = time.monotonic()
    check(problem, objective)
    if (max_energy_pj if objective == "cycles" else max_cycles) is not None:
        raise UsageError(f"objective '{objective}': limit that objective, not the other one")
    limit = max_cycles if objective == "cycles" else max_energy_pj
    cost = Cost(static_pj(problem)) if objective == "energy" else Cost()

    def stop() -> bool:
        late = time_limit_s is not None and time.monotonic() - start > time_limit_s
        return late or (should_stop is not None and should_stop())

    def report(stage: str, points: int, n_open: int, gap: int | None) -> None:
        assert on_progress is not None
        on_progress(JointProgress(stage, points, n_open, gap, time.monotonic() - start))

    search = Search(
        problem,
        cost,
        Limits(ENDLESS if limit is None else int(limit), min_score),
        dominance=dominance,
        bounding=bounding,
        should_stop=stop,
        on_progress=None if on_progress is None else report,
    )
    found, done = _designs(search, third, third_budgets)
    certificate = search.certificate()
    again = Recost(problem)
    return JointFront(
        tuple(again.point(d, level) for level, d in found),
        certificate.gap,
        search.complete,
        certificate.least_cost,
        certificate.bound,
        problem.n_designs(),
        problem.n_accelerators(),
        problem.trellis.n_paths(),
        objective,
        cost.pj_per_cycle,
        third,
        done,
        _counts(search.counters),
        {**search.counters.seconds, "total": time.monotonic() - start},
    )


def _designs(
    search: Search, third: str | None, budgets: Sequence[int] | None
) -> tuple[list[tuple[int | None, Candidate]], tuple[int, ...]]:
    """Runs the search: its designs by rising cost, each with its budget of the third resource, and the budgets done."""
    if third is None:
        search.run()
        return [(None, d) for d in search.designs()], ()
    levels = ladder(search.problem, third, budgets)
    search.prefix = f"budget 1 of {len(levels)}, "
    search.prepare()
    found: list[tuple[int | None, Candidate]] = []
    done: tuple[int, ...] = ()
    for number, (level, new) in enumerate(search.climb(search.problem.resource_names.index(third), levels), 1):
        search.prefix = f"budget {min(number + 1, len(levels))} of {len(levels)}, "
        found += [(level, d) for d in new]
        done = (*done, level) if search.complete else done
    return sorted(found, key=lambda x: (x[1].cost, x[1].score)), done


def _counts(c: Counters) -> dict[str, int]:
    """`JointFront.counts`."""
    return {
        "configs": sum(map(sum, c.configs_raw)),
        "configs_kept": sum(map(sum, c.configs_kept)),
        "accelerators_kept": sum(math.prod(k) for k in c.configs_kept),
        "boxes": c.boxes,
        "accelerators_open": c.singles,
        "accelerators_fine": c.accelerators,
        "path_searches": c.dps,
        "peak_states": c.peak_states,
    }


def ladder(problem: CodesignProblem, third: str, budgets: Sequence[int] | None) -> list[int]:
    """The budgets of the third resource, rising, none above the problem's own."""
    if third not in problem.resource_names:
        raise unknown_name("resource", third, problem.resource_names)
    top = int(problem.budget[problem.resource_names.index(third)])
    if budgets is None:
        return sorted({-(-top * k // _LEVELS) for k in range(1, _LEVELS + 1)})
    wrong = [b for b in budgets if not 0 <= b <= top]
    if wrong or not len(budgets):
        raise UsageError(f"third resource '{third}': expected budgets from 0 to {top}, got {wrong or 'none'}")
    return sorted({int(b) for b in budgets})


def static_pj(problem: CodesignProblem) -> int:
    """Static energy per cycle in whole picojoules."""
    return round(problem.static_power_w * 1e12 / problem.clock_hz)


class Recost:
    """Designs costed anew by `Engine.row_latency`, the scalar reference path; once per accelerator."""

    def __init__(self, problem: CodesignProblem) -> None:
        self.problem = problem
        self.static_pj = static_pj(problem)
        self._cycles: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        self._energy: dict[int, list[int] | None] = {}

    def point(self, design: Candidate, level: int | None) -> JointPoint:
        engine = self.problem.engines[design.engine]
        key = design.engine, design.configs
        if key not in self._cycles:
            self._cycles[key] = self._per_edge(engine.row_latency(design.configs))
        if design.engine not in self._energy:
            self._energy[design.engine] = None if engine.energy is None else self._per_edge(engine.energy)
        per_edge, dynamic = self._cycles[key], self._energy[design.engine]
        cycles = sum(per_edge[e] for e in design.edges)
        energy = None
        if dynamic is not None:
            energy = sum(dynamic[e] for e in design.edges) + self.static_pj * cycles
        used = tuple(engine.resources(design.configs).tolist())
        return JointPoint(cycles, design.score, design.engine, design.configs, design.edges, used, energy, level)

    def _per_edge(self, per_row: IntArray) -> list[int]:
        """Sum over the rows of every edge of the trellis."""
        t = self.problem.trellis
        sums = np.concatenate([[0], np.cumsum(per_row[t.rows])])
        return list((sums[t.row_ptr[1:]] - sums[t.row_ptr[:-1]]).tolist())


def check(problem: CodesignProblem, objective: Objective = "cycles") -> None:
    """The properties that exactness rests on."""
    for engine in problem.engines:
        if objective == "energy" and engine.energy is None:
            raise UsageError(f"engine '{engine.name}' has no energy figures; choose another objective")
        if not engine.kernels:
            raise InputError(f"engine '{engine.name}': expected at least one kernel, got none")
        for k in engine.kernels:
            if min(int(a.min(initial=0)) for a in (k.cycles, k.head, k.tail, k.solo)) < 0:
                raise InputError(f"engine '{engine.name}', kernel '{k.name}': cycles must not be negative")
        if min(int(engine.memory.min(initial=0)), int(engine.overhead.min(initial=0))) < 0:
            raise InputError(f"engine '{engine.name}': memory and overhead cycles must not be negative")
