"""Fronts with a third objective as the API gives them, against plain enumeration."""

import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cofront.api import thirds
from cofront.api.joint import exact_front
from cofront.api.thirds import _non_dominated, third_front, third_value
from cofront.errors import UsageError
from cofront.front import Design
from cofront.testing.problems import random_problem

sys.path.insert(0, str(Path(__file__).parent))
import brute


def test_the_non_dominated_are_those_that_nothing_beats():
    rng = np.random.default_rng(1)
    for _ in range(60):
        designs = [
            Design(accuracy=float(a) / 8, latency_s=float(c), cycles=int(c), resources={"dsp": int(r)}, config={})
            for c, a, r in rng.integers(0, 8, size=(int(rng.integers(1, 30)), 3))
        ]
        expected = {
            (d.cycles, d.accuracy, d.resources["dsp"])
            for d in designs
            if not any(
                (o.cycles, -o.accuracy, o.resources["dsp"]) != (d.cycles, -d.accuracy, d.resources["dsp"])
                and o.cycles <= d.cycles
                and o.accuracy >= d.accuracy
                and o.resources["dsp"] <= d.resources["dsp"]
                for o in designs
            )
        }
        kept = [(d.cycles, d.accuracy, d.resources["dsp"]) for d in _non_dominated(designs, "dsp")]
        assert len(kept) == len(set(kept))
        assert set(kept) == expected


@pytest.mark.parametrize("seed", range(12))
def test_every_budget_of_the_ladder_has_its_exact_front(seed):
    problem = random_problem(np.random.default_rng(700 + seed), "tiny")
    every = list(brute.designs(problem))
    front, levels = third_front(problem, "lut")
    assert front.status == ("optimal" if every else "infeasible")
    assert front.gap == 0.0
    assert len(levels) > 1
    for level in levels:
        within = [d for d in front.designs if third_value(d, "lut") <= level]
        found = brute.pareto((d.cycles, d.accuracy) for d in within)
        expected = brute.pareto((d[0], float(problem.accuracy(np.array(d[1])))) for d in every if d[2][1] <= level)
        assert found == expected


def test_energy_without_figures_is_refused():
    problem = random_problem(np.random.default_rng(800), "tiny")
    some = (replace(problem.engines[0], energy=None), *problem.engines[1:])
    with pytest.raises(UsageError, match="has no energy figures; choose another third objective"):
        third_front(replace(problem, engines=some), "energy")
    with pytest.raises(UsageError, match="has no energy figures; choose another objective"):
        exact_front(replace(problem, engines=some), objective="energy")
    assert exact_front(replace(problem, engines=some)).gap == 0.0


def test_one_time_limit_is_for_both_fronts(monkeypatch):
    problem = random_problem(np.random.default_rng(800), "tiny")
    given = []

    def slow(*args, time_limit_s, **kw):
        given.append(time_limit_s)
        time.sleep(0.2)
        return exact_front(*args, **kw)

    monkeypatch.setattr(thirds, "exact_front", slow)
    third_front(problem, "energy", time_limit_s=30.0)
    assert given[0] == 30.0
    assert 0.0 < given[1] <= 29.8
    third_front(problem, "energy", time_limit_s=0.1)
    assert given[3] == 0.0


@pytest.mark.parametrize("seed", range(12))
def test_the_ends_of_the_energy_front_are_exact(seed):
    problem = random_problem(np.random.default_rng(800 + seed), "tiny")
    every = list(brute.designs(problem))
    front, levels = third_front(problem, "energy")
    assert levels == []
    accuracy = [float(problem.accuracy(np.array(d[1]))) for d in every]
    expected = brute.pareto(zip((d[0] for d in every), accuracy, strict=True))
    assert brute.pareto((d.cycles, d.accuracy) for d in front.designs) == expected
    if every:
        static = round(problem.static_power_w * 1e12 / problem.clock_hz)
        least = min(d[3] + static * d[0] for d in every)
        assert math.isclose(min(third_value(d, "energy") for d in front.designs), least * 1e-12, rel_tol=1e-3)


def test_progress_states_no_gap_before_there_is_one():
    problem = random_problem(np.random.default_rng(13), "small")
    heard = []
    exact_front(problem, on_progress=lambda stage, designs, gap: heard.append((stage, gap)))
    assert heard[0][1] is None
    assert heard[0][0].endswith("nothing proven yet")
    assert all((gap is None) == stage.endswith("nothing proven yet") for stage, gap in heard)
    assert all(gap is None or gap < 1 for _, gap in heard)
