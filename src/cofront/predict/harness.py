"""How good a predictor is: the same splits for all, and beside the scores what the noise of the measurement allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.predict.base import FloatArray, Predictor

#: Student's t would be 2.1 at 20 splits; splits overlap, so this is a guide and not a guarantee.
_Z95 = 1.96


@dataclass(frozen=True)
class Score:
    """Mean over the splits and the half width of its 95 % confidence interval."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.half:.4f}"


def score(values: FloatArray) -> Score:
    """Mean of values (s,), one per split, and the half width of its confidence interval; NaN for a single one."""
    half = _Z95 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Score(float(values.mean()), float(half))


@dataclass(frozen=True)
class Ceiling:
    """What a perfect predictor of the true accuracy would score against accuracies measured on n_val images.

    Binomial, as if every network had been evaluated on images of its own; networks evaluated on the same images
    share part of the noise, and a predictor can then do better than this.
    """

    n_val: int
    spearman: float
    rmse_points: float


@dataclass(frozen=True)
class Report:
    """Held-out scores of one predictor. RMSE in accuracy points, MAPE and coverage as fractions.

    `coverage` is the share of held-out measurements within 1.96 predicted standard deviations.
    """

    predictor: str
    n_train: int
    n_test: int
    splits: int
    seed: int
    spearman: Score
    kendall: Score
    rmse_points: Score
    mape: Score
    bias_points: Score
    coverage: Score
    ceiling: Ceiling | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    make: Callable[[], Predictor],
    x: FloatArray,
    y: FloatArray,
    *,
    splits: int = 20,
    train: int | float = 0.8,
    seed: int = 0,
    n_val: int | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Report:
    """Fit on `train` rows (a share or a number) of x (n, f), y (n,) and score on the rest, `splits` times.

    Split i depends on the seed and i alone, so that predictors are compared on the same rows. With `groups` (n,), such
    as `space.isomorphism(points)`, no row is scored whose group was trained on; `n_test` is then the least number.
    """
    n = len(y)
    n_train = round(train * n) if isinstance(train, float) else train
    if not 0 < n_train < n - 1 or splits < 1:
        raise UsageError(f"cannot train on {n_train} of {n} rows and test on the rest, {splits} times")
    if groups is not None and groups.shape != (n,):
        raise UsageError(f"groups are one number for each of {n} rows, got {groups.shape}")
    parts = [_split(n, n_train, groups, np.random.default_rng((seed, i))) for i in range(splits)]
    rows = np.array([_split_scores(make(), x, y, *part) for part in parts])
    spearman, kendall, rmse, mape, bias, coverage = (score(column) for column in rows.T)
    return Report(
        predictor=make().name,
        n_train=n_train,
        n_test=min(len(test) for _, test in parts),
        splits=splits,
        seed=seed,
        spearman=spearman,
        kendall=kendall,
        rmse_points=rmse,
        mape=mape,
        bias_points=bias,
        coverage=coverage,
        ceiling=ceiling(y, n_val) if n_val else None,
    )


def _split(
    n: int, n_train: int, groups: NDArray[np.int64] | None, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to score on."""
    order = rng.permutation(n)
    train, test = order[:n_train], order[n_train:]
    if groups is not None:
        test = test[~np.isin(groups[test], groups[train])]
    if len(test) < 2:
        raise UsageError(f"{len(test)} rows are left to score on after {n_train} rows to train on; take fewer")
    return train, test


def _split_scores(
    predictor: Predictor, x: FloatArray, y: FloatArray, train: NDArray[np.int64], test: NDArray[np.int64]
) -> list[float]:
    """Spearman, Kendall, RMSE and MAPE, bias, coverage. Rows with y = 0 have no relative error."""
    prediction = predictor.fit(x[train], y[train]).predict(x[test])
    error, some = prediction.mean - y[test], y[test] != 0
    return [
        *rank_correlations(prediction.mean, y[test]),
        100 * float(np.sqrt(np.mean(error**2))),
        float(np.mean(np.abs(error[some]) / np.abs(y[test][some]))) if some.any() else float("nan"),
        100 * float(error.mean()),
        float(np.mean(np.abs(error) <= _Z95 * prediction.std)),
    ]


def rank_correlations(a: FloatArray, b: FloatArray) -> tuple[float, float]:
    """Spearman's and Kendall's, 0 where one of the two is constant and ranks nothing."""
    from scipy.stats import kendalltau, spearmanr

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0, 0.0
    return float(spearmanr(a, b).statistic), float(kendalltau(a, b).statistic)


def ceiling(y: FloatArray, n_val: int) -> Ceiling:
    """The noise ceiling of accuracies y (n,), fractions, each measured on `n_val` images.

    Noise variance y (1 - y) / n_val is taken off the spread of y; the rank correlation of the remainder with the
    measurement is that of a bivariate normal: 6 / pi asin(r / 2).
    """
    noise = float(np.mean(y * (1 - y))) / n_val
    spread = float(np.var(y))
    r = np.sqrt(max(spread - noise, 0.0) / spread) if spread > 0 else 0.0
    return Ceiling(n_val, float(6 / np.pi * np.arcsin(r / 2)), 100 * float(np.sqrt(noise)))
