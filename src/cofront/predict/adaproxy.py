"""AdaProxy: the linear latency model of a proxy device, adapted to another from few measurements [OneProxy21].

Minimise mean (X (w o (a + b)) + c - y)^2 + strength |b|_1 over a scale a, sparse corrections b and an offset c, where w
are the proxy's weights. The published notebook uses the 2-norm; the paper argues for sparsity, and so do we. Strengths
are tried on a part of the measurements kept for validation and the one that ranks them best is taken.
"""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, one_hot
from cofront.predict.columns import check_columns
from cofront.predict.devices import DevicePredictor, KnownDevices
from cofront.space import Points, Space

#: Strengths relative to the least one at which b is zero.
STRENGTHS = tuple(float(v) for v in np.geomspace(1.0, 1e-4, 25))
#: Share of the measurements that judge the strength: 10 of 70 in the paper's notebook.
VALIDATION = 1 / 7


class AdaProxy(DevicePredictor):
    """Of several `devices` the one whose model ranks the measurements best is the proxy."""

    name = "adaproxy"

    def __init__(self, devices: KnownDevices | None = None, seed: int = 0) -> None:
        super().__init__(devices)
        self._seed = seed
        self.proxy = ""
        self._weights: FloatArray | None = None
        self._offset = self._std = 0.0
        self._columns = 0

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return one_hot(space, points)

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y, devices = self._checked(x, y, more=False)
        ranks = [_rank_correlation(column, y) for column in devices.predict(x).T]
        chosen = int(np.argmax(ranks))
        self.proxy, weights = devices.names[chosen], devices.weights[chosen]
        order = np.random.default_rng(self._seed).permutation(len(y))
        held = max(2, round(VALIDATION * len(y)))
        train, judge = order[held:], order[:held]
        scale = float(y.mean())
        parts = x * (weights / np.abs(weights).max())
        paths = adapt(parts[train], y[train] / scale, STRENGTHS)
        judged = [parts[judge] @ w + c for w, c in paths]
        error = [float(np.mean((p - y[judge] / scale) ** 2)) for p in judged]
        rank = [round(_rank_correlation(p, y[judge]), 6) for p in judged]
        best = min(range(len(paths)), key=lambda i: (-rank[i], error[i]))
        scales, offset = adapt(parts, y / scale, STRENGTHS)[best]
        self._std = scale * float(np.sqrt(max(error[best], 1e-12)))
        self._weights = scale * scales * weights / np.abs(weights).max()
        self._offset, self._columns = scale * offset, x.shape[1]
        return self

    def predict(self, x: FloatArray) -> Prediction:
        if self._weights is None:
            raise InputError(f"{self.name}: fit it before asking for predictions")
        x = check_columns(x, self._columns, self.name)
        mean = np.einsum("nf,f->n", x, self._weights) + self._offset
        return Prediction(np.maximum(mean, 0.0), np.full(len(x), self._std))


def adapt(parts: FloatArray, y: FloatArray, strengths: tuple[float, ...]) -> list[tuple[FloatArray, float]]:
    """(a + b, c) for each strength, relative to the one that leaves b at zero; parts (n, f) are X o w, y is (n,).

    The scale a and the offset c are free: projecting their columns out of parts and y leaves a lasso for b.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lasso_path

    free = np.stack([parts.sum(axis=1), np.ones(len(y))], axis=1)
    base, _ = np.linalg.qr(free)
    inner, target = parts - base @ (base.T @ parts), y - base @ (base.T @ y)
    top = max(float(np.abs(inner.T @ target).max()) / len(y), 1e-300)
    alphas = top * np.asarray(strengths)
    with warnings.catch_warnings():  # the weakest strengths may stop short of the optimum
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, corrections, _ = lasso_path(inner, target, alphas=alphas, max_iter=3_000, tol=1e-5)
    out = []
    for b in np.asarray(corrections).T:
        (a, c), *_ = np.linalg.lstsq(free, y - parts @ b, rcond=None)
        out.append((a + b, float(c)))
    return out


def _rank_correlation(a: FloatArray, b: FloatArray) -> float:
    from scipy.stats import spearmanr

    return 0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
