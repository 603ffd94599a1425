"""The additive accuracy model: a score that adds up along a trellis, behind a monotone link.

Because the link is monotone, a search that maximises the score maximises the accuracy: exactness survives the
curvature that a plain sum cannot follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import brentq
from threadpoolctl import threadpool_limits

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, Predictor, check_training
from cofront.predict.gauss_newton import Fit, fit_ridge_link, spread
from cofront.predict.link import slope_at
from cofront.problem import link_value
from cofront.space import Points, Space

ALPHAS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
SHARES = (0.2, 0.5)
DEGREES = (3, 2, 1)
_RANK = 1e-10  # eigenvalues below this share of the largest are rounding


@dataclass(frozen=True)
class AdditiveModel:
    """A fitted model: accuracy = link(intercept + features . coefficients), f features.

    The link is a polynomial (constant first) that increases on `score_range`, and a straight line on either side.
    `observed` is the range of the accuracies measured; predictions never exceed it. `loo_rmse` is the leave-one-out
    error, `sigma` the noise left over.
    """

    coefficients: FloatArray  # (f,)
    intercept: float
    link: tuple[float, ...]
    score_range: tuple[float, float]
    observed: tuple[float, float]
    sigma: float
    loo_rmse: float
    alpha: float
    share: float
    basis: FloatArray  # (f, r): scaled columns -> the r directions in which the measured rows differ
    centre: FloatArray  # (r,)
    covariance: FloatArray  # (r, r), see `Fit`

    @property
    def degree(self) -> int:
        return len(self.link) - 1

    def score(self, x: FloatArray) -> FloatArray:
        """(n, f) -> (n,) scores, in units of accuracy."""
        x = np.asarray(x, float)
        if x.ndim != 2 or x.shape[1] != len(self.coefficients):
            raise InputError(f"additive model: expected (n, {len(self.coefficients)}) features, got {x.shape}")
        return np.asarray(self.intercept + x @ self.coefficients, float)

    def accuracy(self, score: FloatArray) -> FloatArray:
        """Scores of any shape -> accuracies, never below 0 or above the best one measured."""
        return np.asarray(np.clip(link_value(score, self.link, self.score_range), 0.0, self.observed[1]), float)

    def score_loss(self, loss: float) -> float:
        """How much score the best network measured must lose to lose this much accuracy (a fraction)."""
        low, high = self.score_range
        # Below its range the link is a straight line, which may be almost flat: as far down as that needs.
        far = low - (loss + 1.0) / float(slope_at(np.array(self.link), np.array(low)))
        top = brentq(lambda x: self._linked(x) - min(self.observed[1], self._linked(high)), far, high)
        return float(top - brentq(lambda x: self._linked(x) - self._linked(top) + loss, far, top))

    def _linked(self, score: float) -> float:
        return float(link_value(np.array(score), self.link, self.score_range))

    def predict(self, x: FloatArray) -> Prediction:
        score = self.score(x)
        slope = slope_at(np.array(self.link), np.clip(score, *self.score_range))
        variance = slope**2 * spread(self.covariance, np.asarray(x, float) @ self.basis - self.centre)
        return Prediction(self.accuracy(score), self.sigma * np.sqrt(1.0 + variance))


class Additive(Predictor):
    """Chooses ridge strength, trust in interactions and degree of the link by leave-one-out error.

    `order` (f,) is the interaction order of each column, 0 for a main effect; columns of order k enter scaled by
    share^k, so that the ridge believes in interactions less.
    """

    name = "additive"
    adds_up = True

    def __init__(
        self,
        order: Sequence[int] | None = None,
        alphas: Sequence[float] = ALPHAS,
        shares: Sequence[float] = SHARES,
        degrees: Sequence[int] = DEGREES,
    ) -> None:
        self._order = None if order is None else np.asarray(order, np.int64)
        self._alphas, self._shares, self._degrees = tuple(alphas), tuple(shares), tuple(degrees)
        self._model: AdditiveModel | None = None

    @classmethod
    def for_space(cls, space: Space) -> Self:
        return cls(order=[name.count("*") for name in space.feature_names()])

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return space.features(points)

    @property
    def model(self) -> AdditiveModel:
        if self._model is None:
            raise InputError("additive model: fit it before asking for predictions")
        return self._model

    def predict(self, x: FloatArray) -> Prediction:
        return self.model.predict(x)

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y = check_training(x, y, "additive model")
        order = np.zeros(x.shape[1], np.int64) if self._order is None else self._order
        if len(order) != x.shape[1]:
            raise InputError(f"additive model: {x.shape[1]} columns, but interaction orders for {len(order)}")
        varies = np.ptp(x, axis=0) > 0
        if not varies.any() or np.ptp(y) == 0:
            raise InputError("additive model: all measurements are alike, there is nothing to learn from them")
        shares = self._shares if (order[varies] > 0).any() else (1.0,)
        scales = {share: np.where(varies, share ** order.astype(float), 0.0) for share in shares}
        with threadpool_limits(1):  # many small products: threads would only wait for one another
            bases = {share: _basis(x, scale) for share, scale in scales.items()}
            fit, share = self._search(x, y, bases)
        self._model = _model(fit, y, share, bases[share])
        return self

    def _search(self, x: FloatArray, y: FloatArray, bases: dict[float, FloatArray]) -> tuple[Fit, float]:
        tried: list[tuple[Fit, float]] = []
        for share, basis in bases.items():
            fit: Fit | None = None
            for alpha in sorted(self._alphas, reverse=True):
                weaker = fit_ridge_link(x @ basis, y, alpha, self._degrees[0], fit)
                tried.append((weaker, share))
                if fit is not None and weaker.loo_rmse > fit.loo_rmse:
                    break  # the error has one valley: less ridge would be worse still
                fit = weaker
        best, share = min(tried, key=lambda t: t[0].loo_rmse)
        columns = x @ bases[share]
        others = [(fit_ridge_link(columns, y, best.alpha, degree), share) for degree in self._degrees[1:]]
        return min([(best, share), *others], key=lambda t: t[0].loo_rmse)


def _basis(x: FloatArray, scale: FloatArray) -> FloatArray:
    """(f, r) orthonormal directions of the row space of x * scale, times the scale.

    One-hot columns of a choice sum to one and small tables have fewer rows than columns: r is often half of f, and
    the ridge does not notice the rotation.
    """
    columns = x * scale
    if len(x) < x.shape[1]:
        values, vectors = np.linalg.eigh(columns @ columns.T)
        kept = values > _RANK * values[-1]
        directions = columns.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    else:
        values, vectors = np.linalg.eigh(columns.T @ columns)
        directions = vectors[:, values > _RANK * values[-1]]
    return np.asarray(directions * scale[:, None], float)


def _model(fit: Fit, y: FloatArray, share: float, basis: FloatArray) -> AdditiveModel:
    return AdditiveModel(
        coefficients=basis @ fit.coefficients,
        intercept=fit.intercept,
        link=tuple(float(c) for c in fit.link),
        score_range=(float(fit.score.min()), float(fit.score.max())),
        observed=(float(y.min()), float(y.max())),
        sigma=float(np.sqrt(np.mean(fit.residual * fit.leave_one_out))),
        loo_rmse=fit.loo_rmse,
        alpha=fit.alpha,
        share=share,
        basis=basis,
        centre=fit.centre,
        covariance=fit.covariance,
    )
