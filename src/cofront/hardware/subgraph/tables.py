"""From networks and spaces to co-design problems: kernel tables, engines, rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cofront.device import Device
from cofront.errors import UsageError
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.calls import KERNELS, Call, KernelName
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.config import PARAMS, Config, KernelConfig
from cofront.hardware.subgraph.energy import row_energy_pj
from cofront.hardware.subgraph.engines import ENGINES, EngineKind, engine
from cofront.hardware.subgraph.formulas import IntArray, ceil_div, kernel_resources
from cofront.hardware.subgraph.grid import Grid, configurations, grid
from cofront.hardware.subgraph.lowering import lower
from cofront.hardware.subgraph.timing import KernelTimes, kernel_times, stage_rows
from cofront.network import Network
from cofront.problem import INFEASIBLE, RESOURCES, CodesignProblem, Engine, KernelTable, Trellis
from cofront.space.base import Layered


def budget(device: Device) -> IntArray:
    """(R,) what a design may use, in the order of RESOURCES."""
    limits = device.budget
    return np.array([limits[r] for r in RESOURCES], dtype=np.int64)


def kernel_tables(
    kernel: KernelName,
    params: IntArray,
    calls: Sequence[Call],
    kinds: Sequence[EngineKind],
    device: Device,
    clock_hz: float,
    co: Coefficients,
    limit: IntArray | None = None,
) -> dict[str, KernelTable]:
    """Engine name -> table of configurations (j, p); those that exceed `limit` (R,) by themselves are left out.

    Cycles do not depend on the engine but for its factor and the precisions it serves, nor on where the multipliers
    are; and many rows ask the same of a kernel. So only what is distinct is computed.
    """
    used = {kind.name: _resources(kernel, params, kind, device, clock_hz, co) for kind in kinds}
    fits = {n: np.all(r <= limit, axis=1) if limit is not None else np.ones(len(r), bool) for n, r in used.items()}
    kept = np.flatnonzero(np.any(list(fits.values()), axis=0))
    bare = params[kept].copy()
    bare[:, PARAMS.index("dsp")] = 0
    distinct, inverse = np.unique(bare, axis=0, return_inverse=True)
    which = np.zeros(len(params), dtype=np.int64)
    which[kept] = inverse.reshape(-1)
    columns = {name: distinct[:, i] for i, name in enumerate(PARAMS)}
    speed = co.bytes_per_kilocycle(device, clock_hz)
    lone = np.array([c.is_pointwise for c in calls])
    moves = np.array([not c.stages for c in calls])
    # In split form the kernel of the last layer also has what is around the call.
    around = np.array([_around(c, co, speed) if c.stages and c.stages[-1].kernel == kernel else 0 for c in calls])

    times: dict[int, KernelTimes] = {}
    tables = {}
    for kind in kinds:
        work, back = stage_rows(kernel, calls, kind.w4a4_factor).distinct()
        factor = kind.w4a4_factor
        if factor not in times:
            times[factor] = kernel_times(kernel, columns, work, co, speed, dual=factor > 1)
        time = times[factor]
        pick = np.ix_(which[fits[kind.name]], back)
        cycles, solo = time.cycles[pick], time.alone[pick]
        solo += np.where(solo > 0, co.overhead_cycles + around, 0)
        served = np.array([all(kind.supports(s.weight_bits, s.act_bits) for s in c.stages) for c in calls])
        cycles[:, ~served] = INFEASIBLE
        solo[:, ~served] = INFEASIBLE
        # A lone 1 x 1 layer runs on conv in the fused term and on pw in the split term: the cheaper is taken.
        if kernel == "conv":
            solo[:, lone & served] = 0
        if kernel == "pw":
            cycles[:, lone & served] = 0
            solo[:, moves] = INFEASIBLE  # a call without kernels has no split form
        np.minimum(solo, INFEASIBLE, out=solo)
        np.minimum(cycles, INFEASIBLE, out=cycles)
        chosen = fits[kind.name]
        tables[kind.name] = KernelTable(
            kernel, PARAMS, params[chosen], used[kind.name][chosen], cycles, time.head[pick], time.tail[pick], solo
        )
    return tables


def _around(call: Call, co: Coefficients, bytes_per_kilocycle: int) -> int:
    """Cycles of a call besides its kernels, its memory and the overhead of its runs."""
    return co.average_cycles(call.averaged) + co.opening_cycles(call.exposed_bytes, bytes_per_kilocycle)


def _resources(
    kernel: KernelName, params: IntArray, kind: EngineKind, device: Device, clock_hz: float | None, co: Coefficients
) -> IntArray:
    """(j, R); absent kernels need nothing."""
    resources = np.zeros((len(params), len(RESOURCES)), dtype=np.int64)
    there = params[:, PARAMS.index("po")] > 0
    columns = {name: params[there, i] for i, name in enumerate(PARAMS)}
    if there.any():
        bus = co.bus_bits(device, clock_hz)
        resources[there] = kernel_resources(kernel, columns, kind, device.dsp_kind, co, bus)
    return resources


def engines(
    calls: Sequence[Call],
    device: Device,
    which: str | Grid = "coarse",
    names: Sequence[str] | None = None,
    *,
    clock_hz: float | None = None,
    co: Coefficients | None = None,
) -> tuple[Engine, ...]:
    """One Engine per engine kind with every configuration of the grid that fits the device by itself.

    `n_configs` of an engine therefore counts combinations of such kernels only: fewer than the raw grid. Engines that
    serve none of the calls' precisions are left out; when nothing fits, nothing is left out of the tables.
    """
    co = co or coefficients.load()
    g = grid(which)
    clock = device.clock(clock_hz)
    base = np.array(co.base(co.bus_bits(device, clock)), dtype=np.int64)
    room = budget(device) - base
    speed = co.bytes_per_kilocycle(device, clock)
    memory = ceil_div(1000 * np.array([c.bytes for c in calls], dtype=np.int64), speed)
    overhead = np.array([co.overhead_cycles + _around(c, co, speed) for c in calls], dtype=np.int64)
    energy = row_energy_pj(calls, co)
    kinds = [engine(name) for name in (tuple(ENGINES) if names is None else names)]
    kinds = [
        k
        for k in kinds
        if any(c.stages and all(k.supports(s.weight_bits, s.act_bits) for s in c.stages) for c in calls)
    ]
    if not any(c.stages for c in calls):
        raise UsageError("nothing to choose an accelerator for: no layer multiplies, numbers are only moved")
    if not kinds:
        raise UsageError(f"none of the engines {', '.join(names or ENGINES)} serves the precisions of the network")
    grids = {k: configurations(k, calls, g) for k in KERNELS}

    def build(limit: IntArray | None) -> tuple[Engine, ...]:
        tables = {k: kernel_tables(k, grids[k], calls, kinds, device, clock, co, limit) for k in KERNELS}
        parts = {kind.name: tuple(tables[k][kind.name] for k in KERNELS) for kind in kinds}
        return tuple(
            Engine(name, kernels, memory, overhead, base, energy)
            for name, kernels in parts.items()
            if all(len(k.params) for k in kernels)
        )

    # When no engine has room for its kernels, all are kept, so that a search can say what is missing, and how much.
    return build(room) or build(None)


def _problem(
    trellis: Trellis,
    edge_score: IntArray,
    calls: Sequence[Call],
    device: Device,
    which: str | Grid,
    clock_hz: float | None,
    names: Sequence[str] | None,
    co: Coefficients | None,
    meta: dict[str, str],
) -> CodesignProblem:
    clock = device.clock(clock_hz)
    power = (device.static_power_w or 0.0) + (device.active_power_w or 0.0)
    built = engines(calls, device, which, names, clock_hz=clock, co=co)
    known = device.static_power_w is not None
    if not known:
        built = tuple(replace(e, energy=None) for e in built)
    return CodesignProblem(
        trellis=trellis,
        edge_score=edge_score,
        engines=built,
        budget=budget(device),
        clock_hz=clock,
        static_power_w=power if known else 0.0,
        meta={"accelerator": "subgraph", "device": device.name, "grid": grid(which).name, **meta},
    )


def network_problem(
    network: Network,
    device: Device,
    grid: str | Grid = "coarse",
    *,
    clock_hz: float | None = None,
    engines: Sequence[str] | None = None,
    co: Coefficients | None = None,
) -> CodesignProblem:
    """Which configuration runs one network best: a trellis of a single edge."""
    co = co or coefficients.load()
    calls = lower(network, co.word_bytes(co.bus_bits(device, clock_hz)))
    if not calls:
        raise UsageError(f"network '{network.name}' has nothing for an accelerator to compute")
    distinct = tuple(dict.fromkeys(calls))
    number = {c: i for i, c in enumerate(distinct)}
    trellis = Trellis.single(np.array([number[c] for c in calls], dtype=np.int64), len(distinct))
    score = np.zeros(1, dtype=np.int64)
    return _problem(trellis, score, distinct, device, grid, clock_hz, engines, co, {"network": network.name})


def layered_rows(layered: Layered, word_bytes: int = 1) -> tuple[Trellis, tuple[Call, ...]]:
    """The space's trellis with calls for rows, and the distinct calls; `word_bytes` as in `lower`."""
    number: dict[Call, int] = {}
    per_fragment = [
        np.array([number.setdefault(c, len(number)) for c in lower(f, word_bytes)], dtype=np.int64)
        for f in layered.fragments
    ]
    return layered.with_rows(per_fragment, len(number)), tuple(number)


