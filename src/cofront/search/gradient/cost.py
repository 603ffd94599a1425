"""What a relaxed network costs, with a gradient: sums over options, or a model of them.

Costs are in seconds here; joules or any other SI unit do as well, since nothing depends on it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cofront.errors import InputError, UsageError
from cofront.problem import INFEASIBLE, IntArray
from cofront.search.gradient.choices import Layers

FloatArray = NDArray[np.float64]

#: Additive costs are whole numbers of this (a nanosecond), so that sums and limits are exact.
GRAIN_S = 1e-9


@runtime_checkable
class CostModel(Protocol):
    """A device as gradient search sees it. `note` says what stands in for the device, "" when nothing does."""

    name: str
    note: str

    def expected(self, encoding: Tensor) -> Tensor:
        """Seconds (a scalar with a gradient) of a relaxed network (l, o)."""

    def of(self, choices: IntArray) -> FloatArray:
        """(n,) seconds of architectures (n, l)."""

    def bounds(self) -> tuple[float, float]:
        """Seconds of the fastest and of the slowest network."""


class AdditiveCost:
    """A cost per option and a constant: operator tables, and accelerators at a fixed configuration.

    `table_s` (l, o), rounded to nanoseconds.
    """

    note = ""

    def __init__(self, layers: Layers, table_s: FloatArray, constant_s: float = 0.0, name: str = "table") -> None:
        if np.shape(table_s) != layers.shape:
            raise InputError(f"device '{name}': expected costs of shape {layers.shape}, got {np.shape(table_s)}")
        table = np.where(layers.mask, np.asarray(table_s, float), 0.0)
        if not np.isfinite(table).all() or not np.isfinite(constant_s):
            raise InputError(f"device '{name}': a cost is NaN or infinite")
        self.layers, self.name = layers, name
        self.grains: IntArray = np.rint(table / GRAIN_S).astype(np.int64)
        self.constant_grains = round(constant_s / GRAIN_S)
        self.table_s: FloatArray = np.asarray(self.grains * GRAIN_S, float)
        self.constant_s = self.constant_grains * GRAIN_S
        self._tensor = torch.from_numpy(self.table_s)

    @classmethod
    def of_edges(cls, layers: Layers, edge_s: FloatArray, constant_s: float = 0.0, name: str = "table") -> AdditiveCost:
        """From seconds of every edge (e,) of the trellis that the layers were made from."""
        table, rest = layers.per_option(edge_s)
        return cls(layers, table, constant_s + rest, name)

    @classmethod
    def of_cycles(cls, layers: Layers, edge_cycles: IntArray, clock_hz: float, name: str) -> AdditiveCost:
        """From cycles (e,) of an accelerator at one configuration; options that cannot run on it are masked out."""
        runs = np.where(layers.edges >= 0, edge_cycles[np.maximum(layers.edges, 0)] < INFEASIBLE, True)
        if any(edge_cycles[e] >= INFEASIBLE for e in layers.fixed):
            raise UsageError(f"device '{name}': a layer that every network has cannot run on it; take another one")
        edge_s = np.where(edge_cycles < INFEASIBLE, edge_cycles, 0) / clock_hz
        return cls.of_edges(layers if runs.all() else layers.restrict(runs), edge_s, name=name)

    def expected(self, encoding: Tensor) -> Tensor:
        return (encoding * self._tensor.to(encoding.dtype)).sum() + self.constant_s

    def of(self, choices: IntArray) -> FloatArray:
        choices = np.atleast_2d(choices)
        total = self.grains[np.arange(choices.shape[1]), choices].sum(axis=1) + self.constant_grains
        return np.asarray(total * GRAIN_S, float)

    def bounds(self) -> tuple[float, float]:
        mask = self.layers.mask
        low = np.where(mask, self.grains, INFEASIBLE).min(axis=1).sum()
        high = np.where(mask, self.grains, -INFEASIBLE).max(axis=1).sum()
        return float(low + self.constant_grains) * GRAIN_S, float(high + self.constant_grains) * GRAIN_S


def need_cost(cost: object) -> CostModel:
    """The cost, or a UsageError when it is a device that has latencies but no gradient."""
    if isinstance(cost, CostModel):
        return cost
    name = getattr(cost, "name", type(cost).__name__)
    raise UsageError(
        f"device '{name}' has no differentiable cost: fit a surrogate of it with "
        "cofront.search.gradient.surrogate.fit_surrogate, which says how far it is off"
    )


def check_target(cost: CostModel, target_s: float) -> None:
    """A UsageError with both bounds when no network has that latency."""
    fastest, slowest = cost.bounds()
    if not fastest <= target_s <= slowest:
        side = "below the fastest" if not target_s > fastest else "above the slowest"
        raise UsageError(
            f"target {1e3 * target_s:.4g} ms is {side} network of device '{cost.name}': "
            f"choose one from {1e3 * fastest:.4g} to {1e3 * slowest:.4g} ms"
        )
