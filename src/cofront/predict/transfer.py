"""Few measurements of a new device, many known devices: a Gaussian process whose prior is the family of devices.

Our own construction. Latency relative to its mean is modelled as what the known devices suggest plus deviations along
three kinds of direction: the known devices (a new one is a mixture of them), totals of work (a new one may pay
differently for depthwise layers, memory, the number of layers), and single options. The suggestion is their mean shape
or their best non-negative combination (judged by what it says of a measurement when fitted to the others). Which, how
far to go along each direction, and the noise are averaged over a grid by the likelihood of the few measurements: no
setting is tuned to a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Self

import numpy as np

from cofront.errors import InputError
from cofront.predict.base import FloatArray, Prediction, affine
from cofront.predict.columns import check_columns
from cofront.predict.devices import DevicePredictor, KnownDevices

#: Prior variances of the deviations along devices, work and options, and of the noise, relative to the mean latency.
GRID = tuple(product((0.0, 0.1, 1.0, 3.0), (0.0, 0.003, 0.03, 0.3), (0.0, 0.003, 0.03), (1e-4, 1e-3, 1e-2, 3e-2)))
#: Prior variance of the mean: that of a scale that is not known.
_FREE = 1.0
#: Settings whose log-likelihood is so far below the best one's are left out.
_NEGLIGIBLE = 9.0
_FEW = 48

#: Weight, which suggestion, setting, and the posterior's (n,) and (n, n).
_Posterior = tuple[float, int, tuple[float, ...], FloatArray, FloatArray]


class Transfer(DevicePredictor):
    """`devices` are the known ones; `for_space` takes those that come with the package."""

    name = "transfer"

    def __init__(self, devices: KnownDevices | None = None) -> None:
        super().__init__(devices)
        self._rows: FloatArray | None = None
        self._unit = self._work = self._prior = np.zeros(0)
        self._posteriors: list[_Posterior] = []
        self._mixture = np.zeros(0)
        self._scale = 1.0

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y, devices = self._checked(x, y)
        self._scale, self._rows = float(y.mean()), x
        work = x[:, devices.weights.shape[1] :]
        self._work, self._unit = work.mean(axis=0), np.maximum(work.mean(axis=0), 1e-30)
        shapes, groups = self._directions(x)
        kernels = [g @ g.T for g in groups]
        relative = y / self._scale
        self._mixture = _non_negative(1.0 + shapes, relative)
        suggestions = (shapes.mean(axis=1), _left_out(1.0 + shapes, relative) - 1.0)
        self._posteriors = _posteriors(GRID, kernels, [relative - 1.0 - s for s in suggestions])
        return self

    def _directions(self, x: FloatArray) -> tuple[FloatArray, tuple[FloatArray, ...]]:
        """(n, m) shapes of the known devices, and (n, .) deviations along devices, work and options."""
        assert self.devices is not None
        options = x[:, : self.devices.weights.shape[1]]
        shapes = self.devices.predict(options) / self.devices.mean - 1.0
        work = (x[:, options.shape[1] :] - self._work) / self._unit
        centred = options - self.devices.centre
        size = np.sqrt(np.sum(self.devices.centre * (1 - self.devices.centre)))
        return shapes, (shapes, work, centred / max(float(size), 1e-30))

    def predict(self, x: FloatArray) -> Prediction:
        if self._rows is None:
            raise InputError("transfer: fit it before asking for predictions")
        x = check_columns(x, self._rows.shape[1], self.name)
        shapes, new = self._directions(x)
        _, old = self._directions(self._rows)
        suggestions = (shapes.mean(axis=1), np.einsum("nm,m->n", 1.0 + shapes, self._mixture) - 1.0)
        cross = [np.einsum("ni,mi->nm", a, b) for a, b in zip(new, old, strict=True)]
        own = [np.einsum("ni,ni->n", a, a) for a in new]
        mean, second = np.zeros(len(x)), np.zeros(len(x))
        for weight, which, setting, alpha, inverse in self._posteriors:
            kernel = _FREE + sum(a * k for a, k in zip(setting, cross, strict=False))
            here = suggestions[which] + np.einsum("nm,m->n", kernel, alpha)
            explained = np.einsum("nm,km->nk", kernel, inverse)
            variance = _FREE + sum(a * k for a, k in zip(setting, own, strict=False)) + setting[-1]
            variance = np.maximum(variance - np.sum(explained**2, axis=1), setting[-1])
            mean += weight * here
            second += weight * (variance + here**2)
        spread = np.sqrt(np.maximum(second - mean**2, 1e-12))
        return Prediction(np.maximum(self._scale * (1.0 + mean), 0.0), self._scale * spread)

    def linear(self) -> tuple[float, FloatArray]:
        rows = self._rows
        if rows is None:
            raise InputError("transfer: fit it before asking for its weights")
        _, old = self._directions(rows)

        def mean(x: FloatArray) -> FloatArray:
            shapes, new = self._directions(x)
            suggestions = (shapes.mean(axis=1), (1.0 + shapes) @ self._mixture - 1.0)
            out = np.zeros(len(x))
            for weight, which, setting, alpha, _ in self._posteriors:
                kernels = sum(a * (n @ (o.T @ alpha)) for a, n, o in zip(setting, new, old, strict=False))
                out += weight * (suggestions[which] + _FREE * alpha.sum() + kernels)
            return self._scale * (1.0 + out)

        return affine(mean, rows.shape[1])


def _posteriors(
    settings: Sequence[tuple[float, ...]], kernels: Sequence[FloatArray], residuals: Sequence[FloatArray]
) -> list[_Posterior]:
    """(weight, which residual, setting, K^-1 residual, inverse Cholesky factor of K) of the settings that matter."""
    found = []
    for setting in settings:
        kernel = _FREE + sum(a * k for a, k in zip(setting, kernels, strict=False))
        lower = np.linalg.cholesky(kernel + setting[-1] * np.eye(len(residuals[0])))
        inverse = np.linalg.inv(lower)
        for which, residual in enumerate(residuals):
            white = inverse @ residual
            likelihood = -0.5 * float(white @ white) - float(np.log(np.diag(lower)).sum())
            found.append((likelihood, which, setting, inverse.T @ white, inverse))
    top = max(f[0] for f in found)
    total = sum(np.exp(f[0] - top) for f in found)
    return [(float(np.exp(f[0] - top) / total), *f[1:]) for f in found if f[0] > top - _NEGLIGIBLE]


def _non_negative(basis: FloatArray, y: FloatArray) -> FloatArray:
    """(m,) weights, not negative, of the combination of basis (n, m) nearest to y (n,)."""
    from scipy.optimize import nnls

    return np.asarray(nnls(basis, y)[0], float)


def _left_out(basis: FloatArray, y: FloatArray) -> FloatArray:
    """(n,) what the combination says of each measurement when fitted to others: all but one, or all but a part."""
    fold, out = np.arange(len(y)) % min(len(y), _FEW), np.zeros(len(y))
    for i in range(int(fold.max()) + 1):
        out[fold == i] = basis[fold == i] @ _non_negative(basis[fold != i], y[fold != i])
    return out
