"""The exact joint front against plain enumeration, and what it says when it is interrupted."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cofront.errors import CofrontError
from cofront.problem import CodesignProblem, Engine, KernelTable
from cofront.search.exact.joint import joint_front
from cofront.search.exact.joint.solve import Search
from cofront.testing.brute import brute_front
from cofront.testing.problems import random_problem, random_trellis

sys.path.insert(0, str(Path(__file__).parent))
import brute


def front_of(problem):
    return [(p.cycles, p.score) for p in joint_front(problem).points]


def test_thirty_random_instances_equal_brute_force():
    feasible = 0
    for seed in range(40):
        problem = random_problem(np.random.default_rng(seed), "tiny")
        expected = brute.pareto((d[0], d[1]) for d in brute.designs(problem))
        found = joint_front(problem)
        assert [(p.cycles, p.score) for p in found.points] == expected, seed
        assert found.complete
        assert found.gap_micro == 0
        feasible += bool(expected)
    assert feasible >= 20


def test_budgets_that_few_accelerators_meet_equal_brute_force():
    """One resource up is another down, so that only few sums fit: no design is known until the boxes are split."""
    late = 0
    for seed in range(1, 12):
        rng = np.random.default_rng(seed)
        trellis = random_trellis(rng, "tiny")
        if trellis.n_paths() > 400:
            continue
        used = [rng.integers(0, 1200, 24) for _ in range(3)]
        kernels = []
        for k, x in enumerate(used):
            cycles = rng.integers(1, 500, (24, trellis.n_rows))
            resources = np.stack([x, 4000 - x, 0 * x, 0 * x], 1)
            solo = cycles + rng.integers(0, 40, cycles.shape)
            params = np.arange(24)[:, None]
            kernels.append(KernelTable(f"k{k}", ("i",), params, resources, cycles, cycles // 5, cycles // 7, solo))
        room = int(sum(x[rng.integers(24)] for x in used))
        memory, overhead, energy = (rng.integers(1, 50, trellis.n_rows) for _ in range(3))
        engine = Engine("e", tuple(kernels), memory, overhead, np.zeros(4, np.int64), energy)
        scores = trellis.scores(rng.normal(0, 0.01, trellis.n_features))
        problem = CodesignProblem(trellis, scores, (engine,), np.array([room, 12000 - room, 0, 0]), 2.5e8)
        search = Search(problem)
        search.prepare()
        search.seed()
        late += len(search.front.cost) == 0
        assert front_of(problem) == brute_front(problem), seed
    assert late >= 5


def test_all_budgets_of_a_third_resource_at_once_equal_brute_force():
    """For every budget of the ladder the designs that need no more of it are the front of that budget."""
    levels = 0
    for seed in range(40):
        rng = np.random.default_rng(300 + seed)
        problem = random_problem(rng, "tiny")
        k = int(rng.integers(len(problem.budget)))
        every = list(brute.designs(problem))
        needed = sorted({d[2][k] for d in every} | {0, int(problem.budget[k])})
        ladder = sorted(rng.choice(needed, size=min(len(needed), 4), replace=False).tolist())
        found = joint_front(problem, third=problem.resource_names[k], third_budgets=ladder)
        assert found.complete
        assert found.levels == tuple(ladder)
        for p in found.points:
            assert p.level == min(b for b in ladder if b >= p.resources[k])
        for b in ladder:
            expected = brute.pareto((d[0], d[1]) for d in every if d[2][k] <= b)
            assert brute.pareto((p.cycles, p.score) for p in found.points if p.level <= b) == expected, (seed, b)
            levels += bool(expected)
        for p in found.points:
            assert not any(
                q is not p and q.cycles <= p.cycles and q.score >= p.score and q.level <= p.level for q in found.points
            )
    assert levels >= 60


@pytest.mark.parametrize("after", [1, 20, 40, 60, 80, 120])
def test_an_interrupted_ladder_is_exact_for_the_budgets_it_calls_done(after):
    problem = random_problem(np.random.default_rng(13), "small")
    calls = 0

    def stop():
        nonlocal calls
        calls += 1
        return calls > after

    top = int(problem.budget[0])
    ladder = [top * 2 // 3, top * 5 // 6, top]
    part = joint_front(problem, third="dsp", third_budgets=ladder, should_stop=stop)
    whole = joint_front(problem, third="dsp", third_budgets=ladder)
    assert part.levels == tuple(ladder[: len(part.levels)])
    assert part.complete == (part.levels == tuple(ladder))
    for b in part.levels:
        assert brute.pareto((p.cycles, p.score) for p in part.points if p.level <= b) == brute.pareto(
            (p.cycles, p.score) for p in whole.points if p.level <= b
        )
    best = {p.cycles: p.score for p in whole.points}
    for cycles, score in best.items():
        found = [p.score for p in part.points if p.cycles <= cycles]
        if found:
            assert score <= max(found) + part.gap_micro


def test_a_third_resource_that_does_not_exist_or_budgets_beyond_the_device_are_named():
    problem = random_problem(np.random.default_rng(5), "tiny")
    with pytest.raises(CofrontError, match=r"'dps'.*dsp"):
        joint_front(problem, third="dps")
    with pytest.raises(CofrontError, match=r"third resource 'dsp': expected budgets from 0 to \d+, got \[-1\]"):
        joint_front(problem, third="dsp", third_budgets=[-1, 0])


@pytest.mark.parametrize("seed", range(10))
def test_the_energy_front_equals_brute_force(seed):
    problem = random_problem(np.random.default_rng(500 + seed), "tiny")
    static = round(problem.static_power_w * 1e12 / problem.clock_hz)
    expected = brute.pareto((d[3] + static * d[0], d[1]) for d in brute.designs(problem))
    found = joint_front(problem, objective="energy")
    assert found.complete
    assert [(p.energy_pj, p.score) for p in found.points] == expected
    limit = expected[len(expected) // 2][0] if expected else 1
    part = joint_front(problem, objective="energy", max_energy_pj=limit)
    assert [p.score for p in part.points] == [s for c, s in expected if c <= limit]


@pytest.mark.parametrize("seed", range(10))
def test_limits_cut_the_front(seed):
    problem = random_problem(np.random.default_rng(600 + seed), "tiny")
    expected = brute.pareto((d[0], d[1]) for d in brute.designs(problem))
    if not expected:
        return
    cycles, score = expected[len(expected) // 2]
    part = joint_front(problem, max_cycles=cycles)
    assert [(p.cycles, p.score) for p in part.points] == [x for x in expected if x[0] <= cycles]
    part = joint_front(problem, min_score=score)
    assert [(p.cycles, p.score) for p in part.points] == [x for x in expected if x[1] >= score]


@pytest.mark.parametrize("seed", range(6))
def test_every_point_is_a_design_that_fits_and_costs_what_it_says(seed):
    problem = random_problem(np.random.default_rng(100 + seed), "small")
    trellis = problem.trellis
    for p in joint_front(problem).points:
        engine = problem.engines[p.engine]
        rows = engine.row_latency(p.configs)
        assert (
            sum(int(rows[trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]]].sum()) for e in p.edges) == p.cycles
        )
        assert sum(int(problem.edge_score[e]) for e in p.edges) == p.score
        assert (engine.resources(p.configs) <= problem.budget).all()
        ends = [(int(trellis.edge_from[e]), int(trellis.edge_to[e])) for e in p.edges]
        assert ends[0][0] == 0
        assert ends[-1][1] == trellis.n_nodes - 1
        assert all(a[1] == b[0] for a, b in pairwise(ends))


def test_the_same_input_gives_the_same_front():
    problem = random_problem(np.random.default_rng(5), "small")
    first, second = joint_front(problem), joint_front(problem)
    assert first.points == second.points


@pytest.mark.parametrize("after", [0, 1, 2, 4, 8, 16])
def test_an_interrupted_search_certifies_a_gap_that_holds(after):
    problem = random_problem(np.random.default_rng(11), "small")
    whole = front_of(problem)
    calls = 0

    def stop():
        nonlocal calls
        calls += 1
        return calls > after

    part = joint_front(problem, should_stop=stop)
    if part.complete:
        assert [(p.cycles, p.score) for p in part.points] == whole
        return
    for cycles, score in whole:
        allowed = [s for c, s in part.bound if c >= cycles]
        assert not allowed or score <= min(allowed)
        found = [p.score for p in part.points if p.cycles <= cycles]
        if found:
            assert score <= max(found) + part.gap_micro


@pytest.mark.parametrize("seed", range(3))
def test_without_any_pruning_the_front_is_the_same(seed):
    problem = random_problem(np.random.default_rng(200 + seed), "small")
    plain = joint_front(problem, dominance=False, bounding=False)
    assert plain.complete
    assert [(p.cycles, p.score) for p in plain.points] == front_of(problem)
