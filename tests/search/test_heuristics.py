"""NSGA-II, random search and sequential design: honest costs, deterministic, resumable, never above the optimum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cofront.errors import InputError, UsageError
from cofront.front import Front
from cofront.problem import CodesignProblem, IntArray
from cofront.search.budget import Budget, Stopwatch
from cofront.search.dominance import non_dominated
from cofront.search.evaluator import Evaluator
from cofront.search.evolution import Generations, nsga2
from cofront.search.genome import encode
from cofront.search.metrics import FloatArray
from cofront.search.random import fitting, random_search
from cofront.search.sequential import (
    alternate,
    best_accelerators,
    best_networks,
    own_front,
    proxy_networks,
    tuned,
)
from cofront.testing.brute import accelerators, all_paths, brute_front, tiny_problems
from cofront.testing.problems import Grid, ofa_like_problem, random_problem

TINY = tiny_problems(6)


@pytest.fixture(scope="module")
def ofa() -> CodesignProblem:
    return ofa_like_problem(np.random.default_rng(0), Grid((4, 8, 16), (1, 9), (512, 4096), (64,)))


def _pairs(front: Front, problem: CodesignProblem) -> list[tuple[int, float]]:
    return [(d.cycles, d.accuracy) for d in front.designs]


def _expected(problem: CodesignProblem) -> list[tuple[int, float]]:
    """(cycles, accuracy) of the exact front; scores beyond the accuracy's clip are one."""
    out: list[tuple[int, float]] = []
    for cycles, score in brute_front(problem):
        accuracy = float(problem.accuracy(np.array(score)))
        if not out or accuracy > out[-1][1]:
            out.append((cycles, accuracy))
    return out


def _under(front: Front, problem: CodesignProblem) -> None:
    """No design of the front is above the exact one."""
    exact = _expected(problem)
    for d in front.designs:
        reachable = [a for c, a in exact if c <= d.cycles]
        assert reachable
        assert d.accuracy <= max(reachable)


@pytest.mark.parametrize("seed", range(8))
def test_genomes_decode_to_every_path_and_configuration(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed))
    genome = encode(problem)
    genomes = genome.sample(np.random.default_rng(1), 4000)
    paths = genome.paths(genomes)
    found = {tuple(int(e) for e in p if e >= 0) for p in paths}
    every = {tuple(int(e) for e in p) for p in all_paths(problem.trellis)}
    assert found <= every
    if len(every) <= 60:
        assert found == every
    engine, chosen = genome.accelerators(genomes)
    for e, unit in enumerate(problem.engines):
        for k, table in enumerate(unit.kernels):
            assert set(chosen[engine == e, k].tolist()) - {-1} == set(range(len(table.params)))


def test_the_space_variables_are_genes() -> None:
    """Parallel edges told apart by (variable, value) pairs need no index gene."""
    problem = random_problem(np.random.default_rng(5))
    trellis = problem.trellis
    by_pair: dict[tuple[int, int, bool], int] = {}
    choices = []
    for i in range(trellis.n_edges):
        runs = bool(trellis.row_ptr[i + 1] > trellis.row_ptr[i])
        key = (int(trellis.edge_from[i]), int(trellis.edge_to[i]), runs)
        by_pair[key] = by_pair.get(key, -1) + 1
        choices.append(((int(trellis.edge_from[i]), by_pair[key]),))
    named = replace(problem, trellis=replace(trellis, choices=tuple(choices)))
    genome = encode(named)
    assert not [n for n in genome.names if n.startswith("edge@")]
    assert [n for n in genome.names if n.startswith("variable ")]
    found = {tuple(p) for p in genome.paths(genome.sample(np.random.default_rng(0), 4000))}
    assert len(found) == len(
        {tuple(p) for p in encode(problem).paths(encode(problem).sample(np.random.default_rng(0), 4000))}
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_evaluator_equals_the_scalar_path(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed), "small")
    genome, evaluator = encode(problem), Evaluator(problem)
    genomes = genome.sample(np.random.default_rng(2), 300)
    met = evaluator(*genome.accelerators(genomes), genome.paths(genomes))
    checked = 0
    for i in range(len(genomes)):
        unit = problem.engines[met.engine[i]]
        chosen = tuple(int(c) for c in met.chosen[i][: len(unit.kernels)])
        if min(chosen, default=0) < 0:
            assert met.violation[i] >= 1
            continue
        edges = met.paths[i][met.paths[i] >= 0]
        rows = [r for e in edges for r in problem.trellis.rows[slice(*problem.trellis.row_ptr[e : e + 2])]]
        latency = unit.row_latency(chosen)[rows]
        fits = np.all(unit.resources(chosen) <= problem.budget)
        runs = bool(np.all(latency < 1 << 40))
        assert (met.violation[i] == 0) == (fits and runs)
        assert met.score[i] == problem.edge_score[edges].sum()
        if runs:
            checked += 1
            assert met.cycles[i] == latency.sum()
            design = evaluator.design(int(met.engine[i]), chosen, met.paths[i])
            assert design.cycles == met.cycles[i]
            assert list(design.resources.values()) == met.resources[i].tolist()
            assert design.energy_j is not None
    assert checked >= 10


