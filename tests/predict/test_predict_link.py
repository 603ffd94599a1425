import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront.errors import InputError
from cofront.predict.link import fit_link, slope_at
from cofront.problem import link_value

VALUES = st.lists(st.floats(0, 1), min_size=8, max_size=30)


@given(VALUES, VALUES, st.integers(1, 3))
def test_link_always_increases_on_its_range(x, y, degree):
    n = min(len(x), len(y))
    x, y = np.array(x[:n]), np.array(y[:n])
    if np.ptp(x) < 1e-3:
        return
    link = fit_link(x, y, degree, x.min(), x.max())
    assert len(link) == degree + 1
    grid = np.linspace(x.min(), x.max(), 200)
    assert (np.diff(np.polynomial.polynomial.polyval(grid, link)) > -1e-9).all()


@pytest.mark.parametrize("coefficients", [(0.1, 0.7), (0.2, 1.0, -0.4), (0.1, 1.0, -0.9, 0.3)])
def test_an_increasing_polynomial_is_found_again(coefficients):
    x = np.linspace(0.2, 0.9, 40)
    y = np.polynomial.polynomial.polyval(x, coefficients)
    found = fit_link(x, y, len(coefficients) - 1, 0.2, 0.9)
    np.testing.assert_allclose(found, coefficients, atol=1e-6)


def test_the_fit_is_the_best_when_nothing_binds():
    x = np.linspace(0, 1, 30)
    y = np.exp(2 * x)
    np.testing.assert_allclose(fit_link(x, y, 3, 0, 1), np.polyfit(x, y, 3)[::-1], atol=1e-8)
    with pytest.raises(InputError, match="degree 1 to 3, got 4"):
        fit_link(x, y, 4, 0, 1)


def test_a_bend_downwards_is_held_up():
    x = np.linspace(0, 1, 50)
    y = x - x**2  # rises to 0.5, then falls
    link = fit_link(x, y + 0.2 * x, 2, 0, 1)
    assert (slope_at(link, x) >= 0).all()
    assert slope_at(link, np.array([0.0]))[0] > slope_at(link, np.array([1.0]))[0]


def test_outside_its_range_the_link_is_straight():
    link, bounds = (0.0, 2.0, -1.0), (0.2, 0.8)  # 2x - x^2, slopes 1.6 and 0.4 at the ends
    x = np.array([0.0, 0.2, 0.5, 0.8, 1.8])
    np.testing.assert_allclose(link_value(x, link, bounds), [0.36 - 0.32, 0.36, 0.75, 0.96, 0.96 + 0.4])
    np.testing.assert_allclose(link_value(x, link), 2 * x - x**2)
