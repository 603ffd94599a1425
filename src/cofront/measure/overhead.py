"""From sums of operators to whole networks: what a few measured networks say about the difference.

An operator timed alone pays for what a network pays once: the call, and the copies of its input and output into the
runtime's layout and back; it also finds its weights in the cache. So a network's latency is modelled as a constant,
plus a factor times the sum of its operators, plus a correction for each operator and for each element at the edge of
one. How many of these terms are used is decided by leave-one-out error over the measured networks. All of it adds up,
so the corrected operators serve the exact search; none of them becomes free. Our own construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Which terms a model may use: constant, factor, per operator, per element at an operator's edge.
MODELS: tuple[tuple[int, ...], ...] = ((1,), (0, 1), (0, 1, 2), (0, 1, 3), (0, 1, 2, 3))
_PRIOR = np.array([0.0, 1.0, 0.0, 0.0])
#: How far a term may be expected from its prior, as a share of a typical network's latency.
_TRUST = 0.3
#: How well a network's latency is measured, relatively.
_NOISE = 0.01
#: Of the time that an operator takes alone, this is the least that is left of it inside a network.
KEPT = 0.05
#: Networks per term: with fewer, the term is not tried.
_PER_TERM = 3


@dataclass(frozen=True)
class Overhead:
    """latency = base_s + factor * sum + per_operator_s * operators + per_element_s * elements at their edges.

    `error` is the leave-one-out mean relative error over `networks`, `plain_error` that of the sum alone; `spread`
    the standard deviation of the leave-one-out relative errors.
    """

    base_s: float = 0.0
    factor: float = 1.0
    per_operator_s: float = 0.0
    per_element_s: float = 0.0
    networks: int = 0
    error: float | None = None
    plain_error: float | None = None
    spread: float | None = None

    def operator(self, seconds: FloatArray, elements: FloatArray) -> FloatArray:
        """(n,) what each operator costs inside a network; never below 0."""
        return np.maximum(self.factor * seconds + self.per_operator_s + self.per_element_s * elements, 0.0)

    def network(self, terms: FloatArray) -> FloatArray:
        """(n,) latencies of networks from their (n, 3) sums: seconds, operators, elements."""
        beta = np.array([self.base_s, self.factor, self.per_operator_s, self.per_element_s])
        return np.asarray(np.column_stack([np.ones(len(terms)), terms]) @ beta, float)


def fit_overhead(terms: FloatArray, latency_s: FloatArray, operators: FloatArray | None = None) -> Overhead:
    """The model with the least leave-one-out error: (n, 3) sums of seconds, operators and elements, (n,) latencies.

    Each of `operators`, (o, 2) seconds alone and elements, keeps a share `KEPT` of its time in every model tried: cut
    off afterwards instead, the sums would no longer be those that were fitted.
    """
    n = len(latency_s)
    plain = _mean(np.abs(terms[:, 0] / latency_s - 1)) if n else None
    if n < 2:
        return Overhead(networks=n, plain_error=plain)
    best, chosen, spread = np.inf, MODELS[0], 0.0
    for model in MODELS:
        if n < _PER_TERM * len(model):
            continue
        errors = np.array([_left_out(terms, latency_s, model, i, operators) for i in range(n)])
        if _mean(np.abs(errors)) < 0.98 * best:  # a further term must earn its place
            best, chosen, spread = _mean(np.abs(errors)), model, float(np.sqrt(np.mean(errors**2)))
    if not np.isfinite(best):
        return Overhead(networks=n, plain_error=plain)
    beta = _solve(terms, latency_s, chosen, operators)
    base, factor, operator, element = map(float, beta)
    return Overhead(base, factor, operator, element, n, float(best), plain, spread)


def _mean(values: FloatArray) -> float:
    return float(np.mean(values))


def _left_out(terms: FloatArray, y: FloatArray, model: Sequence[int], i: int, operators: FloatArray | None) -> float:
    """Relative error at network i of the model fitted to the others."""
    others = np.arange(len(y)) != i
    beta = _solve(terms[others], y[others], model, operators)
    return float((beta[0] + terms[i] @ beta[1:]) / y[i] - 1)


def _solve(terms: FloatArray, y: FloatArray, model: Sequence[int], operators: FloatArray | None = None) -> FloatArray:
    """(4,) coefficients of least relative error, the others at their prior; constant and factor not negative."""
    from scipy.optimize import lsq_linear

    columns = np.column_stack([np.ones(len(y)), terms]) / y[:, None]
    unit = 1.0 / np.maximum(np.abs(columns).mean(axis=0), 1e-300)
    kept = list(model)
    scaled = columns[:, kept] * unit[kept]
    system = np.vstack([scaled, _NOISE / _TRUST * np.eye(len(kept))])
    target = np.r_[1.0 - columns @ _PRIOR, np.zeros(len(kept))]
    least = np.where(np.isin(kept, (0, 1)), -_PRIOR[kept] / unit[kept], -np.inf)
    found = lsq_linear(system, target, bounds=(least, np.full(len(kept), np.inf))).x
    if operators is not None and len(operators):
        # an operator's share of its time is 1 before any correction, and linear in what is fitted
        alone, elements = np.maximum(operators[:, 0], 1e-12), operators[:, 1]
        each = np.column_stack([np.zeros(len(alone)), np.ones(len(alone)), 1.0 / alone, elements / alone])
        rows, need = each[:, kept] * unit[kept], KEPT - 1.0
        if (rows @ found < need).any():
            found = _limited(system, target, least, rows, need)
    beta = _PRIOR.copy()
    beta[kept] += found * unit[kept]
    return beta


def _limited(system: FloatArray, target: FloatArray, least: FloatArray, rows: FloatArray, need: float) -> FloatArray:
    """The least squares of system x = target with x >= least and rows x >= need; x = 0 keeps these."""
    from scipy.optimize import minimize

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        off = system @ x - target
        return 0.5 * float(off @ off), system.T @ off

    inside = {"type": "ineq", "fun": lambda x: rows @ x - need, "jac": lambda x: rows}
    bounds = [(low if np.isfinite(low) else None, None) for low in least]
    found = minimize(
        loss, np.zeros(len(least)), jac=True, bounds=bounds, constraints=[inside], method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )  # fmt: skip
    return np.asarray(found.x, float)
