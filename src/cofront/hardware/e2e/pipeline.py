"""A stage for each layer: images follow one another, one leaves whenever the slowest stage has finished its own.

Every layer that multiplies is a stage and gets one multiplier, and of the others a share in proportion to its
multiply-accumulates, rounded down; each stage has the shape that suits it best. Pools and sums keep up with the stages
around them. Weights stay on chip, which is not checked: memory moves images only and never binds.

As a family of accelerators its cost is one call whose kernels, the stages, all run at once: its cycles, and the latency
that searches see, are those between two images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cofront.device import Device
from cofront.errors import UsageError, unknown_name
from cofront.front import Infeasible
from cofront.hardware.base import CallCost, Cost
from cofront.hardware.calls import distinct
from cofront.hardware.e2e.work import Work, calls_of, cycles, stored_bytes
from cofront.hardware.flat import FlatConfig
from cofront.network import Network
from cofront.problem import INFEASIBLE, RESOURCES, CodesignProblem, Engine, IntArray, KernelTable, Trellis

NAME, STAGES = "e2e_pipeline", "stages"
#: Most multipliers of a configuration, and how many to an octave a grid has.
MOST = 1 << 16
GRIDS = {"coarse": 8, "small": 1}


@dataclass(frozen=True)
class Stage:
    """One layer with its multipliers, and the cycles that it needs for an image."""

    name: str
    multipliers: int
    cycles: int
    macs: int


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


def pipelines(network: Network, multipliers: Sequence[int]) -> list[Pipeline]:
    """The network's stages with each number of multipliers; a UsageError when one is less than its layers."""
    layers = [c for c in calls_of(network, NAME) if c.work.multiplies]
    if not 0 < len(layers) <= min(multipliers):
        raise UsageError(
            f"network '{network.name}': a pipeline of {len(layers)} layers on {min(multipliers)} multipliers"
        )
    works, (rows,) = distinct([layers])
    counts = np.bincount(rows, minlength=len(works))[None]
    given = np.array([share(np.array([w.macs for w in works], np.int64), counts, m)[0] for m in multipliers])
    needed = stage_cycles(works, int(given.max()))[np.arange(len(works)), given]
    return [
        Pipeline(tuple(Stage(c.name, int(g[r]), int(n[r]), c.work.macs) for c, r in zip(layers, rows, strict=True)))
        for g, n in zip(given, needed, strict=True)
    ]


def pipeline(network: Network, multipliers: int) -> Pipeline:
    """The network's stages; a UsageError when there are fewer multipliers than layers."""
    return pipelines(network, [multipliers])[0]


@dataclass(frozen=True)
class Config(FlatConfig):
    """At most so many `multipliers` in all stages together."""

    FIELDS: ClassVar[tuple[str, ...]] = ("multipliers",)
    MOST: ClassVar[int] = MOST

    multipliers: int
    clock_hz: float

    def __str__(self) -> str:
        return f"{self.multipliers} multipliers at {self.clock_hz / 1e6:g} MHz"


def _stages(network: Network) -> int:
    """How many stages a network needs; a UsageError where nothing multiplies."""
    found = sum(c.work.multiplies for c in calls_of(network, NAME))
    if not found:
        raise UsageError(f"network '{network.name}' has no layer that multiplies: a pipeline of it has no stages")
    return found


