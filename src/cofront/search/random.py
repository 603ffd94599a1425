"""Random search on the evaluator of the exact search: the floor under every heuristic.

Accelerators are drawn until they fit the budget (that test costs next to nothing), so that evaluations go to designs
that could be built; networks are uniform over every decision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cofront.front import Front
from cofront.problem import CodesignProblem, IntArray
from cofront.search.archive import Archive
from cofront.search.budget import Budget, Stopwatch
from cofront.search.evaluator import Evaluator
from cofront.search.genome import Genome, encode
from cofront.search.method import Job, Method


def random_search(
    problem: CodesignProblem,
    *,
    budget: Budget | None = None,
    seed: int = 0,
    batch: int = 2048,
    on_progress: Callable[[int, float, int], None] | None = None,
) -> Front:
    """The non-dominated designs of uniform random samples. Progress is (evaluations, seconds, designs kept)."""
    genome, evaluator = encode(problem), Evaluator(problem)
    archive, budget, watch = Archive(evaluator), budget or Budget(), Stopwatch()
    number = 0
    while not watch.spent(budget, archive.evaluations):
        rng = np.random.default_rng((seed, number))
        n = int(min(batch, budget.max_evaluations - archive.evaluations))
        genomes = fitting(genome, evaluator, rng, n)
        archive.add(evaluator(*genome.accelerators(genomes), genome.paths(genomes)))
        number += 1
        if on_progress is not None:
            on_progress(archive.evaluations, watch.seconds, len(archive))
    return archive.front("random", watch.seconds, {"seed": float(seed)})


def fitting(genome: Genome, evaluator: Evaluator, rng: np.random.Generator, n: int, tries: int = 20) -> IntArray:
    """n genomes whose accelerators exist and fit the budget, where `tries` rounds find so many; the rest at random."""
    genomes = genome.sample(rng, n)
    bad = np.arange(n)
    none = np.zeros((n, 0), dtype=np.int64)
    for _ in range(tries):
        bad = bad[evaluator(*genome.accelerators(genomes[bad]), none[bad]).violation > 0]
        if len(bad) == 0:
            break
        genomes[bad] = genome.sample(rng, len(bad))
    return genomes


def _run(job: Job) -> Front:
    def heard(evaluations: int, seconds: float, kept: int) -> None:
        job.heard(kept, None, f"{evaluations:,} designs tried")

    return random_search(job.problem, budget=job.budget, seed=job.seed, on_progress=heard)


METHOD = Method("random", _run, "uniform random designs whose accelerators fit", counts="designs")
