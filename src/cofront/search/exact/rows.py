"""What `fit` minimises over, whatever the method: rows with counts, engines, budgets, a limit on cycles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cofront.errors import UsageError
from cofront.problem import INFEASIBLE, CodesignProblem, Engine, IntArray, KernelTable

#: A budget that nothing exceeds.
UNLIMITED = 1 << 50
#: `FitTask.minimise` for the sum of the rows' latencies; resources are 0, 1, ...
LATENCY = -1


@dataclass(frozen=True)
class FitTask:
    """Minimise the cycles of `counts` (u,) executions of rows 0 to u-1, or resource number `minimise`.

    Subject to resources <= `budget` (R,) and cycles <= `limit`. The engines' tables hold the u rows only. A resource
    objective is lexicographic: among the configurations of least resource, the fastest.
    """

    engines: tuple[Engine, ...]
    counts: IntArray  # (u,)
    budget: IntArray  # (R,)
    limit: int = INFEASIBLE - 1
    minimise: int = LATENCY

    def with_(self, **changes: object) -> FitTask:
        return replace(self, **changes)  # type: ignore[arg-type]

    def cycles(self, engine: int, chosen: tuple[int, ...]) -> int:
        """Total cycles of one configuration by the scalar reference path; INFEASIBLE if any row cannot run."""
        rows = self.engines[engine].row_latency(chosen)
        if len(rows) and rows.max() >= INFEASIBLE:
            return INFEASIBLE
        return int(min(int(rows @ self.counts), INFEASIBLE))


@dataclass(frozen=True)
class Outcome:
    """What a method found. `value` and `bound` are in the task's objective; `engine` is -1 when nothing was found.

    `proven` says that the search ended: the solution is optimal, or (engine == -1) there is none.
    """

    engine: int
    chosen: tuple[int, ...]
    value: int
    bound: int
    proven: bool
    stats: dict[str, float]


def path_counts(problem: CodesignProblem) -> tuple[IntArray, IntArray]:
    """(rows (u,), counts (u,)) of the one network of a problem whose trellis is a single path."""
    trellis = problem.trellis
    paths = trellis.n_paths()
    if paths != 1:
        raise UsageError(f"fit takes one network at one precision, the trellis has {paths} paths; use search")
    alive = np.zeros(trellis.n_nodes, dtype=bool)
    alive[-1] = True
    for i in np.argsort(-trellis.edge_to, kind="stable"):  # dead ends may hang off the path
        alive[trellis.edge_from[i]] |= alive[trellis.edge_to[i]]
    node, rows = 0, [np.zeros(0, dtype=np.int64)]
    while node != trellis.n_nodes - 1:
        (edge,) = np.flatnonzero((trellis.edge_from == node) & alive[trellis.edge_to])
        rows.append(trellis.rows[trellis.row_ptr[edge] : trellis.row_ptr[edge + 1]])
        node = int(trellis.edge_to[edge])
    used, counts = np.unique(np.concatenate(rows), return_counts=True)
    return used.astype(np.int64), counts.astype(np.int64)


def restrict(engine: Engine, rows: IntArray) -> Engine:
    """The engine with the given rows only, all infeasible entries exactly INFEASIBLE."""

    def cut(a: IntArray) -> IntArray:
        return np.ascontiguousarray(np.minimum(a[..., rows], INFEASIBLE), dtype=np.int64)

    kernels = tuple(
        KernelTable(k.name, k.param_names, k.params, k.resources, cut(k.cycles), cut(k.head), cut(k.tail), cut(k.solo))
        for k in engine.kernels
    )
    energy = None if engine.energy is None else np.asarray(engine.energy)[rows]
    return Engine(engine.name, kernels, cut(engine.memory), cut(engine.overhead), engine.base, energy)


def fit_task(engines: tuple[Engine, ...], rows: IntArray, counts: IntArray, budget: IntArray) -> FitTask:
    """Minimise the latency of `counts` executions of `rows`; change the objective with `with_`."""
    return FitTask(
        tuple(restrict(e, rows) for e in engines),
        np.asarray(counts, dtype=np.int64),
        np.asarray(budget, dtype=np.int64),
    )