def test_non_dominated_keeps_the_first_of_equals() -> None:
    cycles, score = np.array([5, 3, 3, 7, 9, 5]), np.array([2, 1, 1, 2, 4, 2])
    assert non_dominated(cycles, score).tolist() == [1, 0, 4]
    assert non_dominated(cycles[:0], score[:0]).tolist() == []


def test_every_accelerator_with_its_best_networks_is_the_joint_front() -> None:
    for problem in TINY:
        front = best_networks(problem, accelerators(problem))
        assert _pairs(front, problem) == _expected(problem)


def test_every_network_with_its_best_accelerator_is_the_joint_front() -> None:
    for problem in TINY:
        front = best_accelerators(problem, all_paths(problem.trellis))
        assert _pairs(front, problem) == _expected(problem)


def test_heuristics_are_never_above_the_optimum_and_near_it_when_tiny() -> None:
    share: dict[str, list[float]] = {"nsga2": [], "random": []}
    for problem in TINY:
        for front in (
            nsga2(problem, budget=Budget(evaluations=800), population=40),
            random_search(problem, budget=Budget(evaluations=3000)),
        ):
            _under(front, problem)
            assert (front.gap, front.status) == (1.0, "heuristic")
            best = _expected(problem)[-1][1]
            reached = max((d.accuracy for d in front.designs), default=0.0)  # NSGA-II may find nothing that fits
            share[front.method].append(reached / best if best > 0 else 1.0)
    assert np.mean(share["random"]) >= 0.95
    assert np.mean(share["nsga2"]) >= 0.7


def test_alternation_improves_on_its_start_and_stays_below_the_optimum() -> None:
    for problem in TINY:
        start = next(a for a in accelerators(problem) if len(own_front(Evaluator(problem), a)))
        limits = [c for c, _ in brute_front(problem)] + [1 << 30]
        front = alternate(problem, start, limits)
        _under(front, problem)
        once = best_networks(problem, [start])
        assert max(d.accuracy for d in front.designs) >= max(d.accuracy for d in once.designs)


def test_proxy_networks_are_non_dominated_in_the_proxy(ofa: CodesignProblem) -> None:
    rng = np.random.default_rng(0)
    proxy = rng.integers(1, 20, ofa.trellis.n_edges)
    paths = proxy_networks(ofa, proxy, limit=7)
    assert 2 <= len(paths) <= 7
    costs = [int(proxy[p].sum()) for p in paths]
    scores = [int(ofa.edge_score[p].sum()) for p in paths]
    assert costs == sorted(costs)
    assert scores == sorted(scores)
    assert tuned(ofa, paths[0]) is not None


def test_the_same_seed_gives_the_same_front_also_after_an_interruption(ofa: CodesignProblem, tmp_path: Path) -> None:
    whole = nsga2(ofa, budget=Budget(evaluations=320), population=40, seed=3)
    file = tmp_path / "run.npz"
    half = nsga2(ofa, budget=Budget(evaluations=160), population=40, seed=3, checkpoint=file)
    assert half.designs != whole.designs
    rest = nsga2(ofa, budget=Budget(evaluations=320), population=40, seed=3, checkpoint=file)
    assert rest.designs == whole.designs
    assert rest.stats["evaluations"] == whole.stats["evaluations"] == 320
    assert nsga2(ofa, budget=Budget(evaluations=320), population=40, seed=4).designs != whole.designs
    first = random_search(ofa, budget=Budget(evaluations=500), seed=1, batch=100)
    assert first.designs == random_search(ofa, budget=Budget(evaluations=500), seed=1, batch=100).designs
    assert first.n_designs == 500


def test_an_exception_in_the_middle_saves_the_state(ofa: CodesignProblem, tmp_path: Path) -> None:
    file = tmp_path / "run.npz"

    def stop(evaluations: int, seconds: float, kept: int) -> None:
        if evaluations >= 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nsga2(ofa, budget=Budget(evaluations=320), population=40, seed=3, checkpoint=file, on_progress=stop)
    rest = nsga2(ofa, budget=Budget(evaluations=320), population=40, seed=3, checkpoint=file)
    assert rest.designs == nsga2(ofa, budget=Budget(evaluations=320), population=40, seed=3).designs


