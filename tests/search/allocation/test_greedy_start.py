"""Greedy allocation where the best options lose nothing, and rounding alone makes them look like a gain."""

import numpy as np

from cofront.search.allocation import Problem, allocate, greedy


def test_greedy_leaves_a_start_without_loss():
    rng = np.random.default_rng(0)
    for _ in range(30):
        cost = np.sort(rng.random((4, 49)), axis=1) * 1e-6
        loss = np.sort(rng.random((4, 49)), axis=1)[:, ::-1] * np.linspace(1, 0, 49)
        problem = Problem(loss, {"latency": cost})
        limit = {"latency": 0.5 * float(cost[:, -1].sum())}
        found = greedy(problem, limit)
        assert found.choice and found.costs["latency"] <= limit["latency"]
        assert found.loss >= allocate(problem, limit).loss - 1e-12
