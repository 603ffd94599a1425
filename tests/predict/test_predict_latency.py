"""Predictors of latency and their harness."""

import numpy as np
import pytest
from bank import synthetic_devices

from cofront.errors import InputError, UsageError
from cofront.predict.adaproxy import AdaProxy
from cofront.predict.additive import Additive
from cofront.predict.devices import KnownDevices, learn_devices, shipped
from cofront.predict.forest import Forest
from cofront.predict.gaussian import GaussianProcess
from cofront.predict.kernel_ridge import fit_dual
from cofront.predict.latency_harness import Split, draw, evaluate_latency, latency_scores, trimmed
from cofront.predict.nnls import Nnls
from cofront.predict.ridge import OneHotRidge, QuadraticRidge
from cofront.predict.svr import Svr
from cofront.predict.transfer import Transfer
from cofront.space import load
from cofront.space.nasbench201 import NasBench201
from cofront.testing.predictors import PredictorConformance, one_hot_data


class TestOneHotRidge(PredictorConformance):
    most_rmse = 0.7
    make = OneHotRidge
    space = NasBench201


class TestQuadraticRidge(PredictorConformance):
    make = QuadraticRidge
    space = NasBench201


class TestNnls(PredictorConformance):
    most_rmse = 0.7
    make = staticmethod(lambda: Nnls(synthetic_devices(difference=0.05)))
    space = NasBench201


class TestTransfer(PredictorConformance):
    most_rmse = 0.7
    make = staticmethod(lambda: Transfer(synthetic_devices()))
    space = NasBench201


def test_transfer_learns_from_ten_rows_what_ridge_cannot():
    x, y = one_hot_data(410, seed=2)
    scores = {}
    for name, make in (("transfer", lambda: Transfer(synthetic_devices())), ("ridge", OneHotRidge)):
        prediction = make().fit(x[:10], y[:10]).predict(x[10:])
        scores[name] = latency_scores(prediction.mean, prediction.std, y[10:])[0]
    assert scores["transfer"] > 0.85 > 0.7 > scores["ridge"]


def test_transfer_scales_with_the_unit():
    x, y = one_hot_data(60)
    one = Transfer(synthetic_devices()).fit(x[:20], y[:20]).predict(x)
    thousand = Transfer(synthetic_devices()).fit(x[:20], 1e3 * y[:20]).predict(x)
    np.testing.assert_allclose(thousand.mean, 1e3 * one.mean, rtol=1e-6)
    np.testing.assert_allclose(thousand.std, 1e3 * one.std, rtol=1e-4)


def test_quadratic_ridge_is_ridge_on_all_pairs():
    """The dual with k + s k^2 against the primal with every product of two columns."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    linear, share = x @ x.T, 0.3
    fit = fit_dual(linear + share * linear**2, y, (0.1,))
    pairs = np.sqrt(share) * np.einsum("ni,nj->nij", x, x).reshape(30, -1)
    columns = np.concatenate([x, pairs], axis=1)
    centre = columns.mean(axis=0)  # the intercept is free
    inner = columns - centre
    weights = np.linalg.solve(inner.T @ inner + fit.ridge * np.eye(20), inner.T @ (y - y.mean()))
    new = rng.normal(size=(5, 4))
    ours = fit.predict(new @ x.T + share * (new @ x.T) ** 2, np.ones(5))[0]
    rows = np.concatenate([new, np.sqrt(share) * np.einsum("ni,nj->nij", new, new).reshape(5, -1)], 1)
    theirs = y.mean() + (rows - centre) @ weights
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize(("rows", "columns"), [(12, 3), (12, 40)])
def test_leave_one_out_is_leaving_one_out(rows, columns):
    """Against really fitting to the others, intercept and all, with more rows than columns and with fewer."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(rows, columns)), rng.normal(size=rows)
    x -= x.mean(axis=0)  # as the predictors centre them: the left-out row has its part in it
    kernel = x @ x.T
    scale = np.trace(kernel) / rows
    for ridge in (1e-7, 0.5):
        fit, residuals = fit_dual(kernel, y, (ridge,)), []
        for i in range(rows):
            keep = np.arange(rows) != i
            part = kernel[np.ix_(keep, keep)]
            others = fit_dual(part, y[keep], (ridge * scale * (rows - 1) / np.trace(part),))
            residuals.append(y[i] - float(others.predict(kernel[[i]][:, keep], np.diag(kernel)[[i]])[0][0]))
        assert fit.loo_rmse == pytest.approx(np.sqrt(np.mean(np.square(residuals))), rel=1e-4)
        assert fit.loo_rmse > 0.5 * y.std()  # noise cannot be predicted


