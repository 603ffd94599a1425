"""Gaussian process, forests, proxy adaptation."""

import numpy as np
import pytest
from bank import synthetic_devices

from cofront.errors import InputError
from cofront.network import Builder
from cofront.predict.adaproxy import STRENGTHS, AdaProxy, adapt
from cofront.predict.forest import Forest, KernelForests, kernel_kind
from cofront.predict.gaussian import GaussianProcess
from cofront.space.nasbench201 import NasBench201
from cofront.testing.predictors import PredictorConformance


class TestGaussianProcess(PredictorConformance):
    make = GaussianProcess
    space = NasBench201


class TestForest(PredictorConformance):
    make = Forest
    space = NasBench201
    least_spearman = 0.85
    most_rmse = 0.6


class TestAdaProxy(PredictorConformance):
    make = staticmethod(lambda: AdaProxy(synthetic_devices()))
    space = NasBench201
    most_rmse = 0.7


def test_a_proxy_without_corrections_is_rescaled():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(40, 6))
    y = 3 * parts.sum(axis=1) + 2
    scales, offset = adapt(parts, y, (1.0,))[0]
    np.testing.assert_allclose(scales, 3.0, atol=1e-9)
    assert offset == pytest.approx(2.0)


def test_a_sparse_difference_is_found():
    """Adaptation corrects the one option that the target handles differently."""
    rng = np.random.default_rng(0)
    parts = rng.integers(0, 2, (60, 12)) * np.linspace(0.5, 1.0, 12)
    y = 2 * parts.sum(axis=1) + 5 * parts[:, 4] + 1
    scales, _ = adapt(parts, y, STRENGTHS)[-1]
    assert scales[4] == pytest.approx(7, abs=0.05)
    assert np.delete(scales, 4) == pytest.approx(2.0, abs=0.05)


def test_the_objective_is_minimal():
    """No small step from the solution lowers the published objective with the 1-norm."""
    rng = np.random.default_rng(1)
    parts, y = rng.normal(size=(30, 5)), rng.normal(size=30)
    free = np.stack([parts.sum(axis=1), np.ones(30)], axis=1)
    base, _ = np.linalg.qr(free)
    inner, target = parts - base @ (base.T @ parts), y - base @ (base.T @ y)
    strength = 0.3 * float(np.abs(inner.T @ target).max()) / 30
    scales, offset = adapt(parts, y, (0.3,))[0]

    def objective(a: float, b: np.ndarray, c: float) -> float:
        return float(np.sum((parts @ (a + b) + c - y) ** 2) / 60 + strength * np.abs(b).sum())

    a = float(np.median(scales))  # b is sparse: most entries are the scale
    here = objective(a, scales - a, offset)
    for _ in range(200):
        step = 1e-3 * rng.normal(size=7)
        assert objective(a + step[0], scales - a + step[1:6], offset + step[6]) >= here - 1e-9


@pytest.mark.parametrize("columns", [5, 25])
def test_a_proxy_of_another_space_is_named(columns):
    rows = np.random.default_rng(0).normal(size=(20, columns))
    with pytest.raises(InputError, match=f"adaproxy: the known devices have 24 columns, the rows {columns}: "):
        AdaProxy(synthetic_devices()).fit(rows, np.arange(20.0))


def kernel(channels: int, side: int, width: int, k: int = 3):
    b = Builder("kernel", (channels, side, side))
    b.conv(width, k, act="relu", name="conv")
    return b.build()


def test_forests_per_kernel_predict_kernels_between():
    sizes = [(c, s, w, k) for c in (8, 16, 32, 64) for s in (8, 16, 32) for w in (8, 32, 64) for k in (1, 3, 5)]
    kernels = [kernel(*s) for s in sizes]
    latency = np.array([2e-6 + 1e-12 * k.macs + 2e-10 * s[1] ** 2 * s[2] for k, s in zip(kernels, sizes, strict=True)])
    seen = np.random.default_rng(0).permutation(len(sizes))
    forests = KernelForests().fit([kernels[i] for i in seen[:80]], latency[seen[:80]])
    predicted = forests.predict([kernels[i] for i in seen[80:]])
    assert np.median(np.abs(predicted / latency[seen[80:]] - 1)) < 0.3
    assert kernel_kind(kernels[0]) == "conv2d"
    b = Builder("pooled", (4, 8, 8))
    b.pool("max", 2, 2)
    with pytest.raises(InputError, match=r"no kernel like 'pooled' \(pool2d\) was measured"):
        forests.predict([b.build()])
    with pytest.raises(InputError, match="one latency, not negative, for every kernel"):
        KernelForests().fit(kernels[:2], np.array([1.0, -1.0]))
