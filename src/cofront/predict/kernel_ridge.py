"""Ridge regression in the dual: any kernel, strength chosen by leave-one-out error, with the spread of the posterior.

With k(x, z) = x.z it is ridge on the columns; with k + s k^2 it has every product of two columns as well, at the price
of the rows alone. The intercept is free: it is part of what is left out with a row. A mean taken off beforehand is not,
and where rows are fewer than columns it gives the left-out row away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofront.predict.base import FloatArray

_RIDGES = tuple(float(r) for r in np.geomspace(1e-7, 1e1, 17))


@dataclass(frozen=True)
class DualFit:
    """y = mean + K(x, rows) . weights. `sigma` is the leave-one-out error, freed of the spread that a new row adds."""

    mean: float
    weights: FloatArray  # (n,)
    inverse: FloatArray  # (n, n) of K + ridge I
    ridge: float
    sigma: float
    loo_rmse: float

    def predict(self, kernel: FloatArray, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation (m,) from K(new, rows) (m, n) and K(new, new) (m,)."""
        # products row by row: matrix products depend on how many rows there are, in the last digit
        mean = self.mean + np.einsum("mn,n->m", kernel, self.weights)
        ones = self.inverse.sum(axis=1)
        spread = np.maximum(own - np.einsum("mn,mn->m", kernel @ self.inverse, kernel), 0.0)
        spread += (1.0 - np.einsum("mn,n->m", kernel, ones)) ** 2 / ones.sum()  # that of the intercept
        return mean, self.sigma * np.sqrt(1.0 + spread / self.ridge)


@dataclass(frozen=True)
class Centred:
    """y = mean + f with f of covariance M = vectors diag(1 / shrunk) vectors', and mean free.

    With u = vectors' 1 and P = M^-1 - M^-1 1 1' M^-1 / 1' M^-1 1: `weights` are P y, `precision` is P's diagonal, and
    the residual of row i, fitted to all the others, is weights_i / precision_i.
    """

    mean: float
    weights: FloatArray  # (n,)
    precision: FloatArray  # (n,)
    ones: float  # 1' M^-1 1


def centred(vectors: FloatArray, shrunk: FloatArray, y: FloatArray) -> Centred:
    """The free intercept of y (n,) given M's eigenvectors (n, n) and the reciprocals of its eigenvalues (n,)."""
    turned, u = vectors.T @ y, vectors.sum(axis=0)
    ones = float(u @ (shrunk * u))
    mean = float(u @ (shrunk * turned)) / ones
    weights = vectors @ (shrunk * (turned - mean * u))
    diagonal = np.einsum("ij,j,ij->i", vectors, shrunk, vectors)
    precision = diagonal - (vectors @ (shrunk * u)) ** 2 / ones
    return Centred(mean, weights, np.maximum(precision, 1e-12 * diagonal), ones)


def fit_dual(kernel: FloatArray, y: FloatArray, ridges: tuple[float, ...] = _RIDGES) -> DualFit:
    """The ridge (times the mean of the kernel's diagonal) with the least leave-one-out error."""
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    scale = max(float(np.trace(kernel)) / len(y), 1e-30)
    best: tuple[float, float, Centred] | None = None
    for ridge in ridges:
        strength = ridge * scale
        fit = centred(vectors, 1.0 / (values + strength), y)
        error = float(np.sqrt(np.mean((fit.weights / fit.precision) ** 2)))
        if best is None or error < best[0]:
            best = (error, strength, fit)
    assert best is not None
    error, strength, fit = best
    # a left-out row is predicted with variance sigma^2 / (ridge P_ii)
    sigma = float(np.sqrt(np.mean(fit.weights**2 / fit.precision * strength)))
    inverse = (vectors / (values + strength)) @ vectors.T
    return DualFit(fit.mean, fit.weights, inverse, strength, sigma, error)
