"""Ridge regression in the dual: any kernel, strength chosen by leave-one-out error, with the spread of the posterior.

With k(x, z) = x.z it is ridge on the columns; with k + s k^2 it has every product of two columns as well, at the price
of the rows alone.
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
        spread = own - np.einsum("mn,mn->m", kernel @ self.inverse, kernel)
        return mean, self.sigma * np.sqrt(1.0 + np.maximum(spread, 0.0) / self.ridge)


def fit_dual(kernel: FloatArray, y: FloatArray, ridges: tuple[float, ...] = _RIDGES) -> DualFit:
    """The ridge (times the mean of the kernel's diagonal) with the least leave-one-out error.

    The mean of y is taken off first; leave-one-out residuals are a_i / Kinv_ii.
    """
    mean = float(y.mean())
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ (y - mean)
    scale = max(float(np.trace(kernel)) / len(y), 1e-30)
    best: tuple[float, float] | None = None
    for ridge in ridges:
        shrunk = 1.0 / (values + ridge * scale)
        residual = (vectors @ (shrunk * turned)) / np.einsum("ij,j,ij->i", vectors, shrunk, vectors)
        error = float(np.sqrt(np.mean(residual**2)))
        if best is None or error < best[0]:
            best = (error, ridge * scale)
    assert best is not None
    error, strength = best
    inverse = (vectors / (values + strength)) @ vectors.T
    weights = inverse @ (y - mean)
    # a left-out row is predicted with variance sigma^2 / (ridge Kinv_ii)
    residual = weights / np.diag(inverse)
    sigma = float(np.sqrt(np.mean(residual**2 * strength * np.diag(inverse))))
    return DualFit(mean, weights, inverse, strength, sigma, error)
