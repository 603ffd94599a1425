"""The model's constants, read from coefficients.toml and held as integers so that every path computes the same."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from cofront.device import Device
from cofront.errors import InputError, UsageError

FILE = Path(__file__).with_name("coefficients.toml")
#: LUTs and flip-flops per feature (`area.py`), as `benchmarks/rtl_calibration.py` fitted them.
AREA_FILE = Path(__file__).with_name("area.json")
#: Widths of a memory port, in bits.
BUS_BITS = (64, 128, 256, 512)

#: Fractional constants are held in thousandths.
MILLI = 1000


def check_bus_bits(bits: int) -> None:
    """UsageError for a memory port that there is not."""
    if bits not in BUS_BITS:
        raise UsageError(f"the memory port is {', '.join(map(str, BUS_BITS))} bits wide, not {bits}")


@dataclass(frozen=True)
class Coefficients:
    """Constants in whole cycles, resources, or thousandths (`_milli`). `fill` False leaves out filling and draining."""

    pipeline_cycles: int
    overhead_cycles: int
    average_milli: int
    memory_efficiency_milli: int
    base_dsp: int
    area: tuple[tuple[str, int, int], ...]  # feature, LUT and FF in thousandths
    requant_dsp_per_lane: int
    packing: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    mac_fj: tuple[tuple[str, int], ...]
    dram_fj_per_byte: int
    fill: bool = True
    shell: bool = True  # whether what is around the kernels counts
    ideal_packing: bool = False  # products are spread over the DSPs whatever operands they share

    def products(self, dsp_kind: str, key: str, own: bool = False) -> int:
        """Products of one multiplier by operand widths ("88", "48", "44"), sharing an activation or each its `own`.

        With `ideal_packing` always as many as can share one.
        """
        row = dict(dict(self.packing)[dsp_kind])
        return row[f"own_{key}" if own and not self.ideal_packing else f"shared_{key}"]

    def average_cycles(self, channels: int) -> int:
        """Cycles in which `channels` sums over a map become averages."""
        return -(-channels * self.average_milli // MILLI)

    def multipliers(self, dsp_kind: str) -> int:
        """Multipliers in one DSP block."""
        return dict(dict(self.packing)[dsp_kind])["multipliers"]

    def bus_bits(self, device: Device, clock_hz: float | None = None) -> int:
        """The narrowest memory port that moves what the device's memory delivers at a clock, by default its own."""
        if not self.shell:
            return BUS_BITS[1]
        rate = self.bytes_per_kilocycle(device, device.clock(clock_hz))
        return next((bits for bits in BUS_BITS if bits * 125 >= rate), BUS_BITS[-1])

    def word_bytes(self, bus_bits: int) -> int:
        """Bytes to which pixels are padded in the memory behind a port."""
        return bus_bits // 8 if self.shell else 1

    def opening_cycles(self, exposed_bytes: int, bytes_per_kilocycle: int) -> int:
        """Cycles before a call in which its weights are loaded and nothing else happens."""
        if not exposed_bytes or not self.fill:
            return 0
        return self.overhead_cycles + -(-1000 * exposed_bytes // bytes_per_kilocycle)

    def base(self, bus_bits: int) -> tuple[int, int, int, int]:
        """DSP, LUT, FF and BRAM36 of all that is around the kernels."""
        if not self.shell:
            return 0, 0, 0, 0
        lut, ff = self.weighed({"base": 1, "base_bus": bus_bits})
        return self.base_dsp, lut, ff, 0

    def weighed(self, features: Mapping[str, Any]) -> tuple[Any, Any]:
        """LUTs and flip-flops of features, integers or integer arrays, rounded up."""
        lut, ff = (sum(pair[i] * features[name] for name, *pair in self.area if name in features) for i in (0, 1))
        return -(-lut // MILLI), -(-ff // MILLI)

    def bytes_per_kilocycle(self, device: Device, clock_hz: float) -> int:
        """Bytes that memory moves in 1000 cycles; an InputError when it is less than one."""
        whole = int(device.bandwidth_bytes_per_s * self.memory_efficiency_milli / clock_hz)
        if whole < 1:
            least = clock_hz / self.memory_efficiency_milli
            raise InputError(
                f"device '{device.name}': a memory of {device.bandwidth_bytes_per_s:g} bytes per second is too slow to "
                f"model at {clock_hz / 1e6:g} MHz; bandwidth_bytes_per_s must be at least {least:g}"
            )
        return whole

    def compute_only(self) -> Coefficients:
        """Ideal timing and multipliers only: what the integer program of [HAO21] counts in our reconstruction."""
        return replace(
            self,
            pipeline_cycles=0,
            overhead_cycles=0,
            average_milli=0,
            shell=False,
            requant_dsp_per_lane=0,
            fill=False,
            ideal_packing=True,
            memory_efficiency_milli=10**12,
        )

    def with_products(self, dsp_kind: str, **products: int) -> Coefficients:
        """A copy with other packing, e.g. `with_products("DSP48E2", shared_88=1)`."""
        table = {kind: dict(row) for kind, row in self.packing}
        table[dsp_kind].update(products)
        return replace(self, packing=tuple((k, tuple(v.items())) for k, v in table.items()))


def _milli(entry: dict[str, Any]) -> int:
    return round(float(entry["value"]) * MILLI)


@cache
def load() -> Coefficients:
    """The constants of coefficients.toml."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    timing = data["timing"]
    area = json.loads(AREA_FILE.read_text(encoding="utf-8"))["milli"]
    packing = {kind: {k: v for k, v in row.items() if isinstance(v, int)} for kind, row in data["packing"].items()}
    energy = data["energy"]
    return Coefficients(
        pipeline_cycles=int(timing["pipeline_cycles"]["value"]),
        overhead_cycles=int(timing["overhead_cycles"]["value"]),
        average_milli=_milli(timing["average_cycles"]),
        memory_efficiency_milli=_milli(timing["memory_efficiency"]),
        base_dsp=int(data["dsp"]["base"]["value"]),
        area=tuple((name, int(lut), int(ff)) for name, (lut, ff) in area.items()),
        requant_dsp_per_lane=int(data["dsp"]["requant_per_lane"]["value"]),
        packing=tuple((kind, tuple(row.items())) for kind, row in packing.items()),
        mac_fj=tuple((k, _milli(energy[f"mac_pj_{k}"])) for k in ("88", "48", "44")),
        dram_fj_per_byte=_milli(energy["dram_pj_per_byte"]),
    )


def describe() -> list[dict[str, Any]]:
    """Every constant with its value, source and confidence, for the report."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = []
    for group, entries in data.items():
        for key, entry in entries.items():
            value = entry.get("value", {k: v for k, v in entry.items() if k not in ("source", "confidence")})
            rows.append({"name": f"{group}.{key}", **entry, "value": value})
    fitted = json.loads(AREA_FILE.read_text(encoding="utf-8"))
    source = f"LUT and FF per feature of area.py, fitted by benchmarks/rtl_calibration.py: {fitted['label']}"
    for name, pair in fitted["milli"].items():
        rows.append(
            {"name": f"area.{name}", "value": [v / MILLI for v in pair], "source": source, "confidence": "estimate"}
        )
    return rows


def outside_range(kernels: Mapping[str, Mapping[str, int]], bus_bits: int) -> list[str]:
    """What of an accelerator lies outside the designs that LUTs and flip-flops were fitted on."""
    known = json.loads(AREA_FILE.read_text(encoding="utf-8"))["ranges"]
    found = [] if bus_bits in known["bus_bits"] else [f"a memory port of {bus_bits} bits"]
    for name, kernel in kernels.items():
        if not kernel["po"]:
            continue
        values = {**kernel, "multipliers": kernel["pi"] * kernel["po"] * kernel["taps"]}
        for key, (least, most) in known[name].items():
            if not least <= values[key] <= most:
                found.append(f"{name} with {key} {values[key]} ({least} to {most})")
    return found


def beyond_range() -> str:
    """How far the model was off on larger accelerators than it was fitted on, to go behind a note on such a one."""
    found = json.loads(AREA_FILE.read_text(encoding="utf-8")).get("beyond")
    if not found:
        return ""
    lut, ff = (f"{100 * found[key]['worst']:.0f} %" for key in ("lut", "ff"))
    return (
        f" (on {found['number']} accelerators of the main job's front, which are so, too, it was at most {lut} off "
        f"Yosys's count of LUTs, {ff} of flip-flops)"
    )
