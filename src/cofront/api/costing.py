"""`estimate` and `fit`: what a network costs on one accelerator, and which accelerator is provably best for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cofront import registry
from cofront.api.files import read_text
from cofront.api.limits import unlimited
from cofront.api.networks import Resolved, resolve
from cofront.api.parts import RESOURCES, beyond, device_of, load_device
from cofront.errors import InputError, UsageError, unknown_name
from cofront.study.documents import Call, Cost, EstimateDocument, FitDocument, Kernel, Limit, Roof

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.front import Infeasible
    from cofront.hardware.base import Accelerator, Configuration, KernelRow
    from cofront.hardware.base import Cost as AcceleratorCost
    from cofront.network import Network

#: The device when neither the user nor a design file names one.
DEVICE = "zu3eg"
#: The accelerator family when neither the user nor a design file names one.
FAMILY = "subgraph"
OBJECTIVES = ("latency", "energy", *RESOURCES)


def limits_of(entries: tuple[Infeasible, ...]) -> list[Limit]:
    return [
        Limit(
            limit=e.limit, needed=e.needed, available=e.available, excess=e.excess, unit=e.unit, remedy=e.remedy
        )
        for e in entries
    ]  # fmt: skip


#: In place of a family's name: the device is a table of measurements, which has no accelerator of ours.
TABLE = "table"


def family(name: str) -> Accelerator:
    """The accelerator family of that name."""
    found: Accelerator = registry.load("accelerator", name)
    return found


@dataclass(frozen=True)
class Costed:
    """What a network, or a block of one, costs on a configuration: as the accelerator says it and for documents."""

    cost: AcceleratorCost
    config: dict[str, Any]
    calls: list[Call]
    rows: list[KernelRow]
    roof: Roof | None


def costed(network: Network, device: Device, config: Configuration | None, accelerator: str = FAMILY) -> Costed:
    """The cost of a network on a configuration (a stated default without one), with the roofline."""
    kind = family(accelerator)
    cost = kind.estimate(network, device, config)
    bits = {n.name: f"W{n.weight_bits}A{n.in_bits}" for n in network.layers}
    rows: dict[str, list[KernelRow]] = {}
    for row in kind.breakdown(cost):
        rows.setdefault(row.call, []).append(row)
    roofs = {r.call: r for r in kind.roofline(cost, device)}
    calls = [
        Call(
            name=c.name, layers=list(c.layers), precision="+".join(sorted({bits[n] for n in c.layers if n in bits})),
            cycles=c.cycles, mode=c.mode, bound_by=c.bound, macs=c.macs, dram_bytes=c.bytes_moved,
            kernels=dict(c.kernels), memory_cycles=c.memory_cycles, overhead_cycles=c.overhead_cycles,
            utilisation={r.kernel: r.utilisation for r in rows.get(c.name, ()) if r.peak_macs},
            ceiling_macs_per_s=roofs[c.name].ceiling_macs_per_s if c.name in roofs else None,
        )
        for c in cost.calls
    ]  # fmt: skip
    roof = None
    if roofs:
        peak = max(r.peak_macs_per_s for r in roofs.values())
        bandwidth = next(iter(roofs.values())).bandwidth_bytes_per_s
        roof = Roof(peak_macs_per_s=peak, bandwidth_bytes_per_s=bandwidth)
    settings = kind.config(cost.config, cost.clock_hz).to_dict()
    return Costed(cost, settings, calls, [r for rs in rows.values() for r in rs], roof)


def cost_part(
    network: Network, device: Device, config: Configuration | None, accelerator: str = FAMILY
) -> tuple[Cost, list[Limit]]:
    """The cost of a network on a configuration (a stated default without one), with the roofline; and what it
    exceeds."""
    found = costed(network, device, config, accelerator)
    cost = found.cost
    part = Cost(
        latency_s=cost.latency_s, cycles=cost.cycles, clock_hz=cost.clock_hz, resources=dict(cost.resources),
        budget=dict(cost.budget), config=found.config, macs=cost.macs, energy_j=cost.energy_j, calls=found.calls,
        roof=found.roof, notes=[*cost.notes, *unbuildable(network, accelerator)],
        kernels=kernels_of(found.rows, found.calls, cost.clock_hz),
    )  # fmt: skip
    return part, limits_of(cost.infeasible)


def unbuildable(network: Network, accelerator: str) -> list[str]:
    """A note on what `build` would refuse."""
    from cofront.task.fusing import DEFINED, listed, without_integers

    bad = without_integers(network) if accelerator == FAMILY else ()
    return [f"can be costed, not built yet: {listed(bad)}; `cofront build` has {DEFINED}"] if bad else []


def kernels_of(rows: list[KernelRow], calls: list[Call], clock_hz: float) -> list[Kernel]:
    """The kernels over all calls, in pipeline order, and external memory: the roofline of each."""
    total = sum(c.cycles for c in calls)
    if not total:
        return []

    def limits(name: str) -> float:
        return sum(c.cycles for c in calls if c.bound_by == name) / total

    out = []
    for name in dict.fromkeys(r.kernel for r in rows if r.peak_macs):
        own = [r for r in rows if r.kernel == name]
        macs, busy = sum(r.macs for r in own), sum(r.busy_cycles for r in own)
        per_cycle = max(r.peak_macs // max(r.call_cycles, 1) for r in own)
        out.append(
            Kernel(
                name=name, macs=macs, busy=busy / total, limits=limits(name), peak_macs_per_s=per_cycle * clock_hz,
                attained_macs_per_s=macs * clock_hz / busy if busy else None, utilisation=macs / (per_cycle * total),
            )
        )  # fmt: skip
    moved, memory = sum(c.dram_bytes for c in calls), sum(c.memory_cycles for c in calls)
    out.append(
        Kernel(
            name="memory", macs=0, busy=memory / total, limits=limits("memory"), bytes=moved,
            bytes_per_s=moved * clock_hz / total,
        )
    )  # fmt: skip
    return out


def read_config(path: Path, accelerator: str = FAMILY) -> Configuration:
    """The accelerator in a JSON file: our own `fit`, `design` or `accelerator` document, or a bare configuration."""
    try:
        raw: Any = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not JSON ({str(error).splitlines()[0]})") from None
    clock = None
    if isinstance(raw, dict):
        clock = raw.get("clock_hz")
        for key in ("design", "config"):
            raw = raw.get(key, raw) if isinstance(raw, dict) else raw
    try:
        return family(accelerator).config(raw, clock)
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


def estimate(
    network: str | Path | Network,
    *,
    device: str | Device | None = None,
    precision: str | None = None,
    config: Path | Configuration | None = None,
    clock_hz: float | None = None,
    input_shape: tuple[int, ...] | None = None,
    accelerator: str | None = None,
) -> EstimateDocument:
    """The cost of a network on one accelerator: the design's own, the one in `config`, or a stated default."""
    found = resolve(network, precision, input_shape)
    kind = _own_family(found, accelerator)
    part = load_device(device or _own_device(found))
    chosen = read_config(config, kind) if isinstance(config, Path) else config
    if chosen is None and found.design is not None and found.design.accelerator == kind:
        chosen = family(kind).config(found.design.design.config, found.design.clock_hz)
    if clock_hz is not None:
        part = replace(part, clock_hz=part.clock(clock_hz))
        chosen = chosen and family(kind).config({**chosen.to_dict(), "clock_hz": part.clock_hz})
    cost, exceeded = cost_part(found.network, part, chosen, kind)
    return EstimateDocument(
        accelerator=kind, network=found.label, device=part.name, precision=found.precision, clock_hz=cost.clock_hz,
        macs=found.network.macs, params=found.network.params, weight_bytes=found.network.weight_bytes,
        activation_bytes=found.network.activation_bytes, latency_s=cost.latency_s, fps=_fps(cost.latency_s),
        cycles=cost.cycles, resources=cost.resources, budget=cost.budget, fits=not exceeded, config=cost.config,
        energy_j=cost.energy_j, calls=cost.calls, kernels=cost.kernels, roof=cost.roof, infeasible=exceeded,
        notes=[*found.notes, *cost.notes],
    )  # fmt: skip


