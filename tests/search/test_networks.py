"""Evolution of networks with an exact fit inside, for accuracies that need not be additive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError
from cofront.problem import CodesignProblem, Engine, IntArray
from cofront.search.budget import Budget
from cofront.search.networks import TrellisFitter, evolve_networks
from cofront.search.sequential import best_accelerators
from cofront.search.walk import path_of
from cofront.testing.brute import all_paths, tiny_problems


class PathSpace:
    """Points of one coordinate: the number of a path; the trellis's choices are made to agree."""

    name = "paths"

    def __init__(self, problem: CodesignProblem) -> None:
        trellis = problem.trellis
        self.paths = all_paths(trellis)
        self.sizes = np.full(trellis.n_edges, 2)
        choices = tuple(((i, 1),) for i in range(trellis.n_edges))
        self.problem = replace(problem, trellis=replace(trellis, choices=choices))
        self.points = np.zeros((len(self.paths), trellis.n_edges), dtype=np.int64)
        for i, path in enumerate(self.paths):
            self.points[i, path] = 1

    def canonical(self, points: IntArray) -> IntArray:
        """The path that shares most edges with each point."""
        return self.points[np.argmax(points @ self.points.T - 0.5 * self.points.sum(axis=1), axis=1)]


def _product(points: IntArray) -> NDArray[np.float64]:
    """An accuracy that no sum over edges can give."""
    weights = np.linspace(0.1, 0.9, points.shape[1])
    return 0.5 + 0.4 * np.sin(points @ weights * 3.0)


def test_the_front_is_exact_for_the_networks_proposed() -> None:
    for problem in tiny_problems(3, max_paths=40):
        space = PathSpace(problem)
        additive = problem.accuracy(np.array([problem.edge_score[p].sum() for p in space.paths]))
        seen: list[int] = []

        def accuracy(points: IntArray, space: PathSpace = space, values: NDArray[np.float64] = additive, seen=seen):  # type: ignore[no-untyped-def]
            at = [_index(space, tuple(p)) for p in points]
            seen.extend(at)
            return values[at]

        found = evolve_networks(
            space, accuracy, TrellisFitter(space.problem), budget=Budget(evaluations=240), population=30
        )
        assert found.n_designs == len(seen) == len(set(seen)) >= len(space.paths) // 3
        exact = best_accelerators(problem, [space.paths[i] for i in seen])
        expected = {(d.cycles, round(d.accuracy, 12)) for d in exact.designs}
        mine = {(d.cycles, round(d.accuracy, 12)) for d in found.designs}
        assert mine == {  # designs that share a clipped accuracy are one
            p for p in expected if not any(q[0] < p[0] and q[1] >= p[1] for q in expected)
        }
        for d in found.designs:
            path = path_of(space.problem.trellis, np.array(d.point))
            assert np.array_equal(path, space.paths[_index(space, d.point)])
            assert all(d.resources[n] <= b for n, b in zip(problem.resource_names, problem.budget, strict=True))


def _index(space: PathSpace, point: tuple[int, ...]) -> int:
    return int(np.flatnonzero((space.points == np.array(point)).all(axis=1))[0])


def test_no_additivity_needed_and_resumable(tmp_path: Path) -> None:
    (problem,) = tiny_problems(1, max_paths=400, start=50)
    space = PathSpace(problem)
    fitter = TrellisFitter(space.problem)
    whole = evolve_networks(space, _product, fitter, budget=Budget(evaluations=120), population=12, seed=1)
    file = tmp_path / "run.npz"
    evolve_networks(space, _product, fitter, budget=Budget(evaluations=48), population=12, seed=1, checkpoint=file)
    rest = evolve_networks(
        space, _product, fitter, budget=Budget(evaluations=120), population=12, seed=1, checkpoint=file
    )
    assert rest.designs == whole.designs
    assert [d.accuracy for d in whole.designs] == [float(_product(np.array([d.point]))[0]) for d in whole.designs]


def _slower(engine: Engine) -> Engine:
    kernels = tuple(replace(k, cycles=k.cycles + 1, solo=k.solo + 1) for k in engine.kernels)
    return replace(engine, kernels=kernels, memory=engine.memory + 1, overhead=engine.overhead + 1)


def test_a_checkpoint_of_other_accuracies_or_accelerators_is_refused(tmp_path: Path) -> None:
    (problem,) = tiny_problems(1, max_paths=400, start=50)
    space, file = PathSpace(problem), tmp_path / "run.npz"
    run = {"budget": Budget(evaluations=36), "population": 12, "checkpoint": file}
    evolve_networks(space, _product, TrellisFitter(space.problem), **run)
    slower = replace(space.problem, engines=tuple(_slower(e) for e in space.problem.engines))
    for accuracy, fitted in ((lambda p: 1.0 - _product(p), space.problem), (_product, slower)):
        with pytest.raises(UsageError, match="belongs to other accuracies, another device or other accelerators"):
            evolve_networks(space, accuracy, TrellisFitter(fitted), **run)


def test_an_accuracy_function_must_give_numbers() -> None:
    (problem,) = tiny_problems(1)
    space = PathSpace(problem)
    with pytest.raises(InputError, match=r"accuracy function: expected [0-9]+ finite numbers"):
        evolve_networks(space, lambda p: np.full(len(p), np.nan), TrellisFitter(space.problem), population=8)
