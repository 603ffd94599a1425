"""One layer on one array: what a mapping costs, in closed form. Our reconstruction of [NASA22]'s mapping space.

A tile of `tile` = (output channels, input channels, output rows) is held in the array's share of the buffer, twice, so
that the next one loads meanwhile. Around it run the tile loops in `order`, outermost first; a tile that the next step
needs again stays. Inside, one of four dataflows says what stays beside the processing elements and which loops they
unroll (`spread`):

    WS  a weight stays while the tile's pixels pass       over (output channels, input channels)
    OS  a sum stays until the tile's products are in      over (output channels, pixels)
    IS  an input stays while channels and taps pass       over (input channels, pixels)
    RS  a row of weights stays while a row passes         over (kernel rows, output rows, output channels)

What does not stay is read from the buffer for every step, once for all elements that need the same. A layer takes as
long as the slowest of its operations, its memory and its buffer. Edge tiles take as long as full ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

import numpy as np

from cofront.hardware.nasa.units import SUM_BYTES, Kind, Units
from cofront.hardware.nasa.work import Sizes, Work

Dataflow = Literal["WS", "OS", "IS", "RS"]
DATAFLOWS: tuple[Dataflow, ...] = get_args(Dataflow)
#: Orders of the tile loops: output channels, input channels, rows; outermost first.
ORDERS: tuple[str, ...] = tuple("".join(o) for o in permutations("mcp"))


@dataclass(frozen=True)
class Chunk:
    """One array: processing elements of a kind, and its share of the buffer and of its ports.

    `dram_bytes_per_cycle` is not shared: see `cofront.hardware.nasa.estimate`.
    """

    kind: Kind
    elements: int
    capacity_bytes: int
    buffer_bytes_per_cycle: float
    dram_bytes_per_cycle: float
    buffer_pj_per_byte: float


@dataclass(frozen=True)
class Mapping:
    """How a layer runs. `spread` are the elements' sides: two, or three for RS."""

    dataflow: Dataflow
    order: str
    tile: tuple[int, int, int]
    spread: tuple[int, ...]


@dataclass(frozen=True)
class Mapped:
    """What it costs. Cycles of operations, memory and buffer each; energy by where it goes, in picojoules."""

    mapping: Mapping
    operation_cycles: int
    dram_cycles: int
    buffer_cycles: int
    dram_bytes: float
    buffer_bytes: float
    operation_pj: float
    buffer_pj: float
    dram_pj: float

    @property
    def cycles(self) -> int:
        return max(self.operation_cycles, self.dram_cycles, self.buffer_cycles)

    @property
    def energy_pj(self) -> float:
        return self.operation_pj + self.buffer_pj + self.dram_pj

    @property
    def edp(self) -> float:
        """Picojoule cycles."""
        return self.energy_pj * self.cycles


def up(a: Sizes, b: Sizes) -> Sizes:
    return -(-a // b)


def tile_bytes(work: Work, m: Sizes, c: Sizes, p: Sizes) -> Sizes:
    """Of weights, inputs and outputs of one tile; sums over part of the input channels are wide."""
    inputs = (m if work.depthwise else c) * work.rows_of(p) * work.in_columns * work.in_bytes
    outputs = m * p * work.q * np.where(c < work.c, SUM_BYTES, work.out_bytes)
    return m * c * work.taps * work.weight_bytes + inputs + outputs


def fits(work: Work, chunk: Chunk, m: Sizes, c: Sizes, p: Sizes) -> Sizes:
    return 2 * tile_bytes(work, m, c, p) <= chunk.capacity_bytes


def reloads(order: str, counts: dict[str, Sizes], own: str) -> Sizes:
    """How often each tile of an operand is loaded: once for each step of a foreign loop outside one of its `own`."""
    out: Sizes = 1
    inside: Sizes = False
    for loop in reversed(order):
        if loop in own:
            inside = inside | (counts[loop] > 1)
        else:
            out = out * np.where(inside, counts[loop], 1)
    return out


def dram_bytes(work: Work, order: str, m: Sizes, c: Sizes, p: Sizes) -> Sizes:
    """Bytes to and from memory."""
    counts = {"m": up(work.m, m), "c": up(work.c, c), "p": up(work.p, p)}
    weights = work.m * work.c * work.taps * work.weight_bytes * reloads(order, counts, "mc")
    channels = work.m if work.depthwise else work.c
    inputs = channels * work.rows_read[p] * work.in_columns * work.in_bytes
    inputs = inputs * reloads(order, counts, "mp" if work.depthwise else "cp")
    visits = reloads(order, counts, "mp")
    outputs = work.m * work.p * work.q * (work.out_bytes + 2 * (visits - 1) * SUM_BYTES)
    return work.repeats * (weights + inputs + outputs)


def steps(
    work: Work, dataflow: Dataflow, m: Sizes, c: Sizes, p: Sizes, spread: tuple[Sizes, ...]
) -> tuple[Sizes, Sizes]:
    """Cycles of operations, and bytes between buffer and array."""
    kr, ks = work.kernel
    pixels = p * work.q
    in_channels, per_m = (work.m, 1) if work.depthwise else (work.c, up(work.m, m))
    windows = work.p * work.q * work.taps * in_channels  # inputs of all windows, once for all output channels
    if dataflow == "RS":
        ur, upr, um = spread
        tm, tp, tr = up(m, um), up(p, upr), up(kr, ur)
        cycles = tm * c * tp * tr * ks * work.q
        weights = up(work.p, p) * tp
        rows = (upr - 1) * work.stride + ur  # elements on a diagonal share a row
        inputs = in_channels * work.in_columns * up(work.p, p) * tp * tr * rows * per_m * (1 if work.depthwise else tm)
        sums = c * tr
    else:
        first, second = spread
        if dataflow == "WS":
            tm, tc, tx = up(m, first), up(c, second), pixels
        elif dataflow == "OS":
            tm, tc, tx = up(m, first), c, up(pixels, second)
        else:
            tm, tc, tx = m, up(c, first), up(pixels, second)
        cycles = tm * tc * tx * work.taps
        weights = up(work.p, p) * (1 if dataflow == "WS" else tx)
        stays = in_channels * work.rows_read[p] * work.in_columns * per_m
        inputs = stays if dataflow == "IS" else windows * per_m * (1 if work.depthwise else tm)
        sums = 1 if dataflow == "OS" else tc * work.taps
    tiles = up(work.m, m) * up(work.c, c) * up(work.p, p)
    # Every visit but the first reads a sum, every one but the last writes it wide.
    later = up(work.c, c) * sums - 1
    outputs = work.m * work.p * work.q * (2 * later * SUM_BYTES + work.out_bytes)
    elements = work.m * work.c * work.taps * weights * work.weight_bytes + inputs * work.in_bytes
    return work.repeats * tiles * cycles, work.repeats * (elements + outputs)


def evaluate(work: Work, chunk: Chunk, units: Units, mapping: Mapping) -> Mapped:
    """The cost of one mapping; whether its tile fits is the caller's to know. What memory moves passes the buffer."""
    cycles, moved = steps(work, mapping.dataflow, *mapping.tile, mapping.spread)
    memory = float(dram_bytes(work, mapping.order, *mapping.tile))
    buffer = float(moved) + memory
    return Mapped(
        mapping,
        int(cycles),
        math.ceil(memory / chunk.dram_bytes_per_cycle),
        math.ceil(buffer / chunk.buffer_bytes_per_cycle),
        memory,
        buffer,
        work.operations * units.operation_pj(work.kind),
        buffer * chunk.buffer_pj_per_byte,
        memory * units.dram_pj_per_byte,
    )
