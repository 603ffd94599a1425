"""Unit costs, read from units.toml: energy of an operation and of a byte, area of a processing element.

A processing element does one operation per cycle and adds it to a 32-bit accumulator. Which units make up one is our
reconstruction: a multiplier; a shifter, 8 bits wide or as wide as the accumulator; a subtractor of 8 bits.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from cofront.errors import InputError

FILE = Path(__file__).with_name("units.toml")

Kind = Literal["conv", "shift", "adder"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: The arrays' names in the paper.
CHUNKS: dict[Kind, str] = {"conv": "clp", "shift": "slp", "adder": "alp"}

#: Bytes of a partial sum; bits that each processing element holds: two operands of 8 bits and its accumulator.
SUM_BYTES = 4
HELD_BITS = 48


@dataclass(frozen=True)
class Units:
    """Unit costs. `wide_shift`: shifters as wide as the accumulator; `registers`: an element's area has its registers.

    `energy_pj` and `area_um2` by unit; see units.toml for what each is and where it comes from.
    """

    energy_pj: tuple[tuple[str, float], ...]
    area_um2: tuple[tuple[str, float], ...]
    wide_shift: bool = False
    registers: bool = True

    def _units(self, kind: Kind) -> tuple[str, ...]:
        shift = "shift_int32" if self.wide_shift else "shift_int8"
        first = {"conv": "multiply_int8", "shift": shift, "adder": "add_int8"}[kind]
        return first, "add_int32"

    def operation_pj(self, kind: Kind) -> float:
        """One operation with its accumulation, and the registers it reads and writes: operands of a byte, a sum."""
        held = (2 + 2 * SUM_BYTES) * dict(self.energy_pj)["register_byte"]
        return sum(dict(self.energy_pj)[u] for u in self._units(kind)) + held

    def element_um2(self, kind: Kind) -> float:
        """One processing element."""
        held = HELD_BITS * dict(self.area_um2)["register_bit"] if self.registers else 0.0
        return sum(dict(self.area_um2)[u] for u in self._units(kind)) + held

    def buffer_pj_per_byte(self, capacity_bytes: float) -> float:
        """A byte of an on-chip buffer of that size."""
        return dict(self.energy_pj)["cache_64bit_8kb"] * math.sqrt(capacity_bytes / 8192) / 8

    @property
    def dram_pj_per_byte(self) -> float:
        return dict(self.energy_pj)["dram_64bit"] / 8


@cache
def load_units() -> Units:
    """The stated unit costs."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    for group in ("energy", "area"):
        for name, entry in data[group].items():
            if not entry.get("source") or not entry.get("confidence"):
                raise InputError(f"{FILE.name}: {group}.{name} has no source or confidence")
    return Units(
        tuple((k, float(v["value"])) for k, v in data["energy"].items()),
        tuple((k, float(v["value"])) for k, v in data["area"].items()),
    )
