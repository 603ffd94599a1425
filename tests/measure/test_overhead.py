"""Sums of operators to whole networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.measure.overhead import KEPT, Overhead, fit_overhead


def networks(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 3) seconds, operators, elements."""
    operators = rng.integers(12, 23, n)
    return np.column_stack(
        [operators * rng.uniform(0.4e-3, 0.8e-3, n), operators, operators * rng.uniform(3e4, 9e4, n)]
    )


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 2e-3), st.floats(0.7, 1.4), st.floats(-3e-5, 3e-5))
def test_what_adds_up_is_found(seed: int, base: float, factor: float, each: float) -> None:
    rng = np.random.default_rng(seed)
    terms = networks(rng, 40)
    truth = Overhead(base, factor, each)
    y = truth.network(terms) * np.exp(0.003 * rng.standard_normal(40))
    fitted = fit_overhead(terms, y)
    assert fitted.error is not None and fitted.error < 0.01
    new = networks(rng, 200)
    assert np.abs(fitted.network(new) / truth.network(new) - 1).mean() < 0.01


def test_corrected_operators_add_up_to_the_network() -> None:
    rng = np.random.default_rng(0)
    seconds, elements = rng.uniform(1e-4, 1e-3, 8), rng.uniform(1e4, 1e5, 8)
    model = Overhead(1e-3, 0.9, 2e-5, 1e-10)
    whole = model.network(np.array([[seconds.sum(), 8, elements.sum()]]))[0]
    assert model.base_s + model.operator(seconds, elements).sum() == pytest.approx(whole)
    assert (Overhead(per_operator_s=-1.0).operator(seconds, elements) == 0).all(), "never below 0"


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 0.9))
def test_no_operator_becomes_free(seed: int, saved: float) -> None:
    """Where calls cost less inside a network than the quickest operator takes alone, that keeps a share of its time;
    sums stay those that were fitted, and near what was measured."""
    rng = np.random.default_rng(seed)
    alone = np.sort(rng.uniform(1e-5, 4e-5, 20))
    elements = rng.uniform(5e3, 1e4, 20)
    truth = alone - saved * 1.1 * alone[0]
    drawn = rng.integers(0, 20, (16, 9))
    terms = np.column_stack([alone[drawn].sum(axis=1), np.full(16, 9.0), elements[drawn].sum(axis=1)])
    y = truth[drawn].sum(axis=1) * np.exp(0.003 * rng.standard_normal(16))
    operators = np.column_stack([alone, elements])
    found = fit_overhead(terms, y, operators)
    corrected = found.operator(alone, elements)
    assert (corrected >= (KEPT - 1e-6) * alone).all()
    assert found.base_s + corrected[drawn].sum(axis=1) == pytest.approx(found.network(terms))
    assert np.abs(found.network(terms) / y - 1).mean() < 0.02
    # where nothing is cut the fit is as without
    free = fit_overhead(terms, y)
    if (free.operator(alone, elements) >= KEPT * alone).all():
        assert (free.factor, free.per_operator_s) == pytest.approx((found.factor, found.per_operator_s), rel=1e-6)


def test_an_operator_that_would_be_negative_keeps_its_share() -> None:
    """The least operator of what is fitted freely is below 0 here."""
    alone, elements = np.array([1e-5, 3e-5, 6e-5]), np.ones(3)
    drawn = np.array([[0, 1, 2], [1, 1, 2], [2, 2, 2], [1, 2, 2], [0, 2, 2], [1, 1, 1], [0, 1, 1]] * 2)
    terms = np.column_stack([alone[drawn].sum(axis=1), np.full(14, 3.0), np.full(14, 3.0)])
    y = (alone - 1.2e-5)[drawn].sum(axis=1)
    free, found = fit_overhead(terms, y), fit_overhead(terms, y, np.column_stack([alone, elements]))
    assert (free.factor * alone + free.per_operator_s + free.per_element_s * elements)[0] < 0
    corrected = found.operator(alone, elements)
    assert corrected[0] == pytest.approx(KEPT * alone[0], rel=1e-4) and (corrected >= (KEPT - 1e-6) * alone).all()


def test_few_networks_are_trusted_little() -> None:
    assert fit_overhead(np.zeros((0, 3)), np.zeros(0)) == Overhead()
    terms = networks(np.random.default_rng(1), 4)
    found = fit_overhead(terms, 1.1 * terms[:, 0])
    assert found.base_s == 0 and found.factor == pytest.approx(1.1, abs=0.02) and found.networks == 4
    assert found.plain_error == pytest.approx(1 - 1 / 1.1) and found.error is not None and found.error < 0.01
