"""The temporal engine, after [BISMO18]: binary dot products, as many cycles as weight bits times input bits.

d_m x d_n units each add up d_k binary products in a cycle. Fetch, execute and result stages work at once, so a layer
takes the longest of them and a fill (ours: one tile of the array). Convolutions with few inputs a group (depthwise
ones) put several groups side by side in one dot product, zeros between them: ours. Where the operands of a tile do not
fit the buffers, inputs are fetched again for every row of tiles whose weights fit: ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cofront.hardware.bit_serial.units import unit
from cofront.hardware.bit_serial.work import Columns, moved_bits
from cofront.hardware.flat import FlatConfig
from cofront.problem import INFEASIBLE, IntArray

NAME, ARRAY = "bit_serial", "array"
#: A block of memory: 36 kbit, 72 bits wide and 512 deep.
BLOCK_WIDTH, BLOCK_DEPTH = 72, 512


@dataclass(frozen=True)
class Config(FlatConfig):
    """`d_m` x `d_n` units of `d_k` bits; each row and column has a buffer of `depth` words of d_k bits."""

    FIELDS: ClassVar[tuple[str, ...]] = ("d_m", "d_k", "d_n", "depth")
    MOST: ClassVar[int] = 1 << 20

    d_m: int
    d_k: int
    d_n: int
    depth: int = 1024
    clock_hz: float = 200e6

    @property
    def binary_macs(self) -> int:
        """Binary products in a cycle."""
        return self.d_m * self.d_k * self.d_n

    @property
    def resources(self) -> dict[str, int]:
        """Look-up tables and blocks by [BISMO18]'s model; it uses no DSPs, and flip-flops are not modelled."""
        per_unit = unit("bismo", "lut_unit_base") + unit("bismo", "lut_unit_bit") * self.d_k
        blocks = -(-self.d_k // BLOCK_WIDTH) * (self.d_m + self.d_n) * -(-self.depth // BLOCK_DEPTH)
        return {
            "dsp": 0,
            "lut": int(np.ceil(unit("bismo", "lut_base") + self.d_m * self.d_n * per_unit)),
            "ff": 0,
            "bram36": 1 + blocks,
        }

    def __str__(self) -> str:
        return f"{self.d_m} x {self.d_k} x {self.d_n} at {self.clock_hz / 1e6:g} MHz"


def tiles(c: Columns, config: Config) -> IntArray:
    """(r,) turns of the array for one bit of each operand: tiles of rows, columns and dot products."""
    m, k = np.maximum(c.m, 1), np.maximum(c.k, 1)
    packed = np.maximum(1, np.minimum(np.minimum(config.d_m // m, config.d_k // k), np.maximum(c.groups, 1)))
    rows = np.where(packed > 1, 1, -(-m // config.d_m))
    depth = np.where(packed > 1, 1, -(-k // config.d_k))
    return np.asarray(-(-c.groups // packed) * rows * depth * -(-c.n // config.d_n), np.int64)


def fetched_bits(c: Columns, w: IntArray, a: IntArray, config: Config) -> IntArray:
    """Bits moved: weights and outputs once, inputs once for every set of rows whose weights fit the buffers."""
    fit = np.maximum(1, config.depth * config.d_k * config.d_m // np.maximum(1, c.k * w))
    again = np.maximum(1, -(-c.m // fit))
    whole = c.read * a <= config.depth * config.d_k * config.d_n
    return np.asarray(moved_bits(c, w, a) + c.read * a * (np.where(whole, 1, again) - 1), np.int64)


def stages(c: Columns, w: IntArray, a: IntArray, config: Config, bits_per_cycle: float) -> tuple[IntArray, IntArray]:
    """Cycles of executing and of moving, at weight bits `w` and input bits `a` of shapes that broadcast with (r,)."""
    busy = tiles(c, config) * w * a
    memory = np.ceil(fetched_bits(c, w, a, config) / bits_per_cycle).astype(np.int64)
    return np.minimum(busy, INFEASIBLE), np.minimum(memory, INFEASIBLE)


def fill_cycles(c: Columns, w: IntArray, a: IntArray, config: Config, bits_per_cycle: float) -> IntArray:
    """Cycles until the first tile's operands are there; none where nothing is multiplied."""
    first = config.d_k * (config.d_m * w + config.d_n * a)
    some = np.minimum(first, c.weights * w + c.read * a)
    return np.asarray(np.where(c.groups > 0, np.ceil(some / bits_per_cycle), 0), np.int64)


def energy_pj(c: Columns, w: IntArray, a: IntArray, config: Config) -> Any:
    """Every product that the array could do in the turns taken, and each byte of memory: ours."""
    products = tiles(c, config) * config.binary_macs * w * a
    return products * unit("bismo", "binary_mac_pj") + fetched_bits(c, w, a, config) / 8 * unit(
        "memory", "dram_pj_per_byte"
    )


def peak(config: Config, w: int, a: int) -> float:
    """Products of w by a bits in a cycle."""
    return config.binary_macs / (w * a)
