import numpy as np
import pytest
from scipy.optimize import bisect
from scipy.stats import spearmanr

from cofront.errors import InputError
from cofront.predict.additive import Additive
from cofront.predict.gauss_newton import fit_ridge_link
from cofront.space.subgraph32 import Subgraph32
from cofront.testing.predictors import PredictorConformance, one_hot_data


class TestAdditive(PredictorConformance):
    make = Additive
    space = Subgraph32
    least_spearman = 0.995


def test_link_and_score_are_found_together():
    """Data that is exactly a curved link of a sum: the joint fit is far better than ridge alone, or a link on top."""
    x, y = one_hot_data(400)
    train, test = slice(0, 300), slice(300, 400)

    def error(degrees):
        return rms(Additive(degrees=degrees).fit(x[train], y[train]).predict(x[test]).mean)

    def rms(predicted):
        return np.sqrt(np.mean((predicted - y[test]) ** 2))

    plain = error((1,))
    ridge = Additive(degrees=(1,)).fit(x[train], y[train]).model
    on_top = np.polynomial.Polynomial.fit(ridge.score(x[train]), y[train], 3)(ridge.score(x[test]))
    joint = error((3,))
    assert joint < 0.5 * rms(on_top) < 0.5 * plain


def test_leave_one_out_is_what_leaving_out_gives():
    """The closed form against fits without the row; without link they are the same but for the unpenalised mean."""
    x, y = one_hot_data(60, noise=0.05)
    whole = fit_ridge_link(x, y, 5.0, 1)
    for i in (0, 17, 59):
        keep = np.arange(60) != i
        without = fit_ridge_link(x[keep], y[keep], 5.0, 1)
        predicted = without.intercept + x[i] @ without.coefficients
        left_out = y[i] - np.polynomial.polynomial.polyval(predicted, without.link)
        assert left_out == pytest.approx(whole.leave_one_out[i], rel=0.1)


def test_interactions_are_used_when_they_matter():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 3, (2, 400))
    one = np.eye(3)
    pairs = (one[a][:, :, None] * one[b][:, None, :]).reshape(400, 9)
    x = np.concatenate([one[a], one[b], pairs], axis=1)
    effect = np.random.default_rng(1).normal(size=9)
    y = 0.7 + 0.02 * (pairs @ effect)
    order = [0] * 6 + [1] * 9
    without = Additive().fit(x[:300, :6], y[:300]).predict(x[300:, :6]).mean
    fitted = Additive(order).fit(x[:300], y[:300]).predict(x[300:]).mean
    assert spearmanr(fitted, y[300:]).statistic > 0.999 > spearmanr(without, y[300:]).statistic
    with pytest.raises(InputError, match="15 columns, but interaction orders for 6"):
        Additive([0] * 6).fit(x, y)


def test_predictions_never_exceed_the_best_measured():
    x, y = one_hot_data(200, noise=0.01)
    low = y < np.quantile(y, 0.6)
    model = Additive().fit(x[low], y[low]).model
    assert model.predict(x).mean.max() <= y[low].max()
    assert model.score(x).max() > model.score(x[low]).max()


def test_columns_that_never_varied_have_no_effect():
    x, y = one_hot_data(100)
    x[:, 0] = 1.0
    model = Additive().fit(x, y).model
    assert model.coefficients[0] == 0
    other = x.copy()
    other[:, 0] = 0.0
    assert np.array_equal(model.predict(other).mean, model.predict(x).mean)


def test_uncertainty_grows_away_from_the_data():
    x, y = one_hot_data(200, noise=0.01)
    rare = x.copy()
    rare[:, 0] = 0.0
    rare[0, 0] = 1.0  # the first option of the first choice occurs once
    model = Additive(degrees=(1,)).fit(rare, y).model
    common = model.predict(rare[1:2]).std[0]
    moved = rare[1:2].copy()
    moved[0, 0] = 1.0
    assert model.predict(moved).std[0] > common


def test_score_loss_is_exact_at_the_best_accuracy():
    x, y = one_hot_data(300)
    model = Additive().fit(x, y).model
    best = min(y.max(), float(model.accuracy(np.array(model.score_range[1]))))
    for loss in (0.01, 0.04, 0.3):
        top, lower = (bisect(lambda x, a=a: model._linked(x) - a, -2.0, 2.0) for a in (best, best - loss))
        assert model.score_loss(loss) == pytest.approx(top - lower, rel=1e-6)
        assert model.accuracy(np.array(lower)) == pytest.approx(best - loss)


@pytest.mark.parametrize("loss", [0.01, 0.1, 0.4, 0.9])
def test_any_loss_has_a_score_even_below_an_almost_flat_link(loss):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (400, 12)).astype(float)
    score = x @ rng.uniform(0.5, 1.0, 12)
    y = 0.6 + 0.02 * (score / score.max()) ** 4 + 1e-4 * rng.normal(size=400)
    model = Additive().fit(x, y).model
    high = model.score_range[1]
    best = min(model.observed[1], model._linked(high))
    top = bisect(lambda s: model._linked(s) - best, 0.0, high + 1e-9)
    assert best - model._linked(top - model.score_loss(loss)) == pytest.approx(loss, rel=1e-6)
