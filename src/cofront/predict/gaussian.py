"""Gaussian process on one-hot choices: a linear part and a smooth one, settings by restricted marginal likelihood.

For every mixture of the two kernels one eigendecomposition gives the likelihood at any noise; the best scale of all is
known in closed form. So the settings are found without gradients or restarts, and repeat exactly. The mean is free and
integrated out: n rows judge the settings by n - 1 differences.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, Predictor, check_training, one_hot
from cofront.predict.columns import check_columns, check_variety
from cofront.predict.kernel_ridge import centred
from cofront.space import Points, Space

#: Share of the smooth kernel, its length in typical distances, and noise relative to signal.
SHARES = (0.0, 0.3, 0.8)
LENGTHS = (1.0, 3.0)
NOISES = tuple(float(v) for v in np.geomspace(1e-6, 1.0, 19))


class GaussianProcess(Predictor):
    """y = mean + linear + smooth + noise; columns are centred, and scaled where they are more than 0 and 1."""

    name = "gp"

    def __init__(self) -> None:
        self._rows: FloatArray | None = None
        self._centre = self._unit = self._alpha = self._ones = np.zeros(0)
        self._lower = np.zeros((0, 0))
        self._share = self._length = self._mean = self._scale = self._noise = 0.0

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return one_hot(space, points)

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y = check_training(x, y, self.name)
        check_variety(x, y, self.name)
        self._centre, spread = x.mean(axis=0), x.std(axis=0)
        kept = np.where(spread > 0.5, spread, np.where(spread > 0, 1.0, np.inf))
        typical = np.sqrt(np.sum(((x - self._centre) / kept) ** 2) / len(x))
        self._unit = kept * typical
        self._rows, n = (x - self._centre) / self._unit, len(y)
        best = -np.inf
        for share in SHARES:
            for length in LENGTHS if share else LENGTHS[:1]:
                kernel = self._kernel(self._rows, self._rows, share, length)
                values, vectors = np.linalg.eigh(kernel)
                for noise in NOISES:
                    spectrum = np.maximum(values, 0.0) + noise
                    found = centred(vectors, 1.0 / spectrum, y)
                    scale = max(float(y @ found.weights) / (n - 1), 1e-300)  # the best one, in closed form
                    determinants = float(np.log(spectrum).sum()) + np.log(found.ones)
                    likelihood = -0.5 * ((n - 1) * np.log(scale) + determinants)
                    if likelihood > best:
                        best, self._mean, self._alpha = likelihood, found.mean, found.weights
                        self._share, self._length, self._noise, self._scale = share, length, noise, scale
        kernel = self._kernel(self._rows, self._rows, self._share, self._length)
        kernel.flat[:: n + 1] += self._noise
        self._lower = np.linalg.inv(np.linalg.cholesky(kernel))
        self._ones = self._lower.sum(axis=1)
        return self

    def _kernel(self, a: FloatArray, b: FloatArray, share: float, length: float) -> FloatArray:
        inner = a @ b.T
        if not share:
            return inner
        squares = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)[None, :] - 2 * inner
        return np.asarray((1 - share) * inner + share * np.exp(-0.5 * np.maximum(squares, 0.0) / length**2), float)

    def predict(self, x: FloatArray) -> Prediction:
        if self._rows is None:
            raise InputError(f"{self.name}: fit it before asking for predictions")
        rows = (check_columns(x, len(self._centre), self.name) - self._centre) / self._unit
        kernel = self._kernel(rows, self._rows, self._share, self._length)
        own = (1 - self._share) * np.sum(rows**2, axis=1) + self._share
        white = np.einsum("nm,km->nk", kernel, self._lower)
        unknown = np.maximum(own - np.sum(white**2, axis=1), 0.0)
        unknown += (1.0 - np.einsum("nk,k->n", white, self._ones)) ** 2 / float(self._ones @ self._ones)  # the mean's
        mean = self._mean + np.einsum("nm,m->n", kernel, self._alpha)
        return Prediction(np.maximum(mean, 0.0), np.sqrt(self._scale * (unknown + self._noise)))
