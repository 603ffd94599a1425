"""Sequential design, as most published flows do it: first the network or first the accelerator, then the other.

Each step is exact, so what these fronts lose against the joint one is the price of the order alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from cofront.front import Front
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray
from cofront.search.archive import Archive
from cofront.search.budget import Stopwatch
from cofront.search.evaluator import Evaluator
from cofront.search.exact.enumerate import solve
from cofront.search.exact.rows import FitTask, Outcome, fit_task
from cofront.search.method import Job, Method
from cofront.search.metrics import merged
from cofront.search.walk import PathFront, best_paths

#: An engine's number and one configuration per kernel.
Accelerator = tuple[int, tuple[int, ...]]


def best_networks(problem: CodesignProblem, accelerators: Iterable[Accelerator], method: str = "fixed") -> Front:
    """The front of all networks when only these accelerators may be built: exact for them."""
    started = time.perf_counter()
    evaluator = Evaluator(problem)
    archive = Archive(evaluator)
    for engine, chosen in accelerators:
        paths = own_front(evaluator, (engine, chosen))
        if len(paths):
            edges = _padded([paths.path(i) for i in range(len(paths))])
            n = len(edges)
            archive.add(evaluator(np.full(n, engine), np.tile(np.array(chosen), (n, 1)), edges))
    return archive.front(method, time.perf_counter() - started)


def own_front(evaluator: Evaluator, accelerator: Accelerator, limit: int = INFEASIBLE - 1) -> PathFront:
    """The exact front of one accelerator over all paths."""
    problem = evaluator.problem
    return best_paths(problem.trellis, evaluator.edge_latency(*accelerator), problem.edge_score, limit)


def best_accelerators(problem: CodesignProblem, paths: Iterable[IntArray], method: str = "network first") -> Front:
    """The front when only these networks (edges of each path) may be run, each on its exact fastest accelerator."""
    started = time.perf_counter()
    evaluator = Evaluator(problem)
    archive = Archive(evaluator)
    for path in paths:
        found = tuned(problem, path)
        if found is not None:
            engine, chosen = found
            archive.add(evaluator(np.array([engine]), np.array([chosen]), path[None, :]))
    return archive.front(method, time.perf_counter() - started)


def path_task(problem: CodesignProblem, path: IntArray) -> FitTask:
    """The `fit` of one path's network within the budget."""
    trellis = problem.trellis
    rows = [trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]] for e in path if e >= 0]
    used, counts = np.unique(np.concatenate([np.zeros(0, np.int64), *rows]), return_counts=True)
    return fit_task(problem.engines, used, counts, problem.budget)


def tuned(problem: CodesignProblem, path: IntArray) -> Accelerator | None:
    """The exact fastest accelerator of one path's network; None when nothing within the budget runs it."""
    found: Outcome = solve(path_task(problem, path))
    return (found.engine, found.chosen) if found.engine >= 0 else None


def proxy_networks(problem: CodesignProblem, edge_proxy: IntArray, limit: int = 64) -> list[IntArray]:
    """Networks a designer would choose without hardware: non-dominated in score and a proxy (MACs, bit operations).

    `edge_proxy` (e,) is summed along a path. At most `limit` of them, evenly spread over the proxy's front.
    """
    paths = best_paths(problem.trellis, edge_proxy, problem.edge_score)
    picked = np.unique(np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(np.int64))
    return [paths.path(int(i)) for i in picked]


def alternate(
    problem: CodesignProblem, start: Accelerator, limits: Iterable[int], rounds: int = 4, method: str = "alternate"
) -> Front:
    """Alternating optimisation from one accelerator: best network within a limit, best accelerator for it, and again.

    Each of `limits` (cycles) gives one run of at most `rounds` rounds; each ends when nothing changes.
    """
    started = time.perf_counter()
    evaluator = Evaluator(problem)
    archive = Archive(evaluator)
    for limit in limits:
        accelerator: Accelerator | None = start
        seen: set[Accelerator] = set()
        for _ in range(rounds):
            if accelerator is None or accelerator in seen:
                break
            seen.add(accelerator)
            paths = own_front(evaluator, accelerator, limit)
            if len(paths) == 0:
                break
            path = paths.path(len(paths) - 1)
            archive.add(evaluator(np.array([accelerator[0]]), np.array([accelerator[1]]), path[None, :]))
            accelerator = tuned(problem, path)
    return archive.front(method, time.perf_counter() - started)


def _padded(paths: list[IntArray]) -> IntArray:
    out = np.full((len(paths), max(len(p) for p in paths)), -1, dtype=np.int64)
    for row, path in zip(out, paths, strict=True):
        row[: len(path)] = path
    return out


def _run(job: Job) -> Front:
    """Both orders: networks chosen without hardware, each with its best accelerator; the accelerators of the cheapest,
    the middle and the most accurate of these networks, each with its best networks."""
    watch, problem = Stopwatch(), job.problem
    counted = job.budget.evaluations
    paths = proxy_networks(problem, job.edge_operations(), counted or METHOD.evaluations or 1)

    def until(found: list[IntArray]) -> Iterator[IntArray]:
        for i, path in enumerate(found):
            if watch.spent(job.budget, i):
                return
            job.heard(0, None, f"network {i + 1} of {len(found)}")
            yield path

    fronts = [best_accelerators(problem, until(paths))]
    middle = [paths[i] for i in sorted({0, len(paths) // 2, len(paths) - 1}) if paths]
    tuned_to = dict.fromkeys(a for a in (tuned(problem, p) for p in middle) if a is not None)
    for accelerator in tuned_to:
        if watch.spent(job.budget, 0):
            break
        fronts.append(best_networks(problem, [accelerator]))
    note = (
        f"{len(paths)} networks non-dominated in accuracy and bit operations with their best accelerators, and "
        f"{len(tuned_to)} accelerators tuned to the cheapest, the middle and the most accurate of them with their best "
        "networks; each step is exact"
    )
    return replace(merged(fronts, "sequential"), notes=(note,), solve_s=watch.seconds)


METHOD = Method(
    "sequential", _run, "first the networks, then their accelerators; and the other way round", counts="networks",
    evaluations=48,
)  # fmt: skip
