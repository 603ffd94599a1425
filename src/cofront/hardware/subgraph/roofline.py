"""Where the time goes: one row per kernel and call, and the roofline point of each call."""

from __future__ import annotations

from cofront.device import Device
from cofront.hardware.base import CallCost, Cost, KernelRow, RooflinePoint
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.engines import ENGINES


def _multipliers(call: CallCost, kernel: str, config: Config) -> int:
    k = config.kernel(kernel)
    factor = ENGINES[config.engine].w4a4_factor if call.narrow.get(kernel) else 1
    return k.pi * k.po * k.taps * factor


def breakdown(cost: Cost) -> tuple[KernelRow, ...]:
    """One row per kernel of every call; a call that only moves data has one row with kernel "memory"."""
    config = Config.from_dict(cost.config)
    rows = []
    for call in cost.calls:
        share = call.cycles / cost.cycles if cost.cycles else 0.0
        for kernel, busy in call.kernels.items():
            slots = _multipliers(call, kernel, config) * call.cycles
            macs = call.kernel_macs.get(kernel, 0)
            rows.append(KernelRow(call.name, call.mode, call.bound, kernel, busy, call.cycles, macs, slots, share))
        if not call.kernels:
            rows.append(
                KernelRow(call.name, call.mode, call.bound, "memory", call.memory_cycles, call.cycles, 0, 0, share)
            )
    return tuple(rows)


def roofline(cost: Cost, device: Device, co: Coefficients | None = None) -> tuple[RooflinePoint, ...]:
    """The calls that multiply, against the multipliers they use and the memory bandwidth that can be had."""
    config = Config.from_dict(cost.config)
    speed = (co or coefficients.load()).bytes_per_kilocycle(device, cost.clock_hz) * cost.clock_hz / 1000
    points = []
    for call in cost.calls:
        if not call.macs or not call.kernels:
            continue
        peak = sum(_multipliers(call, k, config) for k in call.kernels) * cost.clock_hz
        intensity = call.macs / call.bytes_moved
        points.append(
            RooflinePoint(
                call=call.name,
                intensity=intensity,
                attained_macs_per_s=call.macs * cost.clock_hz / call.cycles,
                ceiling_macs_per_s=min(peak, intensity * speed),
                peak_macs_per_s=peak,
                bandwidth_bytes_per_s=speed,
                bound=call.bound,
            )
        )
    return tuple(points)
