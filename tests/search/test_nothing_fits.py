"""Why a joint problem has no design: exact figures, against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cofront.problem import INFEASIBLE
from cofront.search.exact.infeasible import explain_joint, has_design
from cofront.testing.brute import brute_front, tiny_problems


def test_the_least_budgets_are_enough_and_one_less_is_not() -> None:
    seen = {"enough": 0, "whatever": 0}
    for i, problem in enumerate(tiny_problems(4)):
        tight = replace(problem, budget=problem.budget // 3 if i % 2 else np.minimum(problem.budget, [4, 99, 99, 99]))
        assert has_design(tight) == bool(brute_front(tight))
        if brute_front(tight):
            continue
        for entry in explain_joint(tight):
            at = tight.resource_names.index(entry.limit)
            alone = entry.remedy.startswith("whatever")
            seen["whatever" if alone else "enough"] += 1
            budget = np.full(4, 10_000) if alone else tight.budget.copy()
            budget[at] = int(entry.needed)
            assert brute_front(replace(tight, budget=budget))
            budget[at] -= 1
            assert not brute_front(replace(tight, budget=budget))
        told = explain_joint(tight, beyond=lambda name, amount: f"nobody has {amount} {name}")
        assert all(e.remedy == f"nobody has {e.needed:.0f} {e.limit}" for e in told)
    assert min(seen.values()) >= 1, seen


def test_networks_that_nothing_can_run_are_named() -> None:
    problem = tiny_problems(1)[0]
    engines = tuple(
        replace(e, memory=np.full_like(e.memory, INFEASIBLE), kernels=tuple(
            replace(k, solo=np.full_like(k.solo, INFEASIBLE)) for k in e.kernels
        ))
        for e in problem.engines
    )  # fmt: skip
    (entry,) = explain_joint(replace(problem, engines=engines))
    assert entry.limit == "support"
