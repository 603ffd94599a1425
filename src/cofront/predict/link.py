"""A monotone polynomial from scores to accuracy, fitted by least squares."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.optimize import nnls

from cofront.errors import InputError

FloatArray = NDArray[np.float64]

#: The least slope, as a share of the mean slope: keeps the link strictly increasing on its range.
MIN_SLOPE = 0.02
MAX_DEGREE = 3
_U = Polynomial([0.0, 1.0])


@cache
def _increasing(degree: int) -> FloatArray:
    """(degree + 1, rays) power coefficients of polynomials that increase on [0, 1] and span all that do.

    A derivative that is not negative on [0, 1] is a sum of u and 1 - u for degree 1, and of squares (u - t)^2 and
    u (1 - u) for degree 2 (Lukacs); the squares are taken on a fine grid of t, the constant is their limit.
    """
    slopes = [Polynomial([1.0])]
    if degree == 2:
        slopes += [_U, 1 - _U]
    if degree == 3:
        slopes += [_U * (1 - _U), *((_U - t) ** 2 for t in np.linspace(-1, 2, 121))]
    out = np.zeros((degree + 1, len(slopes)))
    for i, slope in enumerate(slopes):
        coefficients = slope.integ().coef
        out[: len(coefficients), i] = coefficients
    return out


def fit_link(x: FloatArray, y: FloatArray, degree: int, low: float, high: float) -> FloatArray:
    """Power coefficients (degree + 1,), constant first, of the best polynomial y(x) that increases on [low, high]."""
    if not 1 <= degree <= MAX_DEGREE:
        raise InputError(f"a link has degree 1 to {MAX_DEGREE}, got {degree}")
    span = max(high - low, 1e-12)
    u = (x - low) / span
    q, r = np.linalg.qr(np.vander(u, degree + 1, increasing=True))
    least = np.zeros(degree + 1)
    least[1] = MIN_SLOPE * max(float(np.cov(u, y, bias=True)[0, 1]) / max(float(np.var(u)), 1e-12), 1e-9)
    rays = _increasing(degree)
    up = np.eye(degree + 1)[:, :1]  # the constant, of either sign
    columns = np.concatenate([up, -up, rays], axis=1)
    weights = nnls(r @ columns, q.T @ y - r @ least, maxiter=100 * columns.shape[1])[0]
    inside = Polynomial(least + columns @ weights)
    shifted = inside(Polynomial([-low / span, 1 / span])).coef
    return np.asarray(np.pad(shifted, (0, degree + 1 - len(shifted))), float)  # numpy drops leading zeros


def slope_at(link: FloatArray, x: FloatArray) -> FloatArray:
    """Derivative of the link at x, any shape."""
    return np.asarray(np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyder(link)), float)
