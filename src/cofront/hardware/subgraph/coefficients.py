"""The model's constants, read from coefficients.toml and held as integers so that every path computes the same."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from cofront.device import Device
from cofront.errors import InputError

FILE = Path(__file__).with_name("coefficients.toml")

#: Fractional constants are held in thousandths.
MILLI = 1000


@dataclass(frozen=True)
class Coefficients:
    """Constants in whole cycles, resources, or thousandths (`_milli`). `fill` False leaves out filling and draining."""

    pipeline_cycles: int
    overhead_cycles: int
    average_milli: int
    memory_efficiency_milli: int
    base: tuple[int, int, int, int]
    lut_kernel_milli: int
    lut_const_milli: int
    lut_lane_milli: int
    lut_tree_milli: int
    lut_packed_milli: int
    lut_dual_milli: int
    lut_select_milli: int
    lut_ram_bit_milli: int
    lut_multiplier: tuple[tuple[str, int], ...]
    ff_const_milli: int
    ff_lane_milli: int
    ff_product_milli: int
    ff_dw_product_milli: int
    requant_dsp_per_lane: int
    packing: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    mac_fj: tuple[tuple[str, int], ...]
    dram_fj_per_byte: int
    fill: bool = True
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

    def lut_of_multiplier(self, key: str) -> int:
        return dict(self.lut_multiplier)[key]

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
            base=(0, 0, 0, 0),
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
    timing, lut, ff = data["timing"], data["lut"], data["ff"]
    base = tuple(int(data["base"][r]["value"]) for r in ("dsp", "lut", "ff", "bram36"))
    packing = {kind: {k: v for k, v in row.items() if isinstance(v, int)} for kind, row in data["packing"].items()}
    energy = data["energy"]
    return Coefficients(
        pipeline_cycles=int(timing["pipeline_cycles"]["value"]),
        overhead_cycles=int(timing["overhead_cycles"]["value"]),
        average_milli=_milli(timing["average_cycles"]),
        memory_efficiency_milli=_milli(timing["memory_efficiency"]),
        base=(base[0], base[1], base[2], base[3]),
        lut_kernel_milli=_milli(lut["kernel"]),
        lut_const_milli=_milli(lut["const"]),
        lut_lane_milli=_milli(lut["lane"]),
        lut_tree_milli=_milli(lut["tree"]),
        lut_packed_milli=_milli(lut["packed"]),
        lut_dual_milli=_milli(lut["dual"]),
        lut_select_milli=_milli(lut["select"]),
        lut_ram_bit_milli=_milli(lut["ram_bit"]),
        lut_multiplier=tuple((k, int(v["value"])) for k, v in data["lut_multiplier"].items()),
        ff_const_milli=_milli(ff["const"]),
        ff_lane_milli=_milli(ff["lane"]),
        ff_product_milli=_milli(ff["product"]),
        ff_dw_product_milli=_milli(ff["dw_product"]),
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
    return rows
