"""Energy: an estimate from assumed constants, good for comparing designs of one model, not a measurement.

Dynamic energy is charged per multiply-accumulate by precision and per byte through external memory, each tensor moved
once (re-reading by tiles is not charged, so that it does not depend on the configuration); board and clocked logic
draw constant power.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cofront.device import Device
from cofront.hardware.subgraph.calls import Call
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.engines import operand_key

if TYPE_CHECKING:
    from cofront.hardware.subgraph.formulas import IntArray


def call_energy_pj(call: Call, co: Coefficients) -> int:
    per_mac = dict(co.mac_fj)
    macs = sum(s.macs * per_mac[operand_key(s.weight_bits, s.act_bits)] for s in call.stages)
    return (macs + call.bytes * co.dram_fj_per_byte) // 1000


def row_energy_pj(calls: Sequence[Call], co: Coefficients) -> IntArray:
    """(r,) dynamic energy of each call in picojoules."""
    import numpy as np

    return np.array([call_energy_pj(c, co) for c in calls], dtype=np.int64)


def total_energy_j(calls: Sequence[Call], latency_s: float, device: Device, co: Coefficients) -> float | None:
    """Joules of one run, or None when the device's power is not known."""
    if device.static_power_w is None:
        return None
    dynamic = sum(call_energy_pj(c, co) for c in calls)
    return dynamic * 1e-12 + (device.static_power_w + (device.active_power_w or 0.0)) * latency_s
