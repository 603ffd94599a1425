"""A monotone polynomial from scores to accuracy, fitted in the Bernstein basis."""

from __future__ import annotations

from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

FloatArray = NDArray[np.float64]

#: The least slope, as a share of the mean slope: keeps the link strictly increasing on its range.
MIN_SLOPE = 0.02


@cache
def _to_power(degree: int) -> FloatArray:
    """(degree + 1, degree + 1): Bernstein coefficients on [0, 1] -> power coefficients, constant first."""
    out = np.zeros((degree + 1, degree + 1))
    for i in range(degree + 1):
        for j in range(i, degree + 1):
            out[j, i] = comb(degree, j) * comb(j, i) * (-1) ** (j - i)
    return out


def fit_link(x: FloatArray, y: FloatArray, degree: int, low: float, high: float) -> FloatArray:
    """Power coefficients (constant first) of the least-squares polynomial y(x) that increases on [low, high].

    A polynomial whose Bernstein coefficients increase is increasing on the interval; for degree 2 the converse holds
    too, for degree 3 this asks slightly more than it must.
    """
    span = max(high - low, 1e-12)
    u = (x - low) / span
    basis = np.stack([comb(degree, i) * u**i * (1 - u) ** (degree - i) for i in range(degree + 1)], axis=1)
    # unknowns: the first coefficient and the increments, so that monotone means increments at or above a bound
    design = basis @ np.tril(np.ones((degree + 1, degree + 1)))
    slope = max(float(np.polyfit(u, y, 1)[0]), 1e-9)
    least = np.array([-np.inf] + [MIN_SLOPE * slope / degree] * degree)
    solution = lsq_linear(design, y, bounds=(least, np.inf), method="bvls").x
    inside = np.polynomial.Polynomial(_to_power(degree) @ np.cumsum(solution))
    return np.asarray(inside(np.polynomial.Polynomial([-low / span, 1 / span])).coef, float)


def slope_at(link: FloatArray, x: FloatArray) -> FloatArray:
    """Derivative of the link at x, any shape."""
    return np.asarray(np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyder(link)), float)
