"""What the two engines share: a network's cost, tables over all bits, co-design problems, the roofline.

An engine is a module with `Config`, `stages`, `fill_cycles`, `fetched_bits`, `peak` and `energy_pj`: `temporal` or
`spatial`. A layer's latency is the longer of executing and moving, and the fill; layers follow one another, so
latencies and energies add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError, unknown_name
from cofront.front import Infeasible
from cofront.hardware.base import CallCost, Cost, KernelRow, RooflinePoint
from cofront.hardware.bit_serial.work import Columns, Work, bits_of, call_of, calls_of
from cofront.hardware.calls import Call, distinct
from cofront.network import Network
from cofront.problem import INFEASIBLE, CodesignProblem, Engine, IntArray, KernelTable, Trellis

if TYPE_CHECKING:
    from cofront.space.base import Layered

FloatArray = NDArray[np.float64]
#: Bits that tables have: 1 to 8 for weights and inputs.
BITS = np.arange(1, 9)


@dataclass(frozen=True)
class BitTable:
    """latency_s and energy_j (l, 8, 8) of each layer at 1 to 8 weight bits and 1 to 8 input bits, by `layers` (l,).

    `other_s` and `other_j` are of what has no bits (pools, sums). Sums over layers, with these, are what `estimate`
    says.
    """

    layers: tuple[str, ...]
    latency_s: FloatArray
    energy_j: FloatArray
    other_s: float
    other_j: float


class Family:
    """One engine as a plug-in (`cofront.hardware.base.Accelerator`)."""

    def __init__(self, engine: Any, grids: dict[str, list[Any]], notes: tuple[str, ...]) -> None:
        self.engine, self.grids, self.notes = engine, grids, notes
        self.name: str = engine.NAME

    def config(self, data: Any, clock_hz: float | None = None) -> Any:
        return self.engine.Config.from_dict(data, clock_hz)

    def default(self, device: Any) -> Any:
        """The largest configuration of the coarse grid that fits the device."""
        fit = [c for c in self.grids["coarse"] if all(v <= device.budget[r] for r, v in c.resources.items())]
        if not fit:
            raise UsageError(f"device '{device.name}': no configuration of accelerator '{self.name}' fits it")
        return replace(max(fit, key=_size), clock_hz=device.clock())

    def _cycles(
        self, c: Columns, w: IntArray, a: IntArray, config: Any, device: Any
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Busy, memory and whole cycles."""
        per_cycle = 8 * device.bandwidth_bytes_per_s / config.clock_hz
        busy, memory = self.engine.stages(c, w, a, config, per_cycle)
        fill = self.engine.fill_cycles(c, w, a, config, per_cycle)
        return busy, memory, np.minimum(np.maximum(busy, memory) + fill, INFEASIBLE)

    def _configured(self, device: Any, config: Any, clock_hz: float | None) -> Any:
        if not hasattr(device, "budget") or set(device.budget) != set(self.grids["coarse"][0].resources):
            raise UsageError(
                f"accelerator '{self.name}' does not run on '{getattr(device, 'name', device)}': "
                f"it counts {', '.join(self.grids['coarse'][0].resources)}"
            )
        if config is None:
            config = self.default(device)
        return replace(config, clock_hz=device.clock(config.clock_hz if clock_hz is None else clock_hz))

    def estimate(self, network: Network, device: Any, config: Any = None, *, clock_hz: float | None = None) -> Cost:
        """One image alone, at the network's bits (8 where it says none)."""
        calls = calls_of(network, self.name)
        config = self._configured(device, config, clock_hz)
        works = [c.work for c in calls]
        columns, (w, a) = Columns.of(works), bits_of(works)
        busy, memory, total = self._cycles(columns, w, a, config, device)
        energy = float(np.sum(self.engine.energy_pj(columns, w, a, config))) * 1e-12
        moved = -(-np.asarray(self.engine.fetched_bits(columns, w, a, config), np.int64) // 8)
        costs = tuple(
            _call(c, *numbers)
            for c, *numbers in zip(calls, busy.tolist(), memory.tolist(), total.tolist(), moved.tolist(), strict=True)
        )
        cycles, used = int(total.sum()), config.resources
        bad = tuple(
            Infeasible(r, used[r], have, r, "take a smaller array, or a larger device")
            for r, have in device.budget.items()
            if used[r] > have
        )
        return Cost(
            latency_s=cycles / config.clock_hz, cycles=cycles, clock_hz=config.clock_hz, energy_j=energy,
            resources=used, budget=device.budget, calls=costs, config=config.to_dict(), network=network.name,
            device=device.name, infeasible=bad, notes=self.notes,
        )  # fmt: skip

    def table(self, network: Network, device: Any, config: Any = None, *, clock_hz: float | None = None) -> BitTable:
        """Latency and energy of every layer at every pair of bits, in one call."""
        config = self._configured(device, config, clock_hz)
        own = [c for c in (call_of(network, n, self.name) for n in network.layers) if c is not None]
        rest = [c for c in calls_of(network, self.name) if not c.work.macs]
        columns = Columns.of([c.work for c in own])
        w, a = BITS[:, None, None], BITS[None, :, None]
        _, _, total = self._cycles(columns, w, a, config, device)
        energy = np.broadcast_to(self.engine.energy_pj(columns, w, a, config), total.shape)
        others, none = Columns.of([c.work for c in rest]), np.zeros(len(rest), np.int64)
        _, _, left = self._cycles(others, none, none, config, device)
        return BitTable(
            tuple(c.name for c in own),
            np.moveaxis(total, 2, 0) / config.clock_hz,
            np.moveaxis(energy, 2, 0) * 1e-12,
            float(left.sum()) / config.clock_hz,
            float(np.sum(self.engine.energy_pj(others, none, none, config))) * 1e-12,
        )

    def network_problem(
        self, network: Network, device: Any, grid: Any = "coarse", *, clock_hz: float | None = None
    ) -> CodesignProblem:
        works, (rows,) = distinct([calls_of(network, self.name)])
        if not works:
            raise UsageError(f"network '{network.name}' has nothing for an accelerator to compute")
        trellis = Trellis.single(rows, len(works))
        return self._problem(trellis, np.zeros(1, np.int64), works, device, grid, clock_hz, {"network": network.name})

    def codesign_problem(
        self, layered: Layered, device: Any, edge_score: Any, *, grid: Any = "coarse", clock_hz: float | None = None
    ) -> CodesignProblem:
        works, rows = distinct(calls_of(f, self.name) for f in layered.fragments)
        trellis = layered.with_rows(rows, len(works))
        return self._problem(trellis, np.asarray(edge_score, np.int64), works, device, grid, clock_hz, {})

    def _problem(
        self, trellis: Trellis, score: IntArray, works: Sequence[Work], device: Any, grid: Any, clock_hz: float | None,
        meta: dict[str, str],
    ) -> CodesignProblem:  # fmt: skip
        if isinstance(grid, str):
            if grid not in self.grids:
                raise unknown_name(f"grid of accelerator '{self.name}'", grid, self.grids)
            found, name = self.grids[grid], grid
        else:
            found, name = list(grid), "given"
        clock = device.clock(clock_hz)
        columns, (w, a) = Columns.of(works), bits_of(works)
        configs = [replace(c, clock_hz=clock) for c in found]
        table = np.stack([self._cycles(columns, w, a, c, device)[2] for c in configs])
        names = tuple(configs[0].resources)
        used = np.array([[c.resources[r] for r in names] for c in configs], np.int64)
        fields = tuple(k for k in configs[0].to_dict() if k != "clock_hz")
        params = np.array([[c.to_dict()[k] for k in fields] for c in configs], np.int64)
        none, nothing = np.zeros_like(table), np.zeros(len(works), np.int64)
        kernel = KernelTable("array", fields, params, used, table, none, none, table)
        return CodesignProblem(
            trellis=trellis,
            edge_score=score,
            engines=(Engine(self.name, (kernel,), nothing, nothing, np.zeros(len(names), np.int64)),),
            budget=np.array([device.budget[r] for r in names], np.int64),
            clock_hz=clock,
            resource_names=names,
            meta={"accelerator": self.name, "device": device.name, "grid": name, **meta},
        )

    def config_of(self, problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Any:
        kernel = engine.kernels[0]
        values = dict(zip(kernel.param_names, kernel.params[chosen[0]].tolist(), strict=True))
        return self.engine.Config(**values, clock_hz=problem.clock_hz)

    def breakdown(self, cost: Cost) -> tuple[KernelRow, ...]:
        """One row a call, whose kernel says its bits ("w4a8"); what only moves data has kernel "memory"."""
        total = max(cost.cycles, 1)
        rows = []
        for c in cost.calls:
            peak = int(self._peak(cost, c) * c.cycles) if c.macs else 0
            kernel, busy = next(iter(c.kernels.items()), ("memory", c.memory_cycles))
            share = c.cycles / total
            rows.append(KernelRow(c.name, c.mode, c.bound, kernel, busy, c.cycles, c.macs, peak, share))
        return tuple(rows)

    def _peak(self, cost: Cost, call: CallCost) -> float:
        """Products in a cycle of the whole array at the call's bits."""
        w, a = (int(n) for n in next(iter(call.kernels))[1:].split("a"))
        return float(self.engine.peak(self.config(cost.config), w, a))

    def roofline(self, cost: Cost, device: Any) -> tuple[RooflinePoint, ...]:
        """The calls that multiply, against what the array does at their bits, and memory."""
        speed = device.bandwidth_bytes_per_s
        out = []
        for c in cost.calls:
            if c.macs:
                peak, intensity = self._peak(cost, c) * cost.clock_hz, c.macs / c.bytes_moved
                ceiling, attained = min(peak, intensity * speed), c.macs * cost.clock_hz / c.cycles
                out.append(RooflinePoint(c.name, intensity, attained, ceiling, peak, speed, c.bound))
        return tuple(out)


def _call(call: Call[Work], busy: int, memory: int, total: int, moved: int) -> CallCost:
    """One call's cost: its kernel is the array at its bits, "w4a8"."""
    work, overhead = call.work, total - max(busy, memory)
    if not work.macs:
        return CallCost(call.name, (call.name,), "memory", total, {}, memory, overhead, moved, 0, "memory")
    kernel = f"w{work.weight_bits}a{work.in_bits}"
    narrow = max(work.weight_bits, work.in_bits) <= 4
    return CallCost(
        call.name, (call.name,), "split", total, {kernel: busy}, memory, overhead, moved, work.macs,
        kernel if busy >= memory else "memory", {kernel: work.macs}, {kernel: narrow},
    )  # fmt: skip


def _size(config: Any) -> int:
    return int(getattr(config, "binary_macs", 0) or config.bricks)


__all__ = ["BITS", "BitTable", "Family"]
