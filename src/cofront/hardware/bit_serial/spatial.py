"""The spatial engine, after [BitFusion18]: bricks of 2 x 2 bits that fuse to multipliers of 2, 4, 8 or 16 bits.

A fusion unit has 16 bricks: 16 products of 2 x 2 bits in a cycle, or one of 8 x 8. Units stand in rows, along which
products add up (inputs times taps), and columns (outputs). That operands are rounded up to 2, 4 or 8 bits, 16 in
several cycles, is the paper's; how layers map to rows and columns, and the energy's composition, are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cofront.hardware.bit_serial.units import unit
from cofront.hardware.bit_serial.work import Columns, moved_bits
from cofront.hardware.die import Die
from cofront.hardware.flat import FlatConfig
from cofront.problem import INFEASIBLE, IntArray

NAME, ARRAY = "bit_fusion", "array"
BRICKS = 16


@dataclass(frozen=True, kw_only=True)
class Chip(Die):
    """What a chip offers: fusion units, bytes of buffer, a clock, a memory. The defaults: [BitFusion18]'s, recalled.

    512 units and 112 KB at 500 MHz with 128 bits of memory in a cycle (medium confidence).
    """

    RESOURCES: ClassVar[tuple[str, ...]] = ("units", "buffer_bytes")
    KIND: ClassVar[str] = "chip"

    units: int = 512
    buffer_bytes: int = 112 * 1024
    clock_hz: float = 500e6
    max_clock_hz: float = 1e9
    bandwidth_bytes_per_s: float = 8e9
    name: str = "bit-fusion"


@dataclass(frozen=True)
class Config(FlatConfig):
    """`rows` x `columns` fusion units and bytes of buffer."""

    FIELDS: ClassVar[tuple[str, ...]] = ("rows", "columns", "buffer_bytes")
    MOST: ClassVar[int] = 1 << 30

    rows: int
    columns: int
    buffer_bytes: int = 112 * 1024
    clock_hz: float = 500e6

    @property
    def bricks(self) -> int:
        return self.rows * self.columns * BRICKS

    @property
    def resources(self) -> dict[str, int]:
        return {"units": self.rows * self.columns, "buffer_bytes": self.buffer_bytes}

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns} units at {self.clock_hz / 1e6:g} MHz"


def fused(bits: IntArray) -> IntArray:
    """Bits that an operand takes: 2, 4, 8, 16 or 32."""
    return np.asarray(2 ** np.ceil(np.log2(np.maximum(bits, 2))), np.int64)


def products(w: IntArray, a: IntArray) -> tuple[IntArray, IntArray]:
    """(products of a unit in a cycle, cycles of one product) at weight bits `w` and input bits `a`."""
    bricks = fused(w) * fused(a) // 4
    return np.maximum(1, BRICKS // bricks), np.maximum(1, bricks // BRICKS)


def fetched_bits(c: Columns, w: IntArray, a: IntArray, config: Config) -> IntArray:
    """Bits moved: weights once; inputs again for every part of the weights that fits half of the buffer."""
    half = config.buffer_bytes * 4
    again = np.where(c.read * a <= half, 1, np.maximum(1, -(-(c.weights * w) // half)))
    return np.asarray(moved_bits(c, w, a) + c.read * a * (again - 1), np.int64)


def stages(c: Columns, w: IntArray, a: IntArray, config: Config, bits_per_cycle: float) -> tuple[IntArray, IntArray]:
    """Cycles of executing and of moving, at weight bits `w` and input bits `a` of shapes that broadcast with (r,).

    The k products of an output are spread over rows, and in a unit over what its bricks fuse to; outputs over columns.
    Layers of one output a group put several groups in columns.
    """
    per_cycle, cycles = products(w, a)
    deep = -(-np.maximum(c.k, 1) // (config.rows * per_cycle))
    packed = np.maximum(1, np.minimum(config.columns // np.maximum(c.m, 1), np.maximum(c.groups, 1)))
    wide = np.where(packed > 1, -(-c.groups // packed), c.groups * -(-c.m // config.columns))
    busy = wide * deep * c.n * cycles
    memory = np.ceil(fetched_bits(c, w, a, config) / bits_per_cycle).astype(np.int64)
    return np.minimum(busy, INFEASIBLE), np.minimum(memory, INFEASIBLE)


def fill_cycles(c: Columns, w: IntArray, a: IntArray, config: Config, bits_per_cycle: float) -> IntArray:
    """Cycles through the rows of the array, once a layer."""
    return np.asarray(np.where(c.groups > 0, config.rows, 0) + 0 * w * a, np.int64)


def energy_pj(c: Columns, w: IntArray, a: IntArray, config: Config) -> Any:
    """Bricks that work, two operands of each product from the buffer once per row or column, bytes of memory.

    Ours: an operand is read once and passed on along the columns (inputs) or kept (weights).
    """
    macs = c.groups * c.m * c.k * c.n
    shared = np.maximum(1, np.minimum(config.columns, c.m))
    buffered = (macs * a / shared + c.weights * w) / 8
    return (
        macs * (fused(w) * fused(a) // 4) * unit("fusion", "brick_pj")
        + buffered * unit("memory", "buffer_pj_per_byte")
        + fetched_bits(c, w, a, config) / 8 * unit("memory", "dram_pj_per_byte")
    )


def peak(config: Config, w: int, a: int) -> float:
    """Products of w by a bits in a cycle."""
    per_cycle, cycles = products(np.array(w), np.array(a))
    return config.rows * config.columns * float(per_cycle) / float(cycles)
