"""One proxy device, and HELP's constrained search."""

import numpy as np
import pytest

from cofront.errors import UsageError
from cofront.predict.base import Prediction
from cofront.space import load
from cofront.systems.claims import claims_table
from cofront.systems.help import KEPT, HelpSearch
from cofront.systems.help import claims as help_claims
from cofront.systems.one_proxy import ENOUGH, OneProxy, claims, monotonicity


@pytest.fixture(scope="module")
def cells():
    space = load("nasbench201")
    return space, space.sample(np.random.default_rng(0), 400)


def latency(cells: np.ndarray, cost: tuple[float, ...]) -> np.ndarray:
    """Milliseconds: a constant and a cost per operation."""
    return 1e-3 * (2 + np.array(cost)[cells].sum(axis=1))


PROXY = (0.0, 0.1, 0.5, 2.0, 0.3)
#: The same but for pooling, which is dear there.
TARGET = (0.0, 0.1, 0.5, 2.0, 3.0)


def test_monotonicity_is_the_rank_correlation(cells):
    _, points = cells
    a = latency(points, PROXY)
    names, matrix = monotonicity({"a": a, "b": 3 * a, "c": -a, "d": np.where(np.arange(400) < 9, a, np.nan)})
    assert names == ("a", "b", "c", "d")
    assert matrix[0] == pytest.approx([1, 1, -1, 1], abs=1e-4)
    assert np.array_equal(matrix, matrix.T)


def test_a_sparse_difference_is_adapted_to(cells):
    space, points = cells
    proxy = OneProxy(space, points, "proxy", latency(points, PROXY))
    assert proxy.linear_fit() > 0.999
    found = proxy.adapt("target", latency(points, TARGET), 70, draws=3)
    assert found.raw < ENOUGH and not found.reused
    assert found.adapted > 0.97 > found.raw
    same = proxy.adapt("twin", 2 * latency(points, PROXY), 70, draws=2)
    assert same.reused and same.adapted > 0.999


def test_choices_are_within_reach_of_an_oracle(cells):
    space, points = cells
    target = latency(points, TARGET)
    accuracy = 0.5 + 0.01 * (points == 3).sum(axis=1) + 1e-5 * np.arange(400)
    proxy = OneProxy(space, points, "proxy", latency(points, PROXY))
    choices = proxy.choose(target, accuracy, np.arange(400), 120)
    assert len(choices) == 10
    for c in choices:
        assert c.chosen <= accuracy.max()
        if c.latency_s <= c.limit_s:
            assert c.chosen <= c.oracle
    assert np.median([c.oracle - c.chosen for c in choices]) < 0.01


def test_bad_proxies_are_named(cells):
    space, points = cells
    with pytest.raises(UsageError, match="400 networks, but latencies of shape"):
        OneProxy(space, points, "proxy", np.ones(3))


def test_claims_stand_beside_the_papers(cells):
    space, points = cells
    proxy = OneProxy(space, points, "pixel3", latency(points, PROXY))
    found = [proxy.adapt(t, latency(points, TARGET), 70, draws=2) for t in ("eyeriss", "board")]
    table = claims_table(claims("nasbench201", "pixel3", found))
    assert "0.72 to 0.99" in table and "not printed" in table


class Fixed:
    """A predictor that says what it is told."""

    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    def predict(self, x: np.ndarray) -> Prediction:
        return Prediction(self.mean, np.ones(len(x)))


def test_helps_search_keeps_the_first_three_within_the_limit():
    accuracy = np.array([0.1, 0.5, 0.7, 0.6, 0.9])
    true = np.array([1.0, 2.0, 3.0, 4.0, 1.0])
    search = HelpSearch(np.zeros((5, 1)), accuracy, true)
    predicted = Fixed(np.array([9.0, 2.0, 2.5, 3.0, 1.0]))
    tight, loose, none = search.run(predicted, [2.6, 3.0, 0.5])  # type: ignore[arg-type]
    assert KEPT == 3
    assert (tight.rank, tight.accuracy) == (4, 0.9)  # of 1, 2 and 4
    assert (loose.rank, loose.accuracy) == (2, 0.7)  # of 1, 2 and 3: the last is the fourth within the limit
    assert loose.overshoot == 0 and none.rank == 4 and none.overshoot == pytest.approx(1.0)
    with pytest.raises(UsageError, match="5 candidates, 3 accuracies, 5 latencies"):
        HelpSearch(np.zeros((5, 1)), accuracy[:3], true)


def test_helps_claims():
    table = claims_table(help_claims("fbnet", {"help": {"eyeriss": 0.95}, "nnls": {"eyeriss": 0.9}}))
    assert "| 0.943 | help 0.950, nnls 0.900 |" in table
