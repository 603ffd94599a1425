"""The evaluator that every heuristic shares with the exact search: the same tables, many designs at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cofront.front import Design
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray


@dataclass(frozen=True)
class Evaluated:
    """n joint designs: engine (n,), chosen (n, k), paths (n, s) padded with -1 and what they cost.

    `cycles` is INFEASIBLE where a call cannot run; `violation` is 0 where everything fits, else the sum of relative
    excesses over the budget, plus the share of calls that cannot run, plus 1 for a configuration that does not exist.
    """

    engine: IntArray
    chosen: IntArray
    paths: IntArray
    cycles: IntArray
    score: IntArray
    resources: IntArray  # (n, R)
    violation: NDArray[np.float64]

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Evaluated:
        return Evaluated(*(getattr(self, f)[index] for f in self.__dataclass_fields__))


class Evaluator:
    """Costs of joint designs of one problem."""

    def __init__(self, problem: CodesignProblem) -> None:
        self.problem = problem

    @cached_property
    def _tables(self) -> list[tuple[IntArray, ...]]:
        return [
            tuple(
                np.ascontiguousarray(np.stack([k.cycles, k.head, k.tail, k.solo], axis=-1), dtype=np.int64)
                for k in e.kernels
            )
            for e in self.problem.engines
        ]

    def __call__(self, engine: IntArray, chosen: IntArray, paths: IntArray) -> Evaluated:
        """Engines (n,), configurations (n, k) with -1 for one that does not exist, paths (n, s) padded with -1."""
        from cofront.search.costs import design_cycles

        problem, trellis = self.problem, self.problem.trellis
        n = len(engine)
        cycles = np.full(n, INFEASIBLE, dtype=np.int64)
        resources = np.zeros((n, len(problem.budget)), dtype=np.int64)
        violation = np.zeros(n)
        for e, (unit, tables) in enumerate(zip(problem.engines, self._tables, strict=True)):
            used = chosen[:, : len(tables)]
            violation[(engine == e) & np.any(used < 0, axis=1)] = 1.0
            who = np.flatnonzero((engine == e) & np.all(used >= 0, axis=1))
            if len(who) == 0:
                continue
            total, count, bad = design_cycles(
                tables, np.ascontiguousarray(used[who]), unit.memory, unit.overhead,
                np.ascontiguousarray(paths[who]), trellis.row_ptr, trellis.rows,
            )  # fmt: skip
            cycles[who] = np.where(bad > 0, INFEASIBLE, total)
            violation[who] = bad / np.maximum(count, 1)
            for k, table in enumerate(unit.kernels):
                resources[who] += table.resources[used[who, k]]
            resources[who] += unit.base
        over = np.maximum(resources - problem.budget, 0) / np.maximum(problem.budget, 1)
        return Evaluated(engine, chosen, paths, cycles, self.scores(paths), resources, violation + over.sum(axis=1))

    def scores(self, paths: IntArray) -> IntArray:
        """Integer scores (n,) of paths (n, s)."""
        padded = np.append(self.problem.edge_score, 0)
        return np.asarray(padded[paths].sum(axis=1), dtype=np.int64)

    def row_latency(self, engine: int, chosen: tuple[int, ...]) -> IntArray:
        """Cycles (r,) of all rows on one accelerator."""
        return self.problem.engines[engine].row_latency(chosen)

    def edge_latency(self, engine: int, chosen: tuple[int, ...]) -> IntArray:
        """Cycles (e,) of all edges on one accelerator; INFEASIBLE or more where one of its rows cannot run."""
        trellis = self.problem.trellis
        sums = np.concatenate([[0], np.cumsum(self.row_latency(engine, chosen)[trellis.rows])])
        return np.asarray(sums[trellis.row_ptr[1:]] - sums[trellis.row_ptr[:-1]], dtype=np.int64)

    def design(self, engine: int, chosen: tuple[int, ...], path: IntArray) -> Design:
        """One design, costed by the scalar path of `problem.py`."""
        problem, unit = self.problem, self.problem.engines[engine]
        edges = path[path >= 0]
        cycles = int(self.edge_latency(engine, chosen)[edges].sum())
        score = int(problem.edge_score[edges].sum())
        return Design(
            accuracy=float(problem.accuracy(np.array(score))),
            latency_s=cycles / problem.clock_hz,
            cycles=cycles,
            resources=dict(zip(problem.resource_names, (int(v) for v in unit.resources(chosen)), strict=True)),
            config=unit.config(chosen),
            point=self.point(edges),
            energy_j=self._energy_j(engine, edges, cycles),
            space=problem.meta.get("space", ""),
            device=problem.meta.get("device", ""),
        )

    def point(self, edges: IntArray) -> tuple[int, ...]:
        """The space's point of a path: the coordinates that its edges fix; 0 elsewhere."""
        pairs = [pair for e in edges for pair in self.problem.trellis.choices[int(e)]]
        point = [0] * self._n_variables
        for variable, value in pairs:
            point[variable] = value
        return tuple(point)

    @cached_property
    def _n_variables(self) -> int:
        return 1 + max((v for c in self.problem.trellis.choices for v, _ in c), default=-1)

    def _energy_j(self, engine: int, edges: IntArray, cycles: int) -> float | None:
        energy = self.problem.engines[engine].energy
        if energy is None:
            return None
        trellis = self.problem.trellis
        rows = [trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]] for e in edges]
        picojoules = int(energy[np.concatenate([np.zeros(0, np.int64), *rows])].sum())
        return picojoules * 1e-12 + self.problem.static_power_w * cycles / self.problem.clock_hz
