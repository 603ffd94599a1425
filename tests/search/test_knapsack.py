import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.search.knapsack import allocate


def brute(cost, loss, limit):
    best = {}
    for pick in itertools.product(range(cost.shape[1]), repeat=len(cost)):
        c = sum(int(cost[g, o]) for g, o in enumerate(pick))
        v = sum(float(loss[g, o]) for g, o in enumerate(pick))
        if c < limit:
            best[c] = min(v, best.get(c, np.inf))
    front, least = [], np.inf
    for c in sorted(best):
        if best[c] < least - 1e-12:
            front.append((c, best[c]))
            least = best[c]
    return front


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4))
def test_every_budget_equals_brute_force(seed, groups, options):
    rng = np.random.default_rng(seed)
    cost, loss = rng.integers(0, 30, (groups, options)), rng.integers(0, 20, (groups, options)).astype(float)
    found = allocate(cost, loss, limit=60)
    assert list(zip(found.cost.tolist(), found.loss.tolist(), strict=True)) == brute(cost, loss, 60)
    for c, v, pick in zip(found.cost, found.loss, found.options, strict=True):
        assert cost[np.arange(groups), pick].sum() == c
        assert loss[np.arange(groups), pick].sum() == v


def test_within_answers_budgets():
    found = allocate(np.array([[1, 5]]), np.array([[3.0, 0.0]]), 100)
    assert found.within(0) is None
    assert found.loss[found.within(4)] == 3.0
    assert found.loss[found.within(5)] == 0.0
