"""A new device as a non-negative combination of known ones: the baseline beside which everything is printed."""

from __future__ import annotations

from typing import Self

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction
from cofront.predict.columns import check_columns
from cofront.predict.devices import DevicePredictor, KnownDevices


class Nnls(DevicePredictor):
    """Latency = sum over known devices of weight x what its model says, weights not negative."""

    name = "nnls"

    def __init__(self, devices: KnownDevices | None = None) -> None:
        super().__init__(devices)
        self._weights: FloatArray | None = None
        self._sigma, self._columns = 0.0, 0

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        from scipy.optimize import nnls

        x, y, devices = self._checked(x, y)
        basis = devices.predict(x) / devices.mean
        scale = float(y.mean())
        self._weights = scale * np.asarray(nnls(basis, y / scale)[0])
        used = min(int((self._weights > 0).sum()), len(y) - 2)
        residual = y - basis @ self._weights
        # Leaving a row out costs about this factor; a tenth of a percent keeps a perfect fit from certainty.
        self._sigma = float(np.sqrt(residual @ residual / (len(y) - used)) * (1 + used / len(y)) + 1e-3 * scale)
        self._columns = x.shape[1]
        return self

    def predict(self, x: FloatArray) -> Prediction:
        if self._weights is None or self.devices is None:
            raise InputError("nnls: fit it before asking for predictions")
        x = check_columns(x, self._columns, self.name)
        basis = self.devices.predict(x) / self.devices.mean
        return Prediction(np.maximum(np.einsum("nm,m->n", basis, self._weights), 0.0), np.full(len(x), self._sigma))