def test_foreign_and_broken_checkpoints_are_named(ofa: CodesignProblem, tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    small = Budget(evaluations=40)
    nsga2(ofa, budget=small, population=40, seed=3, checkpoint=file)
    with pytest.raises(UsageError, match="belongs to another problem, population or seed; remove it or name another"):
        nsga2(ofa, budget=small, population=40, seed=4, checkpoint=file)
    content = file.read_bytes()
    for broken in (b"", b"not a zip", content[: len(content) // 2], content[:-40]):
        file.write_bytes(broken)
        with pytest.raises(InputError, match="is not a checkpoint of cofront"):
            nsga2(ofa, budget=small, population=40, seed=3, checkpoint=file)
    with pytest.raises(InputError, match="cannot write the checkpoint"):
        nsga2(ofa, budget=small, population=40, seed=3, checkpoint=tmp_path / "none" / "run.npz")


@pytest.mark.parametrize("evaluations", [3, 40, 97])
def test_nsga2_tries_as_many_as_the_budget_has(ofa: CodesignProblem, tmp_path: Path, evaluations: int) -> None:
    file = tmp_path / "run.npz"
    heard: list[int] = []
    part = nsga2(
        ofa, budget=Budget(evaluations=evaluations), population=40, seed=3, checkpoint=file,
        on_progress=lambda n, s, kept: heard.append(n),
    )  # fmt: skip
    assert part.stats["evaluations"] == heard[-1] == evaluations
    again = nsga2(ofa, budget=Budget(evaluations=evaluations), population=40, seed=3, checkpoint=file)
    assert (again.designs, again.stats["evaluations"]) == (part.designs, evaluations)
    longer = nsga2(ofa, budget=Budget(evaluations=130), population=40, seed=3, checkpoint=file)
    assert longer.designs == nsga2(ofa, budget=Budget(evaluations=130), population=40, seed=3).designs
    assert longer.stats["evaluations"] == 130


def test_nsga2_begins_with_accelerators_that_fit(ofa: CodesignProblem) -> None:
    tight = replace(ofa, budget=ofa.budget // 3)
    genome, evaluator = encode(tight), Evaluator(tight)

    def fit(genomes: IntArray) -> float:
        engine, chosen = genome.accelerators(genomes)
        met = evaluator(engine, chosen, np.zeros((len(genomes), 0), dtype=np.int64))
        return float(np.mean(met.violation == 0))

    rng = np.random.default_rng(0)
    assert fit(genome.sample(rng, 400)) < 0.5
    assert fit(fitting(genome, evaluator, rng, 400)) > 0.95
    first: list[int] = []
    nsga2(tight, budget=Budget(evaluations=40), population=40, on_progress=lambda n, s, kept: first.append(kept))
    assert first[0] > 0  # a design that can be built in the first generation


def test_a_resumed_stopwatch_counts_wall_and_processor_time_apart() -> None:
    watch = Stopwatch(before=100.0, cpu_before=3.0)
    assert 100.0 <= watch.seconds < 160.0
    assert 3.0 <= watch.cpu_s < 60.0
    assert not watch.spent(Budget(cpu_s=90.0), 0)
    assert watch.spent(Budget(time_s=90.0), 0)
    assert watch.spent(Budget(cpu_s=2.0), 0)


def test_budgets(ofa: CodesignProblem) -> None:
    with pytest.raises(UsageError, match="expected time_s above 0, got 0"):
        Budget(time_s=0)
    with pytest.raises(UsageError, match="population of at least 4, got 2"):
        nsga2(ofa, population=2)
    assert random_search(ofa, budget=Budget(time_s=0.05), batch=64).stats["evaluations"] >= 64
    assert random_search(ofa, budget=Budget(cpu_s=0.05), batch=64).stats["evaluations"] >= 64


def test_the_loop_ends_when_no_new_genome_is_left() -> None:
    def evaluate(genomes: IntArray) -> tuple[FloatArray, FloatArray]:
        return genomes.astype(float) * [1, -1], np.zeros(len(genomes))

    run = Generations(np.array([2, 2]), evaluate, 10, 0, None, "four genomes")
    run.loop(Budget(evaluations=10**9, time_s=30), lambda: np.zeros((0, 0), np.int64), None)
    assert run.evaluations <= 10
    assert run.seconds < 10