def codesign_problem(
    layered: Layered,
    device: Device,
    edge_score: IntArray,
    *,
    grid: str | Grid = "coarse",
    clock_hz: float | None = None,
    engines: Sequence[str] | None = None,
    score_offset: int = 0,
    micro: float = 1e6,
    link: tuple[float, ...] = (0.0, 1.0),
    accuracy_range: tuple[float, float] = (0.0, 1.0),
    co: Coefficients | None = None,
    meta: dict[str, str] | None = None,
) -> CodesignProblem:
    """Which network of the space on which configuration: `edge_score` (e,) is the integer score of each edge."""
    co = co or coefficients.load()
    trellis, calls = layered_rows(layered, co.word_bytes(co.bus_bits(device, clock_hz)))
    scores = np.asarray(edge_score, dtype=np.int64)
    problem = _problem(trellis, scores, calls, device, grid, clock_hz, engines, co, meta or {})
    return replace(problem, score_offset=score_offset, micro=micro, link=link, accuracy_range=accuracy_range)


def config_of(problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Config:
    """The accelerator of configuration `chosen[k]` of each kernel k of an engine of the problem."""
    kernels = [KernelConfig(*(int(v) for v in k.params[j])) for k, j in zip(engine.kernels, chosen, strict=True)]
    return Config(engine.name, kernels[0], kernels[1], kernels[2], problem.clock_hz)
