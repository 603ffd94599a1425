import numpy as np
import pytest

from cofront import registry
from cofront.errors import UsageError
from cofront.predict.additive import Additive
from cofront.predict.base import Prediction, Predictor
from cofront.predict.harness import ceiling, evaluate
from cofront.testing.predictors import one_hot_data


class Oracle(Predictor):
    """Knows the answer: the column it is given."""

    name = "oracle"

    @classmethod
    def encode(cls, space, points):
        return points

    def fit(self, x, y):
        return self

    def predict(self, x):
        return Prediction(x[:, 0], np.full(len(x), 0.01))


def test_scores_of_known_errors():
    y = np.linspace(0.5, 0.9, 50)
    report = evaluate(Oracle, (y + 0.005)[:, None], y, splits=4, train=30)
    assert report.spearman.mean == report.kendall.mean == report.coverage.mean == pytest.approx(1.0)
    assert report.rmse_points.mean == report.bias_points.mean == pytest.approx(0.5)
    assert report.mape.mean == pytest.approx(np.mean(0.005 / y), rel=0.1)
    assert report.rmse_points.half == pytest.approx(0, abs=1e-9)
    assert (report.n_train, report.n_test, report.ceiling) == (30, 20, None)
    backwards = evaluate(Oracle, -y[:, None], y, splits=1)
    assert backwards.kendall.mean == pytest.approx(-1.0)


def test_ceiling_is_what_an_oracle_reaches():
    """An oracle of the true accuracy against accuracies measured on 1,000 images, simulated."""
    rng = np.random.default_rng(0)
    true = np.clip(rng.normal(0.8, 0.015, 4000), 0, 1)
    measured = rng.binomial(1000, true) / 1000
    report = evaluate(Oracle, true[:, None], measured, splits=5, train=0.5, n_val=1000)
    assert report.ceiling is not None
    assert report.spearman.mean == pytest.approx(report.ceiling.spearman, abs=0.02)
    assert report.rmse_points.mean == pytest.approx(report.ceiling.rmse_points, rel=0.03)
    assert ceiling(measured, 10**9).spearman == pytest.approx(1, abs=1e-4)
    assert ceiling(np.full(9, 0.5), 100).spearman == 0


def test_splits_depend_on_the_seed_alone():
    x, y = one_hot_data(80, noise=0.02)
    one, two, other = (evaluate(Additive, x, y, splits=3, seed=s) for s in (1, 1, 2))
    assert one == two
    assert one.spearman != other.spearman
    assert one.to_json()["spearman"]["mean"] == one.spearman.mean
    assert str(one.spearman) == f"{one.spearman.mean:.4f} ± {one.spearman.half:.4f}"


@pytest.mark.parametrize(("train", "splits"), [(0, 1), (10, 1), (9, 1), (1.0, 1), (0.5, 0)])
def test_impossible_splits(train, splits):
    with pytest.raises(UsageError, match="of 10 rows and test on the rest"):
        evaluate(Oracle, np.zeros((10, 1)), np.linspace(0, 1, 10), train=train, splits=splits)


def test_twins_are_never_on_both_sides():
    """A predictor that remembers what it has seen scores nothing when its twins are left out."""

    class Memory(Oracle):
        def fit(self, x, y):
            self.seen = dict(zip(x[:, 0].tolist(), y.tolist(), strict=True))
            return self

        def predict(self, x):
            return Prediction(np.array([self.seen.get(v, 0.7) for v in x[:, 0].tolist()]), np.full(len(x), 0.1))

    groups = np.repeat(np.arange(40), 5)
    y = np.random.default_rng(0).uniform(0.6, 0.8, 40)[groups]
    leaky = evaluate(Memory, groups[:, None].astype(float), y, splits=3, train=0.3)
    blind = evaluate(Memory, groups[:, None].astype(float), y, splits=3, train=0.3, groups=groups)
    assert leaky.spearman.mean > 0.7
    assert blind.spearman.mean == blind.kendall.mean == 0  # constant: ranks nothing
    assert blind.n_train == leaky.n_train == 60
    assert 0 < blind.n_test < 70 < leaky.n_test
    with pytest.raises(UsageError, match="0 rows are left to score on after 60 rows"):
        evaluate(Memory, np.zeros((200, 1)), y, train=0.3, groups=np.zeros(200, int))
    with pytest.raises(UsageError, match=r"groups are one number for each of 200 rows, got \(3,\)"):
        evaluate(Memory, np.zeros((200, 1)), y, groups=np.zeros(3, int))


def test_accuracies_of_zero_have_no_relative_error():
    y = np.r_[np.zeros(10), np.linspace(0.5, 0.9, 40)]
    found = evaluate(Oracle, (y + 0.005)[:, None], y, splits=4, train=30)
    assert 0.005 < found.mape.mean < 0.01
    assert np.isnan(evaluate(Oracle, np.zeros((10, 1)), np.zeros(10), splits=1, train=5).mape.mean)


def test_predictors_are_registered():
    for name in ("additive", "svr"):
        assert registry.load("predictor", name).name == name
