"""The learnt throughput: what it learns, that relaxed and discrete agree, its gradient, what it inverts."""

import numpy as np
import pytest
import torch

from cofront.errors import InputError, UsageError
from cofront.search.gradient.cost import need_cost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.relax import one_hot
from cofront.search.gradient.task import Tabular
from cofront.search.gradient.throughput import Fit, ThroughputCost, Training, fit_throughput
from cofront.systems.eh_dnas import gradient_cosine

QUICK = Training(epochs=12, rate=3e-3, decay=0.0, batch=32, dropout=0.0, cosine=True)


def slowest_part(choices):
    """Images per second where the slower half of the layers counts: nothing that adds up."""
    seconds = 1e-3 * (1 + np.array([0.2, 1.0, 0.5])[choices])
    half = choices.shape[1] // 2
    return 1 / np.maximum(seconds[:, :half].sum(axis=1), 1.3 * seconds[:, half:].sum(axis=1))


@pytest.fixture(scope="module")
def learnt(macro):
    choices = np.unique(macro.sample(np.random.default_rng(0), 1400), axis=0)
    choices = np.random.default_rng(1).permutation(choices)
    label = slowest_part(choices)
    cut = len(choices) - 200
    parts = [(choices[a:b], label[a:b]) for a, b in ((0, cut - 200), (cut - 200, cut), (cut, None))]
    cost, errors = fit_throughput(macro, parts[0], parts[1], "toy", training=QUICK)
    return cost, errors, parts


def test_it_learns_what_does_not_add_up_and_keeps_the_best_state(learnt):
    cost, errors, (_, valid, test) = learnt
    fit = Fit.of(cost.predict(test[0]), test[1])
    assert fit.relative < 0.02 and fit.spearman > 0.98 and fit.n == 200
    assert Fit.of(cost.predict(valid[0]), valid[1]).relative == pytest.approx(min(errors), rel=1e-4)
    assert len(errors) == QUICK.epochs and min(errors) < errors[0] / 3
    assert str(Fit(0.0123, 0.98765, 7)) == "1.23 % off, Spearman 0.9877"


def test_relaxed_equals_discrete_where_weights_are_one_hot(learnt, macro):
    cost, _, (train, _, test) = learnt
    seconds = cost.of(test[0][:20])
    for choice, expected in zip(test[0], seconds, strict=False):
        encoding = one_hot(torch.from_numpy(choice), macro.shape).encoding
        assert float(cost.expected(encoding)) == pytest.approx(expected, rel=1e-12)
        assert float(cost.expected(encoding.float())) == pytest.approx(expected, rel=1e-5)
    assert cost.bounds() == (1 / train[1].max(), 1 / train[1].min())


def test_its_gradient_is_that_of_finite_differences(learnt, macro):
    cost = learnt[0]
    assert gradient_cosine(cost, seed=3) > 0.999


def test_the_prediction_is_inverted_not_its_z_score(macro):
    """The inverse of a z-score is infinite at the mean label; that of the prediction is the mean's own seconds."""

    class Nothing(torch.nn.Module):
        def forward(self, encoding):
            return 0.0 * encoding.sum(dim=(1, 2))

    cost = ThroughputCost(macro, Nothing(), 800.0, 150.0, (400.0, 1800.0), "flat")
    assert cost.of(macro.sample(np.random.default_rng(0), 3)).tolist() == [1 / 800.0] * 3


def test_a_search_descends_it(learnt, macro):
    cost = need_cost(learnt[0])
    indifferent = Tabular(macro, np.zeros(macro.shape), batches=20)
    recipe = Recipe(epochs=3, freeze=0, relaxation="softmax", arch_rate=0.1)
    found = GradientSearch(indifferent, cost, Weighted(1.0), recipe).run()
    fastest = slowest_part(np.zeros((1, macro.shape[0]), np.int64))[0]
    assert slowest_part(found.choice[None])[0] == pytest.approx(fastest)
    assert fastest > np.quantile(learnt[2][0][1], 0.9)


def test_training_repeats_itself(macro):
    choices = macro.sample(np.random.default_rng(5), 300)
    part = choices, slowest_part(choices)
    state = torch.random.get_rng_state()
    a, b = (fit_throughput(macro, part, part, "toy", training=Training(epochs=2), seed=4)[1] for _ in range(2))
    assert a == b and torch.equal(state, torch.random.get_rng_state())


def test_what_is_wrong_is_named(macro):
    choices = macro.sample(np.random.default_rng(5), 3)
    with pytest.raises(InputError, match="device 'toy': expected a finite throughput above 0 for each of 3 networks"):
        fit_throughput(macro, (choices, np.array([1.0, 0.0, 2.0])), (choices, np.ones(3)), "toy")
    with pytest.raises(UsageError, match="a dropout of 0 to below 1, got 30, 128 and 1"):
        Training(dropout=1)
