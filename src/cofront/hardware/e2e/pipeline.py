"""A stage for each layer: images follow one another, one leaves whenever the slowest stage has finished its own.

Every layer that multiplies is a stage and gets one multiplier, and of the others a share in proportion to its
multiply-accumulates, rounded down; each stage has the shape that suits it best. Pools and sums keep up with the stages
around them. Weights stay on chip, which is not checked: memory moves images only and never binds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cofront.errors import UsageError
from cofront.hardware.e2e.work import IntArray, Work, calls_of, cycles, distinct
from cofront.network import Network
from cofront.problem import INFEASIBLE


@dataclass(frozen=True)
class Stage:
    """One layer with its multipliers, and the cycles that it needs for an image."""

    name: str
    multipliers: int
    cycles: int


@dataclass(frozen=True)
class Pipeline:
    """A network as a pipeline."""

    stages: tuple[Stage, ...]

    @property
    def slowest(self) -> Stage:
        return max(self.stages, key=lambda s: s.cycles)

    @property
    def multipliers(self) -> int:
        return sum(s.multipliers for s in self.stages)

    def images_per_s(self, clock_hz: float) -> float:
        return clock_hz / self.slowest.cycles


def _sides(lanes: int) -> IntArray:
    """The least t of every ceil(lanes / t)."""
    t = np.arange(1, lanes + 1)
    return np.asarray(t[np.append(True, np.diff(-(-lanes // t)) != 0)], np.int64)


def stage_cycles(works: Sequence[Work], multipliers: int) -> IntArray:
    """(r, multipliers + 1) cycles of r works at best on at most so many multipliers, INFEASIBLE on none."""
    out = np.full((len(works), multipliers + 1), INFEASIBLE, np.int64)
    for row, work in zip(out, works, strict=True):
        t_in, t_out = (t.ravel() for t in np.meshgrid(_sides(work.lanes_in), _sides(work.lanes_out)))
        fits = t_in * t_out <= multipliers
        t_in, t_out = t_in[fits], t_out[fits]
        np.minimum.at(row, t_in * t_out, cycles([work], t_in, t_out)[:, 0])
    return np.minimum.accumulate(out, axis=1)


def share(macs: IntArray, counts: IntArray, multipliers: int) -> IntArray:
    """(n, r) multipliers of each stage of a work, in n networks of `counts` (n, r) stages; 0 where there are too few.

    All stages of a network together have at most `multipliers`.
    """
    stages, total = counts.sum(axis=1, keepdims=True), counts @ macs
    rest = np.maximum(multipliers - stages, 0)
    found = 1 + rest * macs // np.maximum(total, 1)[:, None]
    return np.asarray(np.where(stages <= multipliers, found, 0), np.int64)


def interval_cycles(works: Sequence[Work], counts: IntArray, multipliers: int) -> IntArray:
    """(n,) cycles between images of n networks of `counts` (n, r) of each work; INFEASIBLE with too few multipliers."""
    kept = [i for i, w in enumerate(works) if w.multiplies]
    mine, have = [works[i] for i in kept], counts[:, kept]
    given = share(np.array([w.macs for w in mine], np.int64), have, multipliers)
    needed = stage_cycles(mine, multipliers)[np.arange(len(mine)), np.minimum(given, multipliers)]
    return np.asarray(np.where(have > 0, needed, 0).max(axis=1), np.int64)


def pipeline(network: Network, multipliers: int) -> Pipeline:
    """The network's stages; a UsageError when there are fewer multipliers than layers."""
    layers = [c for c in calls_of(network) if c.work.multiplies]
    if not 0 < len(layers) <= multipliers:
        raise UsageError(f"network '{network.name}': a pipeline of {len(layers)} layers on {multipliers} multipliers")
    works, (rows,) = distinct([layers])
    counts = np.bincount(rows, minlength=len(works))[None]
    given = share(np.array([w.macs for w in works], np.int64), counts, multipliers)[0]
    needed = stage_cycles(works, multipliers)[np.arange(len(works)), given]
    return Pipeline(tuple(Stage(c.name, int(given[r]), int(needed[r])) for c, r in zip(layers, rows, strict=True)))
