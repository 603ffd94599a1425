"""The cost of one network on one configuration, in plain Python integers.

Written separately from `formulas.py` and `timing.py`, on purpose without sharing their code: it recosts every design
of a front, and must give the same cycles and resources exactly. It also says where the time goes. Only what LUTs,
flip-flops and memories follow from (`area.py`) is shared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cofront.device import Device
from cofront.errors import UsageError
from cofront.front import Infeasible
from cofront.hardware.base import CallCost, Cost, Mode
from cofront.hardware.subgraph import area, coefficients
from cofront.hardware.subgraph.calls import KERNELS, Call, Stage
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.config import Config, KernelConfig
from cofront.hardware.subgraph.energy import total_energy_j
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.lowering import lower
from cofront.network import Network


def _up(a: int, b: int) -> int:
    """a / b rounded up."""
    return (a + b - 1) // b


class _Work:
    """One stage on one kernel: what a step costs and what fits."""

    def __init__(self, stage: Stage, kernel: KernelConfig, name: str, config: Config, co: Coefficients) -> None:
        kind = ENGINES[config.engine]
        narrow = stage.weight_bits <= 4 and stage.act_bits <= 4
        factor = kind.w4a4_factor if narrow else 1
        self.stage, self.kernel, self.name, self.co = stage, kernel, name, co
        self.there = kernel.po > 0 and kind.supports(stage.weight_bits, stage.act_bits)
        if not self.there:
            return
        self.lanes = kernel.po * factor
        self.group = kind.w4a4_factor // factor if stage.logits else 1
        self.line = kernel.line_elements * factor
        turns = self.turns()
        if name == "dw":
            self.units = _up(stage.in_channels, self.lanes)
            self.words = turns
            self.read = self.units
        else:
            inputs = _up(stage.in_channels // stage.groups, kernel.pi)
            self.units = stage.groups * _up(stage.out_channels // stage.groups, self.lanes)
            self.words = inputs * turns
            self.read = stage.groups * inputs
        self.step = self.words
        if co.fill:
            if name == "dw" and kernel.taps > kernel.rows:
                self.step += stage.stride - 1
            self.step = max(self.step, stage.apart)
        self.pipeline = self.latency(kernel.taps * (1 if name == "dw" else kernel.pi), kind.w4a4_factor > 1)
        self.lead = stage.lead if co.fill else 0
        self.stalls = stage.stalls if co.fill and kernel.rows == stage.rows else 0
        self.flush = stage.flush if co.fill else 0

    def turns(self) -> int:
        """Turns of one window: column by column where there are no more taps than rows, else in one sequence."""
        taps, side = self.kernel.taps, math.isqrt(self.stage.taps)
        if taps <= self.kernel.rows and side * side == self.stage.taps:
            return _up(side * max(side, taps), taps)
        return _up(self.stage.taps, taps)

    def latency(self, terms: int, dual: bool) -> int:
        """Cycles from input to output: front, registers, a level of the adder tree for every four terms."""
        if not self.co.fill:
            return 0
        front = 1 if self.kernel.rows == 1 else 3 if self.kernel.taps <= self.kernel.rows else 4
        levels = 0
        while terms > 1:
            terms, levels = _up(terms, 4), levels + 1
        return front + levels + self.co.pipeline_cycles + dual

    @property
    def usable(self) -> bool:
        if not self.there or self.stage.rows > self.kernel.rows or (self.stage.windowed and self.kernel.rows == 1):
            return False
        if self.kernel.taps > self.kernel.rows and (self.kernel.rows - self.stage.rows) % 2:
            return False
        if self.stage.out_channels > self.kernel.out_elements:
            return False
        return self.name == "dw" or self.stage.in_channels <= self.kernel.in_elements

    @property
    def fits(self) -> bool:
        """All weights and whole rows on chip, as a fused call needs."""
        row = self.stage.in_width * self.stage.in_channels
        return (
            self.usable
            and self.units * self.words <= self.kernel.weight_depth // 2
            and (not self.stage.windowed or row <= self.line)
        )

    def stream(self, units: int, in_pixels: int, lead: int) -> int:
        work = units * self.step
        read = units if self.name == "dw" else self.read
        computing = (lead + self.stalls) * read + self.stage.out_pixels * work
        reading = in_pixels * read + self.flush * work
        return max(computing, reading) + self.pipeline

    def fused(self) -> tuple[int, int, int]:
        """Cycles, how long the next kernel waits to start, how long this one goes on after its input has ended."""
        if not self.co.fill:
            return self.stream(self.units, self.stage.in_pixels, 0), 0, 0
        # Behind another kernel, that kernel's head already covers all of `lead` but the last pixel.
        lead = 1 if self.stage.fed else self.lead
        busy = self.stream(self.units, self.stage.in_pixels - (self.lead - lead), lead)
        work = self.units * self.step
        head = lead * self.read + self.stage.next_lead * work + self.pipeline
        return busy, head, self.flush * work + self.pipeline

    def by_itself(self, extra_bytes: int) -> tuple[int, int, int] | None:
        """Busy cycles, bytes moved, runs (tiles of weights x stripes); None when it cannot run."""
        if not self.usable:
            return None
        s, k = self.stage, self.kernel
        cap = k.weight_depth // 2 // self.words
        if cap < self.units:  # every tile of logits but the last has whole groups
            cap = cap // self.group * self.group
        in_pixels, in_bytes, stripes = s.in_pixels, s.in_bytes, 1
        if s.windowed and self.name == "dw":
            cap = min(cap, self.line // s.in_width // self.lanes)
        elif s.windowed:
            columns = self.line // s.in_channels
            if columns < s.in_width:
                if columns <= s.overlap:
                    return None
                stripes = _up(s.in_width - s.overlap, columns - s.overlap)
                again = (stripes - 1) * s.overlap
                in_pixels += s.in_pixels // s.in_width * again
                in_bytes += _up(s.in_bytes * again, s.in_width)
        if cap < 1:
            return None
        cap = min(cap, self.units)
        busy, left, tiles = 0, self.units, 0
        while left > 0 and tiles < 2:  # the first and, if there are more, a representative of the equal ones
            busy += self.stream(min(cap, left), in_pixels, self.lead)
            left -= cap
            tiles += 1
        if left > 0:
            equal, rest = divmod(left, cap)
            busy += equal * self.stream(cap, in_pixels, self.lead) + (
                self.stream(rest, in_pixels, self.lead) if rest else 0
            )
            tiles += equal + (1 if rest else 0)
        passes = 1 if self.name == "dw" else _up(tiles, s.groups)
        return busy, in_bytes * passes + s.out_bytes + s.weight_bytes + extra_bytes, tiles * stripes


def call_cost(call: Call, config: Config, device: Device, co: Coefficients) -> CallCost:
    """The call in its cheaper mode, fused or split."""
    speed = co.bytes_per_kilocycle(device, config.clock_hz)
    over = co.overhead_cycles
    around = co.average_cycles(call.averaged) + co.opening_cycles(call.exposed_bytes, speed)

    def done(mode: Mode, kernels: dict[str, int], inner: int, memory: int, overhead: int, moved: int) -> CallCost:
        overhead += around
        cycles = inner + overhead
        top = max(kernels, key=lambda k: kernels[k], default="memory")
        bound = "memory" if not kernels or memory >= kernels[top] else top
        if overhead > max([memory, *kernels.values()]):
            bound = "overhead"
        order = list(kernels)
        return CallCost(
            name=call.name,
            layers=call.layers,
            mode=mode,
            cycles=cycles,
            kernels=kernels,
            memory_cycles=memory,
            overhead_cycles=overhead,
            bytes_moved=moved,
            macs=call.macs,
            bound=bound,
            kernel_macs=dict(zip(order, (s.macs for s in call.stages), strict=True)),
            narrow=dict(zip(order, (s.weight_bits <= 4 and s.act_bits <= 4 for s in call.stages), strict=True)),
        )

    if not call.stages:
        memory = _up(call.bytes * 1000, speed)
        return done("memory", {}, memory, memory, over, call.bytes)

    options: list[CallCost] = []
    if call.is_pointwise:
        for name in ("conv", "pw"):
            work = _Work(call.stages[0], config.kernel(name), name, config, co)
            alone = work.by_itself(call.extra_bytes)
            if alone:
                memory = _up(alone[1] * 1000, speed)
                cycles = max(alone[0], memory)
                options.append(done("fused", {name: alone[0]}, cycles, memory, over * alone[2], alone[1]))
    else:
        works = [_Work(s, config.kernel(s.kernel), s.kernel, config, co) for s in call.stages]
        last = len(works) - 1
        alones = [w.by_itself(call.extra_bytes if i == last else 0) for i, w in enumerate(works)]
        if len(works) > 1 and all(w.fits for w in works):
            parts = [w.fused() for w in works]
            paths = [
                own[0] + sum(p[1] for p in parts[:i]) + sum(p[2] for p in parts[i + 1 :]) for i, own in enumerate(parts)
            ]
            memory = _up(call.bytes * 1000, speed)
            busy = {w.name: p[0] for w, p in zip(works, parts, strict=True)}
            options.append(done("fused", busy, max(memory, *paths), memory, over, call.bytes))
        if all(a is not None for a in alones):
            found = [a for a in alones if a is not None]
            memories = [_up(a[1] * 1000, speed) for a in found]
            inner = sum(max(a[0], m) for a, m in zip(found, memories, strict=True))
            busy = {w.name: a[0] for w, a in zip(works, found, strict=True)}
            mode: Mode = "split" if len(works) > 1 else "fused"
            moved = sum(a[1] for a in found)
            options.append(done(mode, busy, inner, sum(memories), over * sum(a[2] for a in found), moved))
    if not options:
        return CallCost(call.name, call.layers, "infeasible", 0, {}, 0, 0, 0, call.macs, "infeasible")
    return min(options, key=lambda c: c.cycles)


def kernel_resources(
    name: str, k: KernelConfig, config: Config, device: Device, co: Coefficients, bus_bits: int | None = None
) -> dict[str, int]:
    """DSP, LUT, FF and BRAM36 of one kernel; `bus_bits` of the memory port, by default as the device needs it."""
    if k.po == 0:
        return {"dsp": 0, "lut": 0, "ff": 0, "bram36": 0}
    kind = ENGINES[config.engine]
    multipliers = k.pi * k.po * k.taps
    per_dsp = co.products(device.dsp_kind, kind.product, own=name == "dw")

    dsp = k.po * kind.w4a4_factor * co.requant_dsp_per_lane
    if k.dsp:
        spread = name == "dw" or co.ideal_packing
        columns = _up(multipliers, per_dsp) if spread else k.pi * k.taps * _up(k.po, per_dsp)
        dsp += _up(columns, co.multipliers(device.dsp_kind))
    bus = bus_bits or co.bus_bits(device, config.clock_hz)
    lut, ff = co.weighed(area.features(name, vars(k), kind, bus))
    return {"dsp": dsp, "lut": lut, "ff": ff, "bram36": area.memories(name, vars(k), kind)}


def resources(
    config: Config, device: Device, co: Coefficients | None = None, bus_bits: int | None = None
) -> dict[str, int]:
    """DSP, LUT, FF and BRAM36 of a whole accelerator; `bus_bits` of the memory port, by default as the device needs."""
    co = co or coefficients.load()
    bus = bus_bits or co.bus_bits(device, config.clock_hz)
    total = dict(zip(("dsp", "lut", "ff", "bram36"), co.base(bus), strict=True))
    for name in KERNELS:
        for key, value in kernel_resources(name, config.kernel(name), config, device, co, bus).items():
            total[key] += value
    return total


def cost(
    network: Network, config: Config, device: Device, co: Coefficients | None = None, bus_bits: int | None = None
) -> Cost:
    """Cycles, resources and energy of a network on an accelerator, call by call; `bus_bits` as in `resources`."""
    co = co or coefficients.load()
    bus = bus_bits or co.bus_bits(device, config.clock_hz)
    return cost_of_calls(lower(network, co.word_bytes(bus)), config, device, co, network.name, bus)


def cost_of_calls(
    calls: Sequence[Call],
    config: Config,
    device: Device,
    co: Coefficients | None = None,
    name: str = "",
    bus_bits: int | None = None,
) -> Cost:
    co = co or coefficients.load()
    if not calls:
        raise UsageError(f"network '{name}' has nothing for an accelerator to compute")
    clock = device.clock(config.clock_hz)
    rows = tuple(call_cost(c, config, device, co) for c in calls)
    used, limit = resources(config, device, co, bus_bits), device.budget
    problems = [
        Infeasible(r, used[r], limit[r], r, f"lower the parallelism or buffers, or take a part with more {r}")
        for r in used
        if used[r] > limit[r]
    ]
    if stuck := [r.name for r in rows if r.mode == "infeasible"]:
        shown = ", ".join(stuck[:4]) + (" ..." if len(stuck) > 4 else "")
        remedy = f"cannot run {shown}: raise the buffers or take an engine that serves the precision"
        problems.append(Infeasible("calls that can run", len(rows), len(rows) - len(stuck), "calls", remedy))
    cycles = sum(r.cycles for r in rows)
    latency = cycles / clock
    return Cost(
        latency_s=latency,
        cycles=cycles,
        clock_hz=clock,
        energy_j=None if problems else total_energy_j(calls, latency, device, co),
        resources=used,
        budget=limit,
        calls=rows,
        config=config.to_dict(),
        network=name,
        device=device.name,
        infeasible=tuple(problems),
    )
