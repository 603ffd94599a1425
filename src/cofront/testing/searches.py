"""The conformance suite of joint searches: subclass `SearchConformance`, say how to run yours, inherit the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cofront.front import Design, Front
from cofront.problem import CodesignProblem
from cofront.testing.brute import brute_front, tiny_problems


class SearchConformance:
    """Set `search`: (problem, seed) -> Front, given little time; `exact` if its fronts are proven."""

    search: Callable[[CodesignProblem, int], Front]
    exact: bool = False
    problems: int = 5

    def _fronts(self) -> list[tuple[CodesignProblem, Front]]:
        return [(p, type(self).search(p, 0)) for p in tiny_problems(self.problems)]

    def test_designs_rise_in_latency_and_accuracy(self) -> None:
        for _, front in self._fronts():
            latency, accuracy = front.arrays()
            assert np.all(np.diff(latency) > 0)
            assert np.all(np.diff(accuracy) > 0)

    def test_designs_cost_what_they_say_and_fit(self) -> None:
        for problem, front in self._fronts():
            for design in front.designs:
                check_design(problem, design)

    def test_nothing_is_above_the_optimum_and_the_gap_holds(self) -> None:
        for problem, front in self._fronts():
            best = [(c, float(problem.accuracy(np.array(s)))) for c, s in brute_front(problem)]
            for design in front.designs:
                assert design.accuracy <= max(a for c, a in best if c <= design.cycles)
            for cycles, accuracy in best:
                reached = max((d.accuracy for d in front.designs if d.cycles <= cycles), default=0.0)
                assert accuracy <= reached + front.gap + 1e-12
            if self.exact:
                assert front.gap == 0
                assert front.status == "optimal"

    def test_the_same_seed_gives_the_same_front(self) -> None:
        problem = tiny_problems(1)[0]
        assert type(self).search(problem, 7).designs == type(self).search(problem, 7).designs

    def test_nothing_that_fits_is_a_result(self) -> None:
        problem = tiny_problems(1)[0]
        front = type(self).search(replace(problem, budget=np.zeros_like(problem.budget)), 0)
        assert front.designs == ()
        assert front.status == ("infeasible" if self.exact else front.status)


def check_design(problem: CodesignProblem, design: Design) -> None:
    """A design of a `random_problem` (whose points mark the edges taken) costed anew by the scalar path."""
    engine = next(e for e in problem.engines if e.name == design.config["engine"])
    chosen = []
    for k in engine.kernels:
        values = [design.config[k.name][n] for n in k.param_names]
        chosen.append(int(np.flatnonzero((k.params == values).all(axis=1))[0]))
    trellis = problem.trellis
    edges = np.flatnonzero(np.array(design.point))
    edges = edges[np.argsort(trellis.edge_from[edges])]
    assert trellis.edge_from[edges[0]] == 0
    assert trellis.edge_to[edges[-1]] == trellis.n_nodes - 1
    assert np.array_equal(trellis.edge_from[edges][1:], trellis.edge_to[edges][:-1])
    latency = engine.row_latency(tuple(chosen))
    cycles = sum(int(latency[r]) for e in edges for r in trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]])
    assert design.cycles == cycles
    assert design.latency_s == cycles / problem.clock_hz
    assert design.accuracy == float(problem.accuracy(problem.edge_score[edges].sum()))
    used = engine.resources(tuple(chosen))
    assert list(design.resources.values()) == used.tolist()
    assert np.all(used <= problem.budget)
