"""The allocation problem as arrays: which option each unit of a network takes, and what is then lost and paid.

Shapes: l units (layers, blocks), o options (of the unit with most; `mask` says which exist), n allocations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cofront.errors import InputError, UsageError, unknown_name

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
#: A sum meets its limit when it exceeds it by no more than this share: sums of floats differ in their last bits.
SLACK = 1e-12


@dataclass(frozen=True)
class Cut:
    """At most `most` units may take the same option as in `choice` (l,): how LANA asks for other solutions [LANA21]."""

    choice: IntArray
    most: int


@dataclass(frozen=True)
class Problem:
    """Losses (l, o), any unit; additive costs by name, each (l, o), in the unit that its name says.

    `mask` (l, o) says which options a unit may take: all by default. What is masked may hold anything, NaN too.
    `pairs` maps (i, j), i < j, to (o, o): what is lost more when unit i takes option a and unit j option b.
    InputError when shapes disagree, an allowed entry is not finite, or a unit has no option.
    """

    loss: FloatArray
    costs: Mapping[str, FloatArray] = field(default_factory=dict)
    mask: BoolArray | None = None
    pairs: Mapping[tuple[int, int], FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        loss = np.asarray(self.loss, float)
        if loss.ndim != 2 or not loss.size:
            raise InputError(f"allocation: expected losses of shape (units, options), got {loss.shape}")
        mask = np.ones(loss.shape, bool) if self.mask is None else np.asarray(self.mask, bool)
        if mask.shape != loss.shape:
            raise InputError(f"allocation: the mask is {mask.shape}, losses are {loss.shape}")
        if not mask.any(axis=1).all():
            unit = int(np.flatnonzero(~mask.any(axis=1))[0])
            raise InputError(f"allocation: no option is left of unit {unit}; allow one")
        costs = {name: np.asarray(c, float) for name, c in self.costs.items()}
        for name, c in {"loss": loss, **costs}.items():
            if c.shape != loss.shape:
                raise InputError(f"allocation: {name} is {c.shape}, losses are {loss.shape}")
            if not np.isfinite(c[mask]).all():
                u, o = np.argwhere(mask & ~np.isfinite(c))[0]
                raise InputError(f"allocation: {name} of unit {u}, option {o} is {c[u, o]}; mask what cannot be taken")
        pairs = {(int(i), int(j)): np.asarray(p, float) for (i, j), p in self.pairs.items()}
        for (i, j), p in pairs.items():
            if not 0 <= i < j < len(loss):
                raise InputError(f"allocation: pair ({i}, {j}) is no pair of {len(loss)} units, the smaller one first")
            if p.shape != (loss.shape[1],) * 2 or not np.isfinite(p[np.ix_(mask[i], mask[j])]).all():
                raise InputError(
                    f"allocation: pair ({i}, {j}) needs finite numbers of shape {(loss.shape[1],) * 2}, got {p.shape}"
                )
        for key, value in (("loss", loss), ("costs", costs), ("mask", mask), ("pairs", pairs)):
            object.__setattr__(self, key, value)

    @property
    def shape(self) -> tuple[int, int]:
        """(l, o)."""
        return self.loss.shape[0], self.loss.shape[1]

    @cached_property
    def allowed(self) -> BoolArray:
        """(l, o) the mask, never None."""
        assert self.mask is not None
        return self.mask

    @cached_property
    def n_allocations(self) -> int:
        """How many the mask leaves: an exact Python integer."""
        total = 1
        for n in self.allowed.sum(axis=1).tolist():
            total *= n
        return total

    @property
    def is_chain(self) -> bool:
        """Whether pair terms are between neighbours only."""
        return all(j == i + 1 for i, j in self.pairs)

    def cost(self, name: str) -> FloatArray:
        """(l, o) of a named cost; UsageError with the nearest names if there is none."""
        if name not in self.costs:
            raise unknown_name("cost of the allocation", name, self.costs)
        return self.costs[name]

    def total(self, name: str, choices: ArrayLike) -> FloatArray:
        """(n,) a cost's sum over units, for choices (n, l)."""
        return _sums(self.cost(name), np.atleast_2d(np.asarray(choices, np.int64)))

    def losses(self, choices: ArrayLike) -> FloatArray:
        """(n,) loss with pair terms, for choices (n, l)."""
        chosen = np.atleast_2d(np.asarray(choices, np.int64))
        out = _sums(self.loss, chosen)
        for (i, j), p in self.pairs.items():
            out = out + p[chosen[:, i], chosen[:, j]]
        return out

    def check_limits(self, limits: Mapping[str, float | None]) -> dict[str, float]:
        """Limits that are set, by cost; UsageError for NaN or a name that is no cost."""
        out = {}
        for name, limit in limits.items():
            self.cost(name)
            if limit is None:
                continue
            if np.isnan(limit):
                raise UsageError(f"allocation: the limit of {name} is not a number")
            if limit != np.inf:
                out[name] = float(limit)
        return out

    def within(self, choices: ArrayLike, limits: Mapping[str, float]) -> BoolArray:
        """(n,) whether every limit is met, for choices (n, l)."""
        chosen = np.atleast_2d(np.asarray(choices, np.int64))
        ok = np.ones(len(chosen), bool)
        for name, limit in limits.items():
            ok &= self.total(name, chosen) <= limit + slack(self.cost(name)[self.allowed], limit)
        return ok


def slack(cost: FloatArray, limit: float) -> float:
    """By how much a sum may exceed its limit and still meet it: rounding of floats, or to the whole number below."""
    if np.array_equal(cost, np.rint(cost)):  # whole numbers add up exactly
        return float(np.floor(limit)) - limit
    return SLACK * max(abs(limit), float(np.abs(cost).max(initial=0.0)))


def _sums(table: FloatArray, chosen: IntArray) -> FloatArray:
    return np.asarray(table[np.arange(len(table)), chosen].sum(axis=1), float)
