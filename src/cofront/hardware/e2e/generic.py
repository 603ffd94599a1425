"""One array of multipliers for all layers, one after the other: each takes as long as its work or its memory traffic.

Without a configuration the array has the shape that is best for the network, of those in a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cofront.device import Device
from cofront.errors import UsageError, unknown_name
from cofront.front import Infeasible
from cofront.hardware.base import CallCost, Cost
from cofront.hardware.calls import Call, distinct
from cofront.hardware.e2e.work import Work, calls_of, cycles
from cofront.hardware.flat import FlatConfig
from cofront.network import Network
from cofront.problem import INFEASIBLE, RESOURCES, CodesignProblem, Engine, IntArray, KernelTable, Trellis
from cofront.space.base import Layered

NAME, ARRAY = "e2e_generic", "array"
#: Sides that an array may have.
GRIDS = {
    "coarse": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256),
    "small": (2, 8, 32),
}
NOTE = "multipliers are counted, one to a DSP; logic, buffers and energy are not modelled"


@dataclass(frozen=True)
class Config(FlatConfig):
    """`t_in` lanes of inputs by `t_out` lanes of outputs."""

    FIELDS: ClassVar[tuple[str, ...]] = ("t_in", "t_out")
    MOST: ClassVar[int] = 1 << 16

    t_in: int
    t_out: int
    clock_hz: float

    @property
    def multipliers(self) -> int:
        return self.t_in * self.t_out

    def __str__(self) -> str:
        return f"{self.t_in} x {self.t_out} at {self.clock_hz / 1e6:g} MHz"


def shapes(grid: Any = "coarse") -> IntArray:
    """(j, 2) the shapes of a grid: its name, or the sides themselves."""
    if isinstance(grid, str):
        if grid not in GRIDS:
            raise unknown_name(f"grid of accelerator '{NAME}'", grid, GRIDS)
        grid = GRIDS[grid]
    return np.array([(i, o) for i in grid for o in grid], np.int64)


def memory_cycles(works: Sequence[Work], device: Device, clock_hz: float) -> IntArray:
    """(r,) cycles that the device's memory, at its peak, needs for weights and tensors."""
    moved = np.array([w.bytes for w in works], np.int64)
    return np.asarray(np.ceil(moved * clock_hz / device.bandwidth_bytes_per_s), np.int64)


def call_cycles(works: Sequence[Work], at: IntArray, device: Device, clock_hz: float) -> IntArray:
    """(j, r) cycles of r works on arrays of shapes (j, 2): the longer of computing and moving."""
    computing = cycles(works, at[:, 0], at[:, 1])
    return np.minimum(np.maximum(computing, memory_cycles(works, device, clock_hz)), INFEASIBLE)


def best_shapes(
    works: Sequence[Work], counts: IntArray, device: Device, *, grid: Any = "coarse", clock_hz: float | None = None
) -> tuple[IntArray, IntArray]:
    """(n,) cycles of n networks of `counts` (n, r) of each work, each on its best array; and those arrays (n, 2)."""
    at = shapes(grid)
    at = at[at.prod(axis=1) <= device.dsp]
    if not len(at):
        raise UsageError(f"device '{device.name}' has {device.dsp} DSPs, no array of the grid fits")
    total = counts @ call_cycles(works, at, device, device.clock(clock_hz)).T
    return total.min(axis=1), at[total.argmin(axis=1)]


def estimate(network: Network, device: Device, config: Config | None = None, clock_hz: float | None = None) -> Cost:
    """One image alone."""
    calls = calls_of(network)
    clock = device.clock(config.clock_hz if config is not None and clock_hz is None else clock_hz)
    if config is None:
        works, (rows,) = distinct([calls])
        _, ((t_in, t_out),) = best_shapes(works, np.bincount(rows, minlength=len(works))[None], device, clock_hz=clock)
        config = Config(int(t_in), int(t_out), clock)
    else:
        config = replace(config, clock_hz=clock)
    costs = _costs(calls, config, device)
    used = {r: config.multipliers if r == "dsp" else 0 for r in RESOURCES}
    bad = [
        Infeasible(r, used[r], have, r, "take a smaller array, or a larger device")
        for r, have in device.budget.items()
        if used[r] > have
    ]
    total = sum(c.cycles for c in costs)
    return Cost(
        latency_s=total / clock, cycles=total, clock_hz=clock, energy_j=None, resources=used, budget=device.budget,
        calls=costs, config=config.to_dict(), network=network.name, device=device.name, infeasible=tuple(bad),
        notes=(NOTE,),
    )  # fmt: skip


def _costs(calls: Sequence[Call[Work]], config: Config, device: Device) -> tuple[CallCost, ...]:
    works = [c.work for c in calls]
    busy = cycles(works, np.array([config.t_in]), np.array([config.t_out]))[0].tolist()
    memory = memory_cycles(works, device, config.clock_hz).tolist()
    return tuple(
        CallCost(
            c.name, (c.name,), "split" if c.work.lanes_out else "memory", max(b, m),
            {ARRAY: b} if c.work.lanes_out else {}, m, 0, c.work.bytes, c.work.macs, ARRAY if b >= m else "memory",
            {ARRAY: c.work.macs} if c.work.lanes_out else {},
        )
        for c, b, m in zip(calls, busy, memory, strict=True)
    )  # fmt: skip


def _problem(
    trellis: Trellis, score: IntArray, works: Sequence[Work], device: Device, grid: Any, clock_hz: float | None,
    meta: dict[str, str],
) -> CodesignProblem:  # fmt: skip
    at, clock = shapes(grid), device.clock(clock_hz)
    table = call_cycles(works, at, device, clock)
    used = np.array([[i * o if r == "dsp" else 0 for r in RESOURCES] for i, o in at.tolist()], np.int64)
    none, nothing = np.zeros_like(table), np.zeros(len(works), np.int64)
    kernel = KernelTable(ARRAY, ("t_in", "t_out"), at, used, table, none, none, table)
    return CodesignProblem(
        trellis=trellis,
        edge_score=score,
        engines=(Engine(NAME, (kernel,), nothing, nothing, np.zeros(len(RESOURCES), np.int64)),),
        budget=np.array([device.budget[r] for r in RESOURCES], np.int64),
        clock_hz=clock,
        meta={"accelerator": NAME, "device": device.name, "grid": str(grid), **meta},
    )


def network_problem(network: Network, device: Device, grid: Any, clock_hz: float | None) -> CodesignProblem:
    """Which array runs one network best."""
    works, (rows,) = distinct([calls_of(network)])
    if not works:
        raise UsageError(f"network '{network.name}' has nothing for an accelerator to compute")
    score = np.zeros(1, np.int64)
    return _problem(Trellis.single(rows, len(works)), score, works, device, grid, clock_hz, {"network": network.name})


def codesign_problem(
    layered: Layered, device: Device, edge_score: Any, grid: Any, clock_hz: float | None
) -> CodesignProblem:
    """Which network of the space on which array: `edge_score` (e,) is the integer score of each edge."""
    works, rows = distinct(calls_of(f) for f in layered.fragments)
    trellis = layered.with_rows(rows, len(works))
    return _problem(trellis, np.asarray(edge_score, np.int64), works, device, grid, clock_hz, {})
