"""Ridge regressions for latency: on the options alone, and on all pairs of options."""

from __future__ import annotations

from typing import Self

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, Predictor, affine, check_training, one_hot
from cofront.predict.columns import check_columns, check_variety
from cofront.predict.kernel_ridge import DualFit, fit_dual
from cofront.space import Points, Space


class OneHotRidge(Predictor):
    """A cost per option: what a table of operators would hold, learnt from whole networks."""

    name = "ridge"
    #: Weights of the pairwise part to choose from by leave-one-out error; 0 is none.
    pairs: tuple[float, ...] = (0.0,)

    def __init__(self) -> None:
        self._rows: FloatArray | None = None
        self._centre = self._unit = np.zeros(0)
        self._share = 0.0
        self._fit: DualFit | None = None

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return one_hot(space, points)

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y = check_training(x, y, self.name)
        check_variety(x, y, self.name)
        self._centre, self._unit = x.mean(axis=0), x.std(axis=0)
        rows = self._scaled(x)
        # Equal columns are scaled alike, so that an option's size does not depend on how often it occurs.
        linear = rows @ rows.T
        fits = [(fit_dual(linear + share * linear**2, y), share) for share in self.pairs]
        self._fit, self._share = min(fits, key=lambda f: f[0].loo_rmse)
        self._rows = rows
        return self

    def _scaled(self, x: FloatArray) -> FloatArray:
        """Centred; columns of counts or totals are brought to the size of 0/1 columns; what never varies is dropped."""
        unit = np.where(self._unit > 0, np.where(self._unit > 0.5, self._unit, 1.0), np.inf)
        varies = max(int((self._unit > 0).sum()), 1)
        return np.asarray((x - self._centre) / unit / np.sqrt(varies / 8), float)

    def predict(self, x: FloatArray) -> Prediction:
        if self._rows is None or self._fit is None:
            raise InputError(f"{self.name}: fit it before asking for predictions")
        rows = self._scaled(check_columns(x, len(self._centre), self.name))
        linear, own = rows @ self._rows.T, np.einsum("ij,ij->i", rows, rows)
        mean, std = self._fit.predict(linear + self._share * linear**2, own + self._share * own**2)
        return Prediction(np.maximum(mean, 0.0), std)  # neither latency nor accuracy is negative

    def linear(self) -> tuple[float, FloatArray] | None:
        fit, known = self._fit, self._rows
        if known is None or fit is None:
            raise InputError(f"{self.name}: fit it before asking for its weights")
        if self._share:
            return None
        return affine(lambda x: fit.mean + self._scaled(x) @ known.T @ fit.weights, len(self._centre))


class QuadraticRidge(OneHotRidge):
    """Also every pair of options, weighed against the single ones by leave-one-out error."""

    name = "quadratic"
    pairs = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
