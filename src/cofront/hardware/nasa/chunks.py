"""Chunks: what a chip offers, how much of it each array gets, and what surrounds the arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cofront.errors import UsageError
from cofront.hardware.die import Die
from cofront.hardware.flat import FlatConfig
from cofront.hardware.nasa.mapping import Chunk
from cofront.hardware.nasa.units import CHUNKS, KINDS, Kind, Units
from cofront.hardware.nasa.work import Layer

#: Bytes of a buffer that give it a byte per cycle: 256 bytes per cycle for all 128 KB.
BYTES_PER_PORT_BYTE = 512


@dataclass(frozen=True, kw_only=True)
class Silicon(Die):
    """What a chip at 45 nm offers: area for processing elements, a buffer, a clock, a memory. The defaults are ours.

    The area is that of 256 multiplying elements with registers; the buffer has the size of [Eyeriss16]'s, rounded up to
    a power of two, and an access costs as one of `access_bytes` does, whatever an array's share; the memory is that of
    a 64-bit port at 800 MT/s.
    """

    RESOURCES: ClassVar[tuple[str, ...]] = ("elements_um2", "buffer_bytes")
    KIND: ClassVar[str] = "silicon"

    elements_um2: int = 180747
    buffer_bytes: int = 128 * 1024
    clock_hz: float = 250e6
    max_clock_hz: float = 500e6
    dram_bytes_per_s: float = 6.4e9
    access_bytes: int = 128 * 1024
    name: str = "45nm"


@dataclass(frozen=True)
class Config(FlatConfig):
    """Processing elements and bytes of buffer of the three arrays (0 elements: absent), and the clock."""

    FIELDS: ClassVar[tuple[str, ...]] = ("clp", "slp", "alp", "clp_buffer", "slp_buffer", "alp_buffer")
    MOST: ClassVar[int] = (1 << 30) - 1
    LEAST: ClassVar[int] = 0

    clp: int
    slp: int
    alp: int
    clp_buffer: int
    slp_buffer: int
    alp_buffer: int
    clock_hz: float = 250e6

    @classmethod
    def of(cls, arrays: Mapping[Kind, tuple[int, int]], clock_hz: float) -> Config:
        """From elements and bytes of buffer of each array that there is."""
        have = {c: arrays.get(k, (0, 0)) for k, c in CHUNKS.items()}
        sizes = {c: n for c, (n, _) in have.items()} | {f"{c}_buffer": b for c, (_, b) in have.items()}
        return cls(**sizes, clock_hz=clock_hz)

    def elements(self, kind: Kind) -> int:
        return int(getattr(self, CHUNKS[kind]))

    def buffer(self, kind: Kind) -> int:
        return int(getattr(self, f"{CHUNKS[kind]}_buffer"))

    def resources(self, units: Units) -> dict[str, int]:
        """Of `Silicon.RESOURCES`."""
        return {
            "elements_um2": sum(elements_um2(self.elements(k), k, units) for k in KINDS),
            "buffer_bytes": sum(self.buffer(k) for k in KINDS),
        }

    def chunk(self, kind: Kind, silicon: Silicon, units: Units) -> Chunk:
        """One array; its buffer has ports in proportion to its size (ours)."""
        return chunk(kind, self.elements(kind), self.buffer(kind), self.clock_hz, silicon, units)

    def __str__(self) -> str:
        sizes = ((c.upper(), getattr(self, c), getattr(self, f"{c}_buffer")) for c in CHUNKS.values())
        return ", ".join(f"{c} {n} with {b / 1024:.3g} KB" for c, n, b in sizes if n)


def elements_um2(elements: int, kind: Kind, units: Units) -> int:
    """Area of so many elements, in whole square micrometres."""
    return math.ceil(elements * units.element_um2(kind) - 1e-6)


def chunk(kind: Kind, elements: int, buffer_bytes: int, clock_hz: float, silicon: Silicon, units: Units) -> Chunk:
    """An array as the mapper sees it."""
    return Chunk(
        kind, elements, buffer_bytes, max(buffer_bytes / BYTES_PER_PORT_BYTE, 1e-9),
        silicon.dram_bytes_per_s / clock_hz, units.buffer_pj_per_byte(silicon.access_bytes),
    )  # fmt: skip


def operations(layers: tuple[Layer, ...]) -> dict[Kind, int]:
    """Operations of each kind."""
    return {k: sum(x.work.operations for x in layers if x.kind == k) for k in KINDS}


def allocate(ops: Mapping[Kind, int], silicon: Silicon, units: Units, clock_hz: float | None = None) -> Config:
    """[NASA22]'s balance, elements in proportion to operations, in whole elements: N_k / ops_k as equal as they allow.

    Exactly: the least T such that ceil(ops_k / T) elements of every kind fit the area; no other choice that fits has a
    smaller greatest ceil(ops_k / N_k). What is left over stays unused. The buffer is shared in proportion to the
    elements: ours.
    """
    needed = {k: n for k, n in ops.items() if n}
    if not needed:
        raise UsageError("there is nothing to run: no operation of any kind")

    def counts(steps: int) -> dict[Kind, int]:
        return {k: -(-n // steps) for k, n in needed.items()}

    def room(steps: int) -> bool:
        return sum(elements_um2(n, k, units) for k, n in counts(steps).items()) <= silicon.elements_um2

    # Whole steps are enough: N elements do `ops` operations in ceil(ops / N) cycles.
    low, high = 0, max(needed.values())
    if not room(high):
        least = sum(elements_um2(1, k, units) for k in needed)
        raise UsageError(
            f"an element of each kind ({', '.join(needed)}) needs {least} um2, there are {silicon.elements_um2}: "
            "give the arrays more area"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if room(middle) else (middle, high)
    found = counts(high)
    total = sum(found.values())
    shares = {k: (n, silicon.buffer_bytes * n // total) for k, n in found.items()}
    return Config.of(shares, silicon.clock(clock_hz))
