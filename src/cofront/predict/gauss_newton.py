"""Ridge regression behind an unknown monotone link, by Gauss-Newton (our own construction)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from cofront.predict.link import fit_link, slope_at

FloatArray = NDArray[np.float64]

_ROUNDS, _TOLERANCE, _LEAST_WEIGHT = 30, 1e-3, 0.05


@dataclass(frozen=True)
class Fit:
    """y = link(intercept + columns . coefficients) + noise. Shapes: n rows, f columns.

    Noise of variance s^2 in y gives the score of a column vector z the variance
    s^2 (z - centre)' `covariance` (z - centre).
    """

    coefficients: FloatArray  # (f,)
    intercept: float
    link: FloatArray
    score: FloatArray  # (n,)
    centre: FloatArray  # (f,)
    covariance: FloatArray  # (f, f)
    residual: FloatArray  # (n,)
    leave_one_out: FloatArray  # (n,) residuals, each as if its row had not been fitted
    alpha: float

    @property
    def loo_rmse(self) -> float:
        return float(np.sqrt(np.mean(self.leave_one_out**2)))


def fit_ridge_link(columns: FloatArray, y: FloatArray, alpha: float, degree: int, start: Fit | None = None) -> Fit:
    """Fit score and link together; `start` is a fit to similar settings from which to go on.

    Around the current link g and scores x0, y = g(x0) + g'(x0) (x - x0) + noise is a ridge regression for x with
    weights g'(x0)^2. After each, scores are rescaled so that the straight line through (x, y) is the identity: the
    link then only bends, and scores stay in units of y.
    """
    score, link, last = (y, np.array([0.0, 1.0]), np.inf) if start is None else (start.score, start.link, np.inf)
    for _ in range(_ROUNDS):
        slope = slope_at(link, score)
        slope = np.maximum(slope, _LEAST_WEIGHT * slope.mean())
        target, weight = score + (y - polyval(score, link)) / slope, slope**2
        centre, mean = weight @ columns / weight.sum(), weight @ target / weight.sum()
        centred = columns - centre
        weighted = centred * slope[:, None]
        gram = weighted.T @ weighted
        gram.flat[:: len(gram) + 1] += alpha
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
        coefficients = cho_solve(factor, weighted.T @ (slope * (target - mean)), check_finite=False)
        score = mean + centred @ coefficients
        stretch, shift = np.polyfit(score, y, 1) if np.ptp(score) > 0 else (1.0, 0.0)
        score = stretch * score + shift
        link = fit_link(score, y, degree, score.min(), score.max())
        residual = y - polyval(score, link)
        error = float(np.sqrt(np.mean(residual**2)))
        if abs(last - error) <= _TOLERANCE * error:
            break
        last = error
    inverse = np.asarray(cho_solve(factor, np.eye(len(gram)), check_finite=False), float)
    leverage = weight / weight.sum() + spread(inverse, weighted)
    return Fit(
        coefficients=stretch * coefficients,
        intercept=float(stretch * (mean - centre @ coefficients) + shift),
        link=link,
        score=score,
        centre=centre,
        covariance=inverse * stretch**2,
        residual=residual,
        leave_one_out=residual / np.maximum(1.0 - leverage, 1e-3),
        alpha=alpha,
    )


def spread(covariance: FloatArray, deviations: FloatArray) -> FloatArray:
    """(n,) variance of the score at `deviations` (n, f) from the centre, for unit noise."""
    return np.asarray(np.einsum("nf,nf->n", deviations @ covariance, deviations), float)
