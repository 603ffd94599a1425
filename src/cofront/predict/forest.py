"""Random forests: on whole networks, and one per kind of kernel whose predictions are summed, as nn-Meter does.

nn-Meter [nnMeter21] detects which layers a device fuses and samples kernels adaptively; here the kernels are the
fragments of a space, and the measurements those of a table of operators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from cofront.errors import InputError
from cofront.network import Network
from cofront.predict.base import FloatArray, Prediction, Predictor, check_training
from cofront.predict.columns import check_columns, check_variety, latency_columns
from cofront.space import Points, Space
from cofront.space.work import network_work

TREES = 200


class Forest(Predictor):
    """Random forest on choices and totals of work; the error of the trees that did not see a row is the spread."""

    name = "forest"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._forest: Any = None
        self._columns, self._std = 0, 0.0

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return latency_columns(space, points)

    def fit(self, x: FloatArray, y: FloatArray) -> Self:
        x, y = check_training(x, y, self.name)
        check_variety(x, y, self.name)
        self._forest, self._columns = _forest(x, y, self._seed), x.shape[1]
        self._std = max(float(np.sqrt(np.mean((self._forest.oob_prediction_ - y) ** 2))), 1e-9 * float(np.ptp(y)))
        return self

    def predict(self, x: FloatArray) -> Prediction:
        if self._forest is None:
            raise InputError(f"{self.name}: fit it before asking for predictions")
        mean = np.asarray(self._forest.predict(check_columns(x, self._columns, self.name)), float)
        return Prediction(mean, np.full(len(mean), self._std))


def _forest(x: FloatArray, y: FloatArray, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(TREES, max_features=1 / 3, oob_score=True, random_state=seed, n_jobs=1).fit(x, y)


class KernelForests:
    """One forest per kind of kernel, kinds being sequences of layer types; a network costs the sum of its kernels.

    Latency is learnt as seconds per unit of work, in logarithms: kernels span orders of magnitude.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._forests: dict[str, Any] = {}

    def fit(self, kernels: Sequence[Network], latency_s: FloatArray) -> Self:
        """Kernels with a latency of zero (identities) teach nothing and are left out."""
        y = np.asarray(latency_s, float)
        if len(kernels) != len(y) or not np.isfinite(y).all() or (y < 0).any():
            raise InputError("kernel forests: expected one latency, not negative, for every kernel")
        groups: dict[str, list[int]] = {}
        for i, kernel in enumerate(kernels):
            if y[i] > 0:
                groups.setdefault(kernel_kind(kernel), []).append(i)
        if not groups:
            raise InputError("kernel forests: no kernel with a latency to learn from")
        self._forests = {
            kind: _forest_or_mean(np.array([kernel_features(kernels[i]) for i in rows]), np.log(y[rows]), self._seed)
            for kind, rows in groups.items()
        }
        return self

    def predict(self, kernels: Sequence[Network]) -> FloatArray:
        """(n,) seconds; a kind that was never measured is an InputError."""
        out = np.zeros(len(kernels))
        for i, kernel in enumerate(kernels):
            kind = kernel_kind(kernel)
            if kind not in self._forests:
                raise InputError(f"kernel forests: no kernel like '{kernel.name}' ({kind}) was measured")
            out[i] = math.exp(float(self._forests[kind].predict(kernel_features(kernel)[None])[0]))
        return out


class _Mean:
    """Too few kernels for a forest: what they cost per work, carried over."""

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self.offset = float(np.mean(y - x[:, 0]))

    def predict(self, x: FloatArray) -> FloatArray:
        return np.asarray(x[:, 0] + self.offset, float)


def _forest_or_mean(x: FloatArray, y: FloatArray, seed: int) -> Any:
    return _forest(x, y, seed) if len(y) >= 10 else _Mean(x, y)


def kernel_kind(kernel: Network) -> str:
    """The layer types of a kernel, activations and sizes aside."""
    names = [type(n.op).__name__ for n in kernel.nodes[1:] if type(n.op).__name__ not in ("Activation", "Flatten")]
    return "-".join(names).lower() or "identity"


def kernel_features(kernel: Network) -> FloatArray:
    """(f,) logarithm of work and sizes, as nn-Meter's features: shapes, kernel, stride, work, weights."""
    work = network_work(kernel)
    (c, h, _), last = (kernel.shapes[kernel.input.name] + (1, 1))[:3], kernel.shapes[kernel.output.name]
    windows = [n.op.kernel[0] for n in kernel.layers if hasattr(n.op, "kernel")]
    logs = np.log1p([*work[:4], work[0] + work[1], c, last[0], h, last[1] if len(last) > 1 else 1])
    return np.concatenate([[math.log1p(float(work[:2].sum()))], logs, [max(windows, default=1)], work[4:]])
