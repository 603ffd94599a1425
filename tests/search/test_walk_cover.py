"""Exact paths of a trellis, minimum covers, metrics against an exact front."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.front import Design, Front
from cofront.problem import INFEASIBLE
from cofront.search.cover import accelerators_of, accuracy_losses, cover, find_accelerator, smallest_tolerance
from cofront.search.metrics import accuracy_at, compare, latency_at, merged, reference_point
from cofront.search.sequential import best_networks
from cofront.search.walk import Paths, best_paths, path_of
from cofront.testing.brute import accelerators, all_paths, tiny_problems
from cofront.testing.problems import random_trellis


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_best_paths_equal_all_paths(seed: int, limited: bool) -> None:
    rng = np.random.default_rng(seed)
    trellis = random_trellis(rng)
    cost = rng.integers(0, 30, trellis.n_edges)
    cost[rng.random(trellis.n_edges) < 0.1] = INFEASIBLE
    score = rng.integers(-5, 20, trellis.n_edges)
    limit = int(rng.integers(0, 100)) if limited else INFEASIBLE - 1
    best: dict[int, int] = {}
    for path in all_paths(trellis):
        c, s = int(cost[path].sum()), int(score[path].sum())
        if c <= limit and not np.any(cost[path] >= INFEASIBLE):
            best[c] = max(best.get(c, -(10**9)), s)
    expected: list[tuple[int, int]] = []
    for c in sorted(best):
        if not expected or best[c] > expected[-1][1]:
            expected.append((c, best[c]))
    found = best_paths(trellis, cost, score, limit)
    assert list(zip(found.cost.tolist(), found.score.tolist(), strict=True)) == expected
    for i in range(len(found)):
        path = found.path(i)
        assert trellis.edge_from[path[0]] == 0
        assert trellis.edge_to[path[-1]] == trellis.n_nodes - 1
        assert np.array_equal(trellis.edge_to[path[:-1]], trellis.edge_from[path[1:]])
        assert (int(cost[path].sum()), int(score[path].sum())) == expected[i]


def test_path_of_a_point_of_a_space() -> None:
    from cofront.space.ofa_mobilenetv3 import OfaMobileNetV3

    space = OfaMobileNetV3()
    layered = space.layered()
    for point in space.sample(np.random.default_rng(0), 5):
        path = path_of(layered.trellis, point)
        fixed = dict(pair for e in path for pair in layered.trellis.choices[e])
        assert [fixed.get(i, 0) for i in range(len(point))] == point.tolist()
        fragments = [layered.fragments[layered.edge_fragment[e]] for e in path if layered.edge_fragment[e] >= 0]
        assert sum(f.macs for f in fragments) == space.network(point).macs
    wrong = space.sample(np.random.default_rng(0), 1)[0].copy()
    wrong[1:] = 10
    with pytest.raises(InputError, match="no path of the trellis agrees with point"):
        path_of(layered.trellis, wrong)
    with pytest.raises(InputError, match="no path of the trellis agrees with point"):
        Paths(layered.trellis).many(np.array([point, wrong]))


@pytest.mark.parametrize("name", ["ofa_mobilenetv3", "subgraph32"])
def test_the_blocks_of_many_points_are_their_networks(name: str) -> None:
    from cofront import space as spaces

    space = spaces.load(name)
    layered = space.layered()
    points = space.sample(np.random.default_rng(3), 12)
    paths = Paths(layered.trellis)
    for point, path in zip(points, paths.many(points), strict=True):
        assert path[path >= 0].tolist() == paths(point).tolist()
        parts = [layered.fragments[f] for f in layered.edge_fragment[path[path >= 0]] if f >= 0]
        network = space.network(point)
        for size in ("macs", "params", "weight_bytes", "activation_bytes"):
            assert getattr(network, size) == sum(getattr(part, size) for part in parts), size


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_cover_is_the_smallest(seed: int, rows: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    loss = rng.integers(0, 6, (rows, points)).astype(float)
    loss[rng.random(loss.shape) < 0.1] = np.inf
    tolerance = float(rng.integers(0, 5))
    coverable = (loss <= tolerance).any(axis=0)
    sizes = [
        k
        for k in range(rows + 1)
        if any(
            (loss[list(c)][:, coverable] <= tolerance).any(axis=0).all() for c in itertools.combinations(range(rows), k)
        )
    ]
    found = cover(loss, tolerance)
    assert found.proven
    assert len(found.chosen) == sizes[0]
    assert found.uncovered == tuple(np.flatnonzero(~coverable))
    if coverable.any():
        assert np.all(found.loss[coverable] <= tolerance)
    for k in range(1, rows + 1):
        worst = min(loss[list(c)].min(axis=0).max() for c in itertools.combinations(range(rows), min(k, rows)))
        if np.isfinite(worst):
            assert smallest_tolerance(loss, k)[0] == worst
        else:
            with pytest.raises(UsageError, match=f"no {k} of {rows} accelerators reach every design"):
                smallest_tolerance(loss, k)


def test_the_accelerators_of_a_front_cover_it_without_loss() -> None:
    for problem in tiny_problems(4):
        front = best_networks(problem, accelerators(problem))
        units = accelerators_of(problem, front)
        loss = accuracy_losses(problem, front, units)
        assert loss.shape == (len(units), len(front.designs))
        found = cover(loss, 0.0)
        assert not found.uncovered
        assert np.all(found.loss == 0)
        alone = best_networks(problem, [units[i] for i in found.chosen])
        assert [(d.cycles, d.accuracy) for d in alone.designs] == [(d.cycles, d.accuracy) for d in front.designs]
        for d, unit in zip(front.designs, (find_accelerator(problem, d.config) for d in front.designs), strict=True):
            assert problem.engines[unit[0]].config(unit[1]) == d.config
    with pytest.raises(InputError, match="the problem has no accelerator"):
        find_accelerator(problem, {"engine": "none"})


def test_bad_tolerances() -> None:
    with pytest.raises(UsageError, match="tolerance: expected a number from 0, got -1"):
        cover(np.zeros((1, 1)), -1)
    with pytest.raises(UsageError, match="number of accelerators: expected at least 1, got 0"):
        smallest_tolerance(np.zeros((1, 1)), 0)
    with pytest.raises(InputError, match="losses: expected numbers or infinity, got NaN"):
        smallest_tolerance(np.full((1, 1), np.nan), 1)


def _front(*points: tuple[float, float]) -> Front:
    designs = tuple(Design(a, x, int(x * 1e6), {}, {}) for x, a in points)
    return Front(designs, 0.0, 1, 0.0)


def test_metrics_by_hand() -> None:
    exact = _front((1.0, 0.70), (2.0, 0.75), (4.0, 0.80))
    other = _front((2.0, 0.74), (6.0, 0.80))
    assert accuracy_at(other, np.array([1.0, 2.0, 7.0])).tolist() == [-math.inf, 0.74, 0.80]
    assert latency_at(other, np.array([0.7, 0.75, 0.9])).tolist() == [2.0, 6.0, math.inf]
    reference = reference_point(exact)
    assert reference == pytest.approx((4.4, 0.69))
    result = compare(other, exact)
    assert result.unreached == 1
    assert result.unmatched == 0
    assert result.loss_max == math.inf
    assert result.loss_max_reached == pytest.approx(6.0)
    assert result.loss_median == pytest.approx(6.0)
    assert result.ratio_median == pytest.approx(2.0)
    assert result.ratio_max == pytest.approx(3.0)
    assert result.hypervolume_ratio == pytest.approx((2.4 * 0.05) / (3.4 * 0.01 + 2.4 * 0.05 + 0.4 * 0.05))
    assert result.above == 0
    same = compare(exact, exact)
    assert (same.hypervolume_ratio, same.loss_max, same.ratio_max) == pytest.approx((1.0, 0.0, 1.0))
    assert compare(_front((0.5, 0.70), (2.0, 0.76)), exact).above == 2


def test_an_empty_front_is_infinitely_far_and_no_front_to_compare_with() -> None:
    exact = _front((1.0, 0.70), (2.0, 0.75))
    nothing = compare(_front(), exact)
    assert (nothing.hypervolume_ratio, nothing.loss_max, nothing.unreached, nothing.unmatched) == (0.0, math.inf, 2, 2)
    with pytest.raises(UsageError, match="the exact front is empty"):
        compare(exact, _front())


def test_merged_fronts_keep_what_is_not_dominated() -> None:
    both = merged([_front((1.0, 0.70), (3.0, 0.75)), _front((1.0, 0.71), (2.0, 0.75), (4.0, 0.76))], "both")
    assert [(d.latency_s, d.accuracy) for d in both.designs] == [(1.0, 0.71), (2.0, 0.75), (4.0, 0.76)]
    assert both.n_designs == 2
