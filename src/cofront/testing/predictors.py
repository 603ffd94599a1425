"""The conformance suite of predictors: subclass `PredictorConformance`, say how to make yours, inherit the tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Predictor
from cofront.space import Space

_COLUMNS = 24


def one_hot_data(n: int, noise: float = 0.0, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Rows of eight one-hot choices of three options, and a saturating sum of their effects between 0 and 1."""
    rng = np.random.default_rng(seed)
    effects = np.random.default_rng(1234).normal(size=(8, 3))
    chosen = rng.integers(0, 3, (n, 8))
    x = np.zeros((n, _COLUMNS))
    for j in range(8):
        x[np.arange(n), 3 * j + chosen[:, j]] = 1.0
    total = effects[np.arange(8), chosen].sum(axis=1)
    return x, 0.9 - 0.05 * np.exp(-0.25 * total) + noise * rng.normal(size=n)


class PredictorConformance:
    """Set `make` (returns an unfitted predictor for any number of columns) and, if it has an encoding, `space`."""

    make: Callable[[], Predictor]
    space: Callable[[], Space] | None = None
    #: Least rank correlation on held-out rows of `one_hot_data` without noise, 240 rows to learn from.
    least_spearman: float = 0.95
    #: Greatest error there, in standard deviations of y: a linear model cannot follow the saturation.
    most_rmse: float = 0.5

    def test_it_learns(self) -> None:
        x, y = one_hot_data(300)
        prediction = type(self).make().fit(x[:240], y[:240]).predict(x[240:])
        assert prediction.mean.shape == prediction.std.shape == (60,)
        assert spearmanr(prediction.mean, y[240:]).statistic >= self.least_spearman
        assert np.sqrt(np.mean((prediction.mean - y[240:]) ** 2)) < self.most_rmse * y.std()

    def test_uncertainty_is_honest(self) -> None:
        x, y = one_hot_data(600, noise=0.01)
        prediction = type(self).make().fit(x[:400], y[:400]).predict(x[400:])
        assert (prediction.std > 0).all()
        covered = np.mean(np.abs(prediction.mean - y[400:]) < 1.96 * prediction.std)
        assert 0.88 <= covered <= 0.995

    def test_it_repeats_itself(self) -> None:
        x, y = one_hot_data(120, noise=0.01)
        one, two = (type(self).make().fit(x, y).predict(x) for _ in range(2))
        assert np.array_equal(one.mean, two.mean)
        assert np.array_equal(one.std, two.std)

    def test_rows_are_independent(self) -> None:
        x, y = one_hot_data(120, noise=0.01)
        fitted = type(self).make().fit(x, y)
        np.testing.assert_allclose(fitted.predict(x[:1]).mean, fitted.predict(x).mean[:1], atol=1e-9)

    def test_bad_input_is_named(self) -> None:
        x, y = one_hot_data(60)
        fresh = type(self).make
        with pytest.raises(InputError, match="fit it before"):
            fresh().predict(x)
        with pytest.raises(InputError, match="3 measurements are too few"):
            fresh().fit(x[:3], y[:3])
        with pytest.raises(InputError, match=r"expected x \(n, f\) and y \(n,\)"):
            fresh().fit(x, y[:-1])
        with pytest.raises(InputError, match="y holds NaN or infinite values, the first in row 7"):
            fresh().fit(x, np.where(np.arange(60) == 7, np.nan, y))
        with pytest.raises(InputError, match="nothing to learn"):
            fresh().fit(x, np.full(60, 0.5))
        with pytest.raises(InputError, match=rf"expected \(n, {_COLUMNS}\)"):
            fresh().fit(x, y).predict(x[:, :-1])

    def test_it_encodes_the_points_of_a_space(self) -> None:
        if self.space is None:
            pytest.skip("no space given")
        space = type(self).space()  # type: ignore[misc]
        predictor = type(type(self).make())
        points = space.sample(np.random.default_rng(0), 30)
        x = predictor.encode(space, points)
        assert x.shape[0] == 30
        assert np.isfinite(x).all()
        predictor.for_space(space).fit(x, x @ np.linspace(0, 0.01, x.shape[1]) + 0.5)
