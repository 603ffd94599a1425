"""NSGA-II [NSGA2] by pymoo, deterministic, with our own checkpoints.

`nsga2` evolves (network, precision, accelerator) on the evaluator of the exact search: the baseline to beat.
`Generations` is the loop, also for other objectives (`networks.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.front import Front
from cofront.problem import CodesignProblem, IntArray
from cofront.search.archive import Archive
from cofront.search.budget import Budget, Stopwatch
from cofront.search.checkpoint import Population, load_population, problem_key, save_population
from cofront.search.evaluator import Evaluator
from cofront.search.genome import encode
from cofront.search.method import Job, Method
from cofront.search.random import fitting

if TYPE_CHECKING:
    from pymoo.algorithms.moo.nsga2 import NSGA2

#: Called after every generation with (evaluations, seconds, designs on the front so far).
OnGeneration = Callable[[int, float, int], None]


class Evaluate(Protocol):
    """Genomes (n, g) -> objectives to minimise (n, m) and constraint violations (n,), 0 where all holds."""

    def __call__(self, genomes: IntArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...


def nsga2(
    problem: CodesignProblem,
    *,
    budget: Budget | None = None,
    population: int = 100,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_progress: OnGeneration | None = None,
) -> Front:
    """Joint search by NSGA-II: the non-dominated designs of everything evaluated.

    The first population has accelerators that fit the budget, as random search has: of accelerators drawn blindly,
    few do. With `checkpoint`, the state is written there after every few generations, and an existing file is resumed.
    """
    genome, evaluator = encode(problem), Evaluator(problem)
    archive = Archive(evaluator)

    def evaluate(genomes: IntArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        met = evaluator(*genome.accelerators(genomes), genome.paths(genomes))
        archive.add(met)
        return np.stack([met.cycles, -met.score], axis=1).astype(np.float64), met.violation

    first = fitting(genome, evaluator, np.random.default_rng((seed, 0)), population)
    run = Generations(genome.sizes, evaluate, population, seed, checkpoint, problem_key(problem), first)
    if run.resumed is not None:
        archive.restore(run.resumed.archive, run.evaluations)
    seconds = run.loop(budget or Budget(), archive.rows, on_progress)
    return archive.front("nsga2", seconds, {"generations": float(run.generation), "seed": float(seed)})


class Generations:
    """The generations: pymoo proposes and selects, we evaluate, count, seed and save.

    Every generation draws from a generator of its own, seeded by (seed, generation): a resumed run is the same run.
    `first` (population, g) are the genomes to begin with, random ones when None.
    """

    def __init__(
        self,
        sizes: IntArray,
        evaluate: Evaluate,
        population: int,
        seed: int,
        checkpoint: Path | None,
        key: str,
        first: IntArray | None = None,
    ) -> None:
        if population < 4:
            raise UsageError(f"NSGA-II needs a population of at least 4, got {population}")
        self.sizes, self.evaluate, self.seed, self.checkpoint = sizes, evaluate, seed, checkpoint
        self.key = f"{key}:{population}:{seed}"
        self.generation = self.evaluations = 0
        self.seconds = self.cpu_s = 0.0
        self.resumed = load_population(checkpoint, self.key) if checkpoint is not None else None
        self._algorithm, self._problem = _make(sizes, population, first)
        if self.resumed is not None:
            self._restore(self.resumed)

    def _restore(self, saved: Population) -> None:
        self.generation, self.evaluations = saved.generation, saved.evaluations
        self.seconds, self.cpu_s = saved.seconds, saved.cpu_s
        algorithm = self._algorithm
        algorithm._initialize()
        pop = _population(saved.genomes.astype(np.float64))
        self._tell(pop, saved.objectives, saved.violations)
        pop.set("rank", saved.rank)
        pop.set("crowding", saved.crowding)
        algorithm.pop, algorithm.is_initialized, algorithm.n_iter = pop, True, saved.generation + 1
        algorithm._set_optimum()

    def _tell(self, pop: object, f: NDArray[np.float64], g: NDArray[np.float64]) -> None:
        from pymoo.core.evaluator import Evaluator as PymooEvaluator
        from pymoo.problems.static import StaticProblem

        PymooEvaluator().eval(StaticProblem(self._problem, F=f, G=g[:, None]), pop)

    def loop(self, budget: Budget, archive: Callable[[], IntArray], on_progress: OnGeneration | None) -> float:
        """Runs until the budget is spent; the seconds used, earlier parts of a resumed run included.

        Of the last generation only as many are evaluated as the budget has left. That part is no generation to breed
        from: the checkpoint stays that of the one before, so that a longer run is the same run.
        """
        watch, saved = Stopwatch(self.seconds, self.cpu_s), self.seconds
        whole = True
        try:
            while whole and not watch.spent(budget, self.evaluations) and (pop := self._ask()) is not None:
                left = budget.max_evaluations - self.evaluations
                if whole := len(pop) <= left:
                    self._advance(pop)
                else:
                    if self.checkpoint is not None and self.generation > 0:
                        self.save(archive())
                    self.evaluate(_genomes(pop)[: int(left)])
                    self.evaluations += int(left)
                self.seconds, self.cpu_s = watch.seconds, watch.cpu_s
                if on_progress is not None:
                    on_progress(self.evaluations, self.seconds, len(archive()))
                if self.checkpoint is not None and whole and self.seconds - saved > 1.0:
                    self.save(archive())
                    saved = self.seconds
        finally:  # an interruption loses nothing
            if self.checkpoint is not None and whole and self.generation > 0:
                self.save(archive())
        return self.seconds

    def _ask(self) -> Any:
        """The next generation as pymoo proposes it; None when no genome is left that differs from the population's."""
        algorithm = self._algorithm
        algorithm.random_state = np.random.default_rng((self.seed, self.generation))
        pop = algorithm.ask()
        return None if pop is None or len(pop) == 0 else pop

    def _advance(self, pop: Any) -> None:
        """Evaluates a generation and selects from it."""
        genomes = _genomes(pop)
        objectives, violations = self.evaluate(genomes)
        self._tell(pop, objectives, violations)
        self._algorithm.tell(infills=pop)
        self.generation += 1
        self.evaluations += len(genomes)

    def save(self, archive: IntArray) -> None:
        assert self.checkpoint is not None
        pop = self._algorithm.pop
        rank, crowding = (np.array([p.get(name) for p in pop], dtype=np.float64) for name in ("rank", "crowding"))
        state = Population(
            np.rint(pop.get("X")).astype(np.int64), pop.get("F"), pop.get("G")[:, 0], rank, crowding, archive,
            self.generation, self.evaluations, self.seconds, self.cpu_s,
        )  # fmt: skip
        save_population(self.checkpoint, self.key, state)