@pytest.mark.parametrize("make", [OneHotRidge, QuadraticRidge, GaussianProcess])
@pytest.mark.parametrize("n", [10, 16, 30])
def test_intervals_cover_with_fewer_rows_than_columns(make, n):
    covered = []
    for seed in range(12):
        x, y = one_hot_data(n + 200, noise=0.005, seed=seed)
        x = np.concatenate([x, x[:, ::3] * x[:, [4]], x[:, 1::3] * x[:, [7]]], axis=1)  # 40 columns, rank above n
        prediction = make().fit(x[:n], y[:n]).predict(x[n:])
        covered.append(np.mean(np.abs(prediction.mean - y[n:]) < 1.96 * prediction.std))
    assert 0.82 <= np.mean(covered) <= 0.995


def test_pairs_are_used_where_they_matter():
    """A square of a sum, which a sum cannot follow, in fewer rows than columns."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, 8, (228, 4))
    x = np.concatenate([np.eye(8)[chosen[:, j]] for j in range(4)], axis=1)
    y = 10 + 0.1 * (chosen - 3.5).sum(axis=1) ** 2
    errors = []
    for make in (OneHotRidge, QuadraticRidge):
        prediction = make().fit(x[:28], y[:28]).predict(x[28:])
        errors.append(np.sqrt(np.mean((prediction.mean - y[28:]) ** 2)))
    assert errors[1] < 0.95 * errors[0]


BANK = synthetic_devices()
MAKERS = [
    OneHotRidge,
    QuadraticRidge,
    GaussianProcess,
    Additive,
    Svr,
    Forest,
    lambda: Nnls(BANK),
    lambda: Transfer(BANK),
]


@pytest.mark.parametrize("make", [*MAKERS, lambda: AdaProxy(BANK)])
def test_nothing_takes_less_than_no_time(make):
    x, y = one_hot_data(120)
    low = np.maximum(y - np.quantile(y, 0.6), 0.0) + 1e-9 * y  # most measurements next to 0
    assert make().fit(x[:40], low[:40]).predict(x).mean.min() >= 0.0


# known devices


def test_known_devices_are_saved_selected_and_checked(tmp_path, monkeypatch):
    devices = synthetic_devices(3)
    assert devices.without("d1", "other").names == ("d0", "d2")
    with pytest.raises(UsageError, match="no known device of space 'synthetic' named 'd7'; did you mean"):
        devices.select(["d7"])
    with pytest.raises(UsageError, match="no known device of space 'synthetic' is left"):
        devices.without("d0", "d1", "d2")
    with pytest.raises(UsageError, match=r"no known devices come with space 'subgraph32': .*--known"):
        shipped("subgraph32")
    devices.save(tmp_path / "d.safetensors")
    assert (tmp_path / "d.safetensors").stat().st_size < 2000


def test_shipped_devices_are_those_of_the_papers_training_splits():
    found = shipped("nasbench201")
    assert isinstance(found, KnownDevices)
    assert {"pixel3", "silver_4114", "1080ti_256"} <= set(found.names)
    assert not {"fpga", "eyeriss", "raspi4", "pixel2", "gold_6226", "titan_rtx_256"} & set(found.names)
    assert shipped("fbnet@cifar100").names == shipped("fbnet").names
    space = load("nasbench201")
    cells = space.sample(np.random.default_rng(0), 50)
    latency = found.predict(Transfer.encode(space, cells))
    assert latency.shape == (50, len(found.names))
    assert np.median(latency) > 1e-3 and (found.mean > 0).all()


def test_learnt_devices_reproduce_additive_ones():
    space = load("nasbench201")
    cells = space.sample(np.random.default_rng(0), 300)
    latency = 1e-3 * (1 + (cells == 3).sum(axis=1))
    found = learn_devices(space, cells, {"a": latency, "b": np.where(np.arange(300) < 40, latency, np.nan)})
    error = found.predict(Transfer.encode(space, cells)) - latency[:, None]
    assert np.abs(error[:, 0]).max() < 1e-4
    with pytest.raises(InputError, match="known device 'b': 5 measurements are too few"):
        learn_devices(space, cells, {"b": np.where(np.arange(300) < 5, latency, np.nan)})


def test_nothing_to_combine_is_said():
    x, y = one_hot_data(30)
    with pytest.raises(InputError, match="nnls: no known devices were given"):
        Nnls().fit(x, y)
    with pytest.raises(InputError, match="transfer: no known devices were given"):
        Transfer().fit(x, y)
    with pytest.raises(InputError, match="24 columns, the rows 20: they come from different spaces"):
        Transfer(synthetic_devices()).fit(x[:, :20], y)


# the harness


def test_trimming_drops_the_fastest_and_slowest():
    y = np.array([5.0, 1, 2, 3, 4, 9, 8, 7, 6, 0])
    assert trimmed(np.arange(10), y, 0.1).tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert trimmed(np.arange(10), y, 0.0).tolist() == list(range(10))
    with pytest.raises(UsageError, match=r"trim a share of 0 to below 0\.5"):
        trimmed(np.arange(10), y, 0.5)


def test_draws_repeat_and_never_leak():
    groups = np.repeat(np.arange(20), 3)
    split = Split(np.arange(60), np.arange(60), groups)
    support, test = draw(split, 8, 3, 0)
    assert np.array_equal(support, draw(split, 8, 3, 0)[0])
    assert not np.array_equal(support, draw(split, 8, 3, 1)[0])
    assert not set(groups[support]) & set(groups[test])
    with pytest.raises(UsageError, match="cannot draw 61 samples from 60"):
        draw(split, 61, 0, 0)
    with pytest.raises(UsageError, match="rows are left to score on"):
        draw(Split(np.arange(60), np.arange(60)), 59, 0, 0)


def test_reports_hold_what_they_say():
    x, y = one_hot_data(300)
    split = Split(np.arange(200), np.arange(200, 300), trim=0.1)
    report = evaluate_latency(OneHotRidge, x, y, split=split, samples=100, draws=3)
    assert (report.samples, report.n_test, report.draws) == (100, 80, 3)
    assert report.spearman.mean > 0.9 and report.spearman.half > 0
    assert 0 <= report.within_5.mean <= report.within_10.mean <= 1
    assert report.to_json()["kendall"]["mean"] == report.kendall.mean
    again = evaluate_latency(OneHotRidge, x, y, split=split, samples=100, draws=3)
    assert again.spearman == report.spearman


def test_scores_of_known_errors():
    y = np.array([1.0, 2.0, 4.0])
    spearman, kendall, mape, mae, five, ten, coverage = latency_scores(1.08 * y, np.full(3, 0.1), y)
    assert (spearman, kendall) == (1.0, 1.0)
    assert mape == pytest.approx(0.08)
    assert mae == pytest.approx(0.08 * 7 / 3)
    assert (five, ten) == (0.0, 1.0)
    assert coverage == pytest.approx(2 / 3)
    assert latency_scores(np.ones(3), np.ones(3), y)[0] == 0.0
