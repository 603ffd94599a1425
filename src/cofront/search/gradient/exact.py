"""The judge: the certified optimum of a table of losses on an additive device, at any latency.

Losses may be additive, or additive with terms between neighbours: then the state is the last layer's option, and the
search is as exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError
from cofront.problem import INFEASIBLE, IntArray, Trellis
from cofront.search.gradient.choices import Layers
from cofront.search.walk import PathFront, best_paths

FloatArray = NDArray[np.float64]
#: Losses are compared in whole numbers of this.
MICRO = 1e-6


@dataclass(frozen=True)
class Optimum:
    """The least loss within a latency: `choice` (l,); `loss` is exact to l * 1e-6."""

    choice: IntArray
    loss: float
    latency_s: float


@dataclass(frozen=True)
class ExactFront:
    """All non-dominated (latency, loss) pairs, fastest first, certified: latency_s (n,), loss (n,) falling."""

    latency_s: FloatArray
    loss: FloatArray
    _paths: PathFront
    _last: IntArray  # (e,) layer and option that an edge ends in, as layer * o + option
    _shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.loss)

    def choice(self, i: int) -> IntArray:
        """(l,) options of the i-th network."""
        ends = self._last[self._paths.path(i)]
        return np.asarray(ends[ends >= 0] % self._shape[1], np.int64)

    def within(self, limit_s: float) -> Optimum:
        """The optimum at a latency of at most `limit_s`, which must allow one network."""
        # a limit is met by what is equal to it; both are multiples of a nanosecond up to rounding
        i = int(np.searchsorted(self.latency_s, limit_s + 0.5e-9, side="right")) - 1
        if i < 0:
            raise UsageError(
                f"no network is as fast as {1e3 * limit_s:.4g} ms: the fastest needs {1e3 * self.latency_s[0]:.4g} ms"
            )
        return Optimum(self.choice(i), float(self.loss[i]), float(self.latency_s[i]))


def exact_front(
    layers: Layers,
    grains: IntArray,
    unary: FloatArray,
    pair: FloatArray | None = None,
    *,
    constant_grains: int = 0,
    constant: float = 0.0,
    limit_s: float | None = None,
    grain_s: float = 1e-9,
) -> ExactFront:
    """Losses (l, o), and (l - 1, o, o) between neighbours, against costs (l, o) in whole numbers of `grain_s`."""
    mask = layers.mask
    if not np.isfinite(np.where(mask, unary, 0.0)).all():
        raise InputError("exact front: losses must be finite")
    trellis, last, cost, gain = _chain(layers, grains, unary) if pair is None else _pairs(layers, grains, unary, pair)
    most = INFEASIBLE - 1 if limit_s is None else int((limit_s + 0.5 * grain_s) / grain_s) - constant_grains
    paths = best_paths(trellis, cost, gain, min(most, INFEASIBLE - 1))
    return ExactFront(
        np.asarray((paths.cost + constant_grains) * grain_s, float),
        np.asarray(constant - MICRO * paths.score, float),
        paths,
        last,
        layers.shape,
    )


def _gain(loss: FloatArray) -> IntArray:
    return np.rint(-np.asarray(loss, float) / MICRO).astype(np.int64)


def _chain(layers: Layers, grains: IntArray, unary: FloatArray) -> tuple[Trellis, IntArray, IntArray, IntArray]:
    where = np.argwhere(layers.mask)
    rows, options = where.T
    last = rows * layers.shape[1] + options
    trellis = _trellis(len(layers.layers) + 1, rows, rows + 1)
    return trellis, last, grains[rows, options], _gain(unary[rows, options])


def _pairs(
    layers: Layers, grains: IntArray, unary: FloatArray, pair: FloatArray
) -> tuple[Trellis, IntArray, IntArray, IntArray]:
    """Nodes are the options of a layer; an edge between two carries what their being neighbours adds."""
    l, o = layers.shape
    number = np.full((l, o), -1, np.int64)
    number[layers.mask] = 1 + np.arange(layers.mask.sum())
    first = np.flatnonzero(layers.mask[0])
    parts = [(0 * first, number[0, first], first, grains[0, first], unary[0, first])]
    for i in range(1, l):
        before, here = np.flatnonzero(layers.mask[i - 1]), np.flatnonzero(layers.mask[i])
        a, b = np.repeat(before, len(here)), np.tile(here, len(before))
        parts.append((number[i - 1, a], number[i, b], i * o + b, grains[i, b], unary[i, b] + pair[i - 1, a, b]))
    ends = number[-1][layers.mask[-1]]
    sink = int(number.max()) + 1
    zero = np.zeros(len(ends), np.int64)
    parts.append((ends, zero + sink, zero - 1, zero, zero.astype(float)))
    src, dst, last, cost, loss = (np.concatenate([p[k] for p in parts]) for k in range(5))
    return _trellis(sink + 1, src, dst), last.astype(np.int64), cost.astype(np.int64), _gain(loss)


def _trellis(n_nodes: int, src: IntArray, dst: IntArray) -> Trellis:
    nothing, pointer = np.zeros(0, np.int64), np.zeros(len(src) + 1, np.int64)
    return Trellis(n_nodes, src, dst, pointer, nothing, pointer, nothing, tuple(() for _ in range(len(src))), 0, 0)
