"""Search without additivity: NSGA-II [NSGA2] over the points of a space, an exact `fit` for every network inside.

Accuracy may be any function of a point (a table, an SVR, a supernet); the accelerator of each proposed network is
provably its best, so the evolution only has to find networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError
from cofront.front import Design, Front
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray
from cofront.search.budget import Budget
from cofront.search.dominance import non_dominated
from cofront.search.evaluator import Evaluator
from cofront.search.evolution import Generations, OnGeneration
from cofront.search.genome import encode
from cofront.search.method import Accuracy, Job, Method
from cofront.search.sequential import Accelerator, path_task, tuned
from cofront.search.walk import Paths

#: So many networks of a checkpoint are evaluated again before it is resumed.
_CHECKED = 4


class Points(Protocol):
    """What is needed of a Space: genes and the points they stand for."""

    name: str

    @property
    def sizes(self) -> IntArray:
        """Options per gene (g,)."""

    def canonical(self, genomes: IntArray) -> IntArray:
        """(n, g) -> points (n, d); in a Space, genes are coordinates and those without effect become 0."""


class TrellisPoints:
    """The points that a problem has paths for, with its decisions as genes: none is drawn that it leaves out."""

    def __init__(self, problem: CodesignProblem) -> None:
        self.name = problem.meta.get("space", "")
        self._genome = encode(replace(problem, engines=()))
        self._evaluator = Evaluator(problem)

    @property
    def sizes(self) -> IntArray:
        return self._genome.sizes[1:]  # without the engine

    def canonical(self, genomes: IntArray) -> IntArray:
        paths = self._genome.paths(np.pad(genomes, ((0, 0), (1, 0))))
        return np.array([self._evaluator.point(p[p >= 0]) for p in paths], dtype=np.int64)

    def sample(self, rng: np.random.Generator, n: int) -> IntArray:
        """(n, d) points; every decision on the way is uniform."""
        return self.canonical(rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64))


class Fitter(Protocol):
    """Gives networks their best accelerators."""

    def __call__(self, points: IntArray) -> tuple[IntArray, NDArray[np.float64]]:
        """Points (n, d) -> least cycles (n,) and constraint violations (n,), 0 where an accelerator fits."""

    def design(self, point: IntArray, accuracy: float) -> Design:
        """The whole design of one feasible point."""


class TrellisFitter:
    """Exact fits of the points of a problem's trellis. Each network is fitted once."""

    def __init__(self, problem: CodesignProblem) -> None:
        self.problem, self._evaluator, self._paths = problem, Evaluator(problem), Paths(problem.trellis)
        self._known: dict[tuple[int, ...], tuple[Accelerator | None, int]] = {}

    def _fit(self, point: IntArray) -> tuple[Accelerator | None, int]:
        key = tuple(int(p) for p in point)
        if key not in self._known:
            path = self._paths(point)
            best = tuned(self.problem, path)
            cycles = INFEASIBLE if best is None else path_task(self.problem, path).cycles(*best)
            self._known[key] = (best, cycles)
        return self._known[key]

    def __call__(self, points: IntArray) -> tuple[IntArray, NDArray[np.float64]]:
        cycles = np.array([self._fit(p)[1] for p in points], dtype=np.int64)
        return cycles, (cycles >= INFEASIBLE).astype(np.float64)

    def design(self, point: IntArray, accuracy: float) -> Design:
        best, _ = self._fit(point)
        if best is None:
            raise InputError(f"no accelerator within the budget runs point {tuple(int(p) for p in point)}")
        found = self._evaluator.design(*best, self._paths(point))
        values = {f: getattr(found, f) for f in found.__dataclass_fields__}
        return Design(**{**values, "accuracy": accuracy, "point": tuple(int(p) for p in point)})


@dataclass
class _Met:
    """Every distinct network evaluated: points (n, d), cycles, accuracy, violation."""

    points: IntArray
    cycles: IntArray
    accuracy: NDArray[np.float64]
    violation: NDArray[np.float64]

    def front(self) -> IntArray:
        """Indices of the feasible non-dominated ones, fastest first."""
        fits = np.flatnonzero(self.violation <= 0)
        ranks = np.unique(self.accuracy[fits], return_inverse=True)[1].astype(np.int64)
        return fits[non_dominated(self.cycles[fits], ranks)]


def evolve_networks(
    space: Points,
    accuracy: Accuracy,
    fitter: Fitter,
    *,
    budget: Budget | None = None,
    population: int = 40,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_progress: OnGeneration | None = None,
) -> Front:
    """The non-dominated (network, best accelerator) designs of all networks proposed.

    Infeasible networks are kept out by their constraint violation. With `checkpoint` an interrupted run is resumed;
    a UsageError if the accuracy function and the fitter now say something else of its networks.
    """
    d = space.canonical(np.zeros((1, len(space.sizes)), np.int64)).shape[1]
    met = _Met(np.zeros((0, d), np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    index: dict[tuple[int, ...], int] = {}

    def learn(points: IntArray) -> None:
        cycles, violation = fitter(points)
        values = np.asarray(accuracy(points), dtype=np.float64)
        if values.shape != (len(points),) or not np.all(np.isfinite(values)):
            raise InputError(f"accuracy function: expected {len(points)} finite numbers, got {values.shape} {values}")
        for p in points:
            index[tuple(int(v) for v in p)] = len(index)
        met.points = np.concatenate([met.points, points])
        met.cycles = np.concatenate([met.cycles, cycles])
        met.accuracy = np.concatenate([met.accuracy, values])
        met.violation = np.concatenate([met.violation, violation])

    def evaluate(genomes: IntArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        points = space.canonical(genomes)
        new = [p for p in np.unique(points, axis=0) if tuple(int(v) for v in p) not in index]
        if new:
            learn(np.array(new, dtype=np.int64))
        at = np.array([index[tuple(int(v) for v in p)] for p in points])
        return np.stack([met.cycles[at].astype(np.float64), -met.accuracy[at]], axis=1), met.violation[at]

    run = Generations(np.asarray(space.sizes), evaluate, population, seed, checkpoint, f"networks:{space.name}:{d}")
    if run.resumed is not None:
        if len(run.resumed.archive):
            learn(run.resumed.archive)
        some = run.resumed.genomes[:_CHECKED]
        if not np.allclose(evaluate(some)[0], run.resumed.objectives[:_CHECKED], rtol=1e-9):
            raise UsageError(
                f"checkpoint '{checkpoint}' belongs to other accuracies, another device or other accelerators; "
                "remove it or name another"
            )
    seconds = run.loop(budget or Budget(), lambda: met.points[met.front()], on_progress)
    designs = tuple(fitter.design(met.points[i], float(met.accuracy[i])) for i in met.front())
    stats = {"evaluations": float(run.evaluations), "networks": float(len(index)), "seed": float(seed)}
    return Front(designs, 1.0, len(index), seconds, "heuristic", stats=stats, method="nsga2-fit")


def _run(job: Job) -> Front:
    def heard(evaluations: int, seconds: float, kept: int) -> None:
        job.heard(kept, None, f"{evaluations:,} networks proposed")

    space, fitter = TrellisPoints(job.problem), TrellisFitter(job.problem)
    return evolve_networks(
        space, job.accuracy, fitter, budget=job.budget, seed=job.seed, checkpoint=job.checkpoint, on_progress=heard
    )


METHOD = Method(
    "nsga2-fit", _run, "NSGA-II over networks and precisions, an exact accelerator for each", counts="networks",
    evaluations=1000, additive=False,
)  # fmt: skip
