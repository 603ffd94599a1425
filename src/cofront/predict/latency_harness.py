"""How good a predictor of latency is from few or many measurements: same splits for all, with the papers' trimming.

Extends `harness`: errors are relative and in seconds, the rows to learn from are few draws of a pool, rows that are the
same network are never on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.predict.base import FloatArray, Prediction, Predictor
from cofront.predict.harness import Score, rank_correlations, score

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LatencyReport:
    """Held-out scores over `draws` of `samples` rows. Errors as fractions, `mae_s` in seconds, times per draw.

    `within_5` and `within_10`: share of networks predicted to within 5 and 10 %; `coverage`: share of measurements
    within 1.96 predicted standard deviations.
    """

    predictor: str
    samples: int
    n_test: int
    draws: int
    seed: int
    trim: float
    spearman: Score
    kendall: Score
    mape: Score
    mae_s: Score
    within_5: Score
    within_10: Score
    coverage: Score
    fit_s: float
    predict_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Split:
    """Rows to draw samples from and rows to score on; with `groups` (n,), no drawn row's group is scored on."""

    pool: IntArray
    test: IntArray
    groups: IntArray | None = None
    trim: float = 0.0

    def trimmed(self, y: FloatArray) -> Split:
        """Without the fastest and slowest share `trim` of pool and of test, as HELP does [HELP21]."""
        return Split(trimmed(self.pool, y, self.trim), trimmed(self.test, y, self.trim), self.groups, self.trim)


def trimmed(rows: IntArray, y: FloatArray, share: float) -> IntArray:
    """The rows without the `share` of lowest and of highest y, in order."""
    if not 0 <= share < 0.5:
        raise UsageError(f"trim a share of 0 to below 0.5 at either end, got {share:g}")
    order = rows[np.argsort(y[rows], kind="stable")]
    cut = int(share * len(rows))
    return np.sort(order[cut : len(order) - cut])


def draw(split: Split, samples: int, seed: int, number: int) -> tuple[IntArray, IntArray]:
    """Rows to learn from and rows to score on; draw `number` depends on it and the seed alone."""
    if not 0 < samples <= len(split.pool):
        raise UsageError(f"cannot draw {samples} samples from {len(split.pool)} measured rows")
    rng = np.random.default_rng((seed, number))
    support = rng.choice(split.pool, samples, replace=False)
    seen = split.groups[support] if split.groups is not None else support
    own = split.groups[split.test] if split.groups is not None else split.test
    test = split.test[~np.isin(own, seen)]
    if len(test) < 2:
        raise UsageError(f"{len(test)} rows are left to score on after {samples} samples; take fewer")
    return support, test


def evaluate_latency(
    make: Callable[[], Predictor],
    x: FloatArray,
    y: FloatArray,
    *,
    split: Split,
    samples: int,
    draws: int = 1,
    seed: int = 0,
    keep: Callable[[IntArray, Prediction], None] | None = None,
) -> LatencyReport:
    """Fit on `samples` rows of x (n, f), y (n,) seconds drawn from the pool, score on the test rows; `draws` times.

    `keep` is given the test rows of the first draw and what was predicted of them.
    """
    if draws < 1:
        raise UsageError(f"at least one draw is needed, got {draws}")
    split, rows = split.trimmed(y), []
    for number in range(draws):
        support, test = draw(split, samples, seed, number)
        started = time.perf_counter()
        fitted = make().fit(x[support], y[support])
        done = time.perf_counter()
        prediction = fitted.predict(x[test])
        times = (done - started, time.perf_counter() - done)
        if keep is not None and number == 0:
            keep(test, prediction)
        rows.append([*latency_scores(prediction.mean, prediction.std, y[test]), *times, len(test)])
    table = np.array(rows)
    spearman, kendall, mape, mae, five, ten, coverage = (score(c) for c in table[:, :7].T)
    fit_s, predict_s = np.median(table[:, 7:9], axis=0)
    return LatencyReport(
        predictor=make().name,
        samples=samples,
        n_test=int(table[:, 9].min()),
        draws=draws,
        seed=seed,
        trim=split.trim,
        spearman=spearman,
        kendall=kendall,
        mape=mape,
        mae_s=mae,
        within_5=five,
        within_10=ten,
        coverage=coverage,
        fit_s=float(fit_s),
        predict_s=float(predict_s),
    )


def latency_scores(mean: FloatArray, std: FloatArray, y: FloatArray) -> list[float]:
    """Spearman, Kendall, MAPE, MAE, shares within 5 and 10 %, coverage. Rows with y = 0 have no relative error."""
    error, some = mean - y, y > 0
    relative = np.abs(error[some]) / y[some]
    return [
        *rank_correlations(mean, y),
        float(relative.mean()) if some.any() else float("nan"),
        float(np.abs(error).mean()),
        float(np.mean(relative <= 0.05)) if some.any() else float("nan"),
        float(np.mean(relative <= 0.10)) if some.any() else float("nan"),
        float(np.mean(np.abs(error) <= 1.96 * std)),
    ]
