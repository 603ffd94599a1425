"""The exact joint front against plain enumeration, and what it says when it is interrupted."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cofront.search.exact.joint import joint_front
from cofront.testing.problems import random_problem

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