def estimate(network: Network, device: Device, config: Config | None = None, clock_hz: float | None = None) -> Cost:
    """Images that follow one another. Without a configuration all DSPs of the device are multipliers."""
    clock = device.clock(config.clock_hz if config is not None and clock_hz is None else clock_hz)
    stages = _stages(network)
    config = replace(config, clock_hz=clock) if config is not None else Config(min(max(device.dsp, 1), MOST), clock)
    common: dict[str, Any] = {
        "clock_hz": clock, "energy_j": None, "budget": device.budget, "config": config.to_dict(),
        "network": network.name, "device": device.name,
    }  # fmt: skip
    if config.multipliers < stages:
        remedy = "every layer that multiplies needs one: take a larger device, or a network of fewer layers"
        few = Infeasible(STAGES, stages, config.multipliers, "multipliers", remedy)
        used = {r: config.multipliers if r == "dsp" else 0 for r in RESOURCES}
        return Cost(0.0, 0, resources=used, calls=(), infeasible=(few, *_over(used, device)), **common)
    found = pipeline(network, config.multipliers)
    used = {r: found.multipliers if r == "dsp" else 0 for r in RESOURCES}
    call = _call(network, found, device, clock)
    alone = sum(s.cycles for s in found.stages)
    notes = [
        f"a pipeline: latency and cycles are those between two images; one image alone takes {alone:,} cycles, stage "
        "after stage",
        "multipliers are counted, one to a DSP; weights are taken to be on chip, which is not checked; logic, buffers "
        "and energy are not modelled",
    ]
    if call.memory_cycles > call.cycles:
        notes.append(f"memory would need {call.memory_cycles:,} cycles for images and results, which is not counted")
    return Cost(
        call.cycles / clock, call.cycles, resources=used, calls=(call,), infeasible=_over(used, device),
        notes=tuple(notes), **common,
    )  # fmt: skip


def _over(used: Mapping[str, int], device: Device) -> tuple[Infeasible, ...]:
    return tuple(
        Infeasible(r, used[r], have, r, "take fewer multipliers, or a larger device")
        for r, have in device.budget.items()
        if used[r] > have
    )


def _call(network: Network, found: Pipeline, device: Device, clock_hz: float) -> CallCost:
    """The network as one call of kernels that all run at once."""
    moved = sum(stored_bytes(network, n) for n in (network.input, network.output))
    memory = math.ceil(moved * clock_hz / device.bandwidth_bytes_per_s)
    return CallCost(
        "pipeline", tuple(c.name for c in calls_of(network, NAME)), "fused", found.slowest.cycles,
        {s.name: s.cycles for s in found.stages}, memory, 0, moved, sum(s.macs for s in found.stages),
        found.slowest.name, {s.name: s.macs for s in found.stages},
    )  # fmt: skip


def given_of(cost: Cost) -> dict[str, int]:
    """Multipliers of each stage of what `estimate` gave."""
    macs = {stage: m for c in cost.calls for stage, m in c.kernel_macs.items()}
    given = share(np.array([*macs.values()], np.int64), np.ones((1, len(macs)), np.int64), cost.config["multipliers"])
    return dict(zip(macs, given[0].tolist(), strict=True))


def multipliers_of(grid: Any, stages: int, device: Device) -> list[int]:
    """How many a configuration may have: of a grid, by its name or the numbers themselves; and all that there are."""
    if isinstance(grid, str):
        if grid not in GRIDS:
            raise unknown_name(f"grid of accelerator '{NAME}'", grid, GRIDS)
        grid = [round(2 ** (i / GRIDS[grid])) for i in range(16 * GRIDS[grid] + 1)]
    return sorted({stages, *(m for m in (*grid, device.dsp) if stages <= m <= MOST)})


def network_problem(network: Network, device: Device, grid: Any, clock_hz: float | None) -> CodesignProblem:
    """With how many multipliers one network has the least cycles between images: one row, the whole network."""
    given = multipliers_of(grid, _stages(network), device)
    found = pipelines(network, given)
    table = np.array([[f.slowest.cycles] for f in found], np.int64)
    used = np.array([[f.multipliers if r == "dsp" else 0 for r in RESOURCES] for f in found], np.int64)
    none, nothing = np.zeros_like(table), np.zeros(1, np.int64)
    at = np.array(given, np.int64)[:, None]
    kernel = KernelTable(STAGES, ("multipliers",), at, used, table, none, none, table)
    return CodesignProblem(
        trellis=Trellis.single(np.zeros(1, np.int64), 1),
        edge_score=np.zeros(1, np.int64),
        engines=(Engine(NAME, (kernel,), nothing, nothing, np.zeros(len(RESOURCES), np.int64)),),
        budget=np.array([device.budget[r] for r in RESOURCES], np.int64),
        clock_hz=device.clock(clock_hz),
        meta={"accelerator": NAME, "device": device.name, "grid": str(grid), "network": network.name},
    )