def fit(
    network: str | Path | Network,
    *,
    device: str | Device | None = None,
    precision: str | None = None,
    objective: str = "latency",
    fps: float | None = None,
    budget: Mapping[str, int] | None = None,
    clock_hz: float | None = None,
    input_shape: tuple[int, ...] | None = None,
    method: str = "enumerate",
    grid: str = "coarse",
    time_limit_s: float | None = None,
    seed: int = 0,
    accelerator: str | None = None,
    on_progress: Callable[[float, float], None] | None = None,
) -> FitDocument:
    """The provably best accelerator for a network: least latency, energy or one resource, at `fps` or more.

    An accelerator runs one precision per layer, so `precision` is the network's, not searched. `seed` is unused: all
    three methods are exact and deterministic.
    """
    if objective in ("fps", "throughput"):
        raise UsageError(
            f"no objective named '{objective}': the highest frame rate is that of the least latency, --objective "
            "latency; a frame rate to reach is --fps"
        )
    if objective not in OBJECTIVES:
        raise unknown_name("objective", objective, OBJECTIVES)
    if method not in ("enumerate", "cpsat", "milp", "scipy"):
        raise unknown_name("method", method, ("enumerate", "cpsat", "milp", "scipy"))
    found = resolve(network, precision, input_shape)
    whole = load_device(device or _own_device(found))
    part = load_device(whole, budget)
    from cofront.search.exact.fit import fit as solve

    kind = _own_family(found, accelerator)
    network_problem = family(kind).network_problem
    problem = network_problem(found.network, part, grid, clock_hz=clock_hz)
    result = solve(
        problem, objective=objective if objective in ("latency", "energy") else f"resource:{objective}", min_fps=fps,
        method=cast(Any, method), time_limit_s=time_limit_s, on_progress=on_progress,
        wider=lambda: network_problem(found.network, unlimited(part), grid, clock_hz=clock_hz),
        beyond=beyond(whole, "" if found.precision == "W4A4" else " or fewer bits"),
    )  # fmt: skip
    common: dict[str, Any] = {
        "accelerator": kind, "status": result.status, "network": found.label, "device": part.name,
        "precision": found.precision, "clock_hz": problem.clock_hz, "objective": objective, "method": method,
        "grid": grid, "budget": part.budget, "solve_s": result.solve_s, "designs": result.n_configs,
        "required_fps": fps, "bound": _finite(result.bound), "macs": found.network.macs, "params": found.network.params,
    }  # fmt: skip
    notes = list(found.notes)
    if result.stats.get("solved_by_cpsat"):
        notes.append(f"method {method}: the numbers are too large for its floating point; solved by cpsat instead")
    if result.status == "infeasible":
        return FitDocument(infeasible=limits_of(result.infeasible), notes=notes, **common)
    engine = next(e for e in problem.engines if e.name == result.engine)
    chosen = family(kind).config_of(problem, engine, result.chosen)
    cost, exceeded = cost_part(found.network, part, chosen, kind)
    if cost.cycles != result.cycles or exceeded:
        raise InputError(
            f"internal check failed: the solver says {result.cycles} cycles, the cost model {cost.cycles}; "
            "please report this network"
        )
    return FitDocument(
        latency_s=result.latency_s, bound_s=_finite(result.bound_s), fps=result.fps, value=_finite(result.value),
        cycles=result.cycles, resources=result.resources, config=cost.config, energy_j=result.energy_j,
        calls=cost.calls, kernels=cost.kernels, roof=cost.roof, notes=[*notes, *cost.notes], **common,
    )  # fmt: skip


def _own_family(found: Resolved, asked: str | None) -> str:
    own = None if found.design is None or found.design.accelerator == TABLE else found.design.accelerator
    return asked or own or FAMILY


def _own_device(found: Resolved) -> str:
    if found.design is not None and found.design.accelerator == TABLE:
        raise UsageError(
            f"'{found.label}' is for '{found.design.device}', known by a table: `cofront predict` says what it takes "
            "there; name an FPGA with --device"
        )
    return DEVICE if found.design is None else device_of(found.design)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _fps(latency_s: float) -> float:
    return 1.0 / latency_s if latency_s > 0 else 0.0
