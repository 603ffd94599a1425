"""Sums of operators to whole networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.measure.overhead import Overhead, fit_overhead


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


def test_few_networks_are_trusted_little() -> None:
    assert fit_overhead(np.zeros((0, 3)), np.zeros(0)) == Overhead()
    terms = networks(np.random.default_rng(1), 4)
    found = fit_overhead(terms, 1.1 * terms[:, 0])
    assert found.base_s == 0 and found.factor == pytest.approx(1.1, abs=0.02) and found.networks == 4
    assert found.plain_error == pytest.approx(1 - 1 / 1.1) and found.error is not None and found.error < 0.01