def _genomes(pop: Any) -> IntArray:
    """(n, g) of pymoo's population."""
    return np.asarray(np.rint(pop.get("X")), dtype=np.int64)


def _population(x: NDArray[np.float64]) -> Any:
    from pymoo.core.population import Population as PymooPopulation

    return PymooPopulation.new("X", x)


def _make(sizes: IntArray, population: int, first: IntArray | None) -> tuple[NSGA2, object]:
    """pymoo's NSGA-II for integer genes: rounded simulated binary crossover and polynomial mutation."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    problem = Problem(n_var=len(sizes), n_obj=2, n_ieq_constr=1, xl=np.zeros(len(sizes)), xu=sizes - 1.0, vtype=int)
    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling() if first is None else first.astype(np.float64),
        crossover=SBX(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=0.9, eta=3.0, vtype=float, repair=RoundingRepair()),
    )
    algorithm.setup(problem, termination=NoTermination(), seed=0, verbose=False)
    return algorithm, problem


def _run(job: Job) -> Front:
    def heard(evaluations: int, seconds: float, kept: int) -> None:
        job.heard(kept, None, f"{evaluations:,} designs tried")

    return nsga2(job.problem, budget=job.budget, seed=job.seed, checkpoint=job.checkpoint, on_progress=heard)


METHOD = Method("nsga2", _run, "NSGA-II over networks, precisions and accelerators together", counts="designs")
