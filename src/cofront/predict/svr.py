"""Support vector regression with a radial kernel, the accuracy predictor of [HAO21].

HAO names the method, not its settings: kernel width, C and epsilon are chosen here by cross-validation on the
training rows. The uncertainty is the cross-validated error, the same for every row.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, Predictor, check_training, one_hot
from cofront.space import Points, Space

#: Relative to 1 / (columns x their variance), scikit-learn's "scale".
GAMMAS = (0.1, 0.3, 1.0)
CS = (3.0, 30.0, 300.0)
EPSILON = 0.05
FOLDS = 3


class Svr(Predictor):
    """RBF SVR on one-hot choices; y is standardised inside."""

    name = "svr"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._svr: Any = None
        self._offset, self._unit, self._std, self._columns = 0.0, 1.0, 0.0, 0

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return one_hot(space, points)

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        from sklearn.model_selection import GridSearchCV, KFold
        from sklearn.svm import SVR

        x, y = check_training(x, y, "SVR")
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            raise InputError("SVR: all measurements are alike, there is nothing to learn from them")
        self._offset, self._unit, self._columns = float(y.mean()), float(y.std()), x.shape[1]
        scale = 1.0 / (x.shape[1] * x.var())
        grid = {"gamma": [g * scale for g in GAMMAS], "C": list(CS)}
        folds = KFold(FOLDS, shuffle=True, random_state=self._seed)
        search = GridSearchCV(SVR(epsilon=EPSILON, cache_size=200), grid, cv=folds, scoring="neg_mean_squared_error")
        search.fit(x, (y - self._offset) / self._unit)
        self._svr, self._std = search.best_estimator_, self._unit * float(np.sqrt(-search.best_score_))
        return self

    def predict(self, x: FloatArray) -> Prediction:
        if self._svr is None:
            raise InputError("SVR: fit it before asking for predictions")
        x = np.asarray(x, float)
        if x.ndim != 2 or x.shape[1] != self._columns:
            raise InputError(f"SVR: expected (n, {self._columns}) columns, got {x.shape}")
        mean = self._offset + self._unit * np.asarray(self._svr.predict(x), float)
        return Prediction(np.maximum(mean, 0.0), np.full(len(mean), self._std))
