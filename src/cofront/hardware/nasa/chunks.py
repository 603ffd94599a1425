"""Chunks: how much of an area each array gets, and what surrounds the arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cofront.errors import InputError, UsageError
from cofront.hardware.nasa.mapping import Chunk
from cofront.hardware.nasa.units import CHUNKS, KINDS, Kind, Units
from cofront.hardware.nasa.work import Layer


@dataclass(frozen=True)
class Silicon:
    """What a chip offers: area for processing elements, one buffer, a clock, a memory. The defaults are ours.

    The area is that of 256 multiplying elements with registers; the buffer has the size of [Eyeriss16]'s, rounded up to
    a power of two; the memory is that of a 64-bit port at 800 MT/s.
    """

    elements_um2: float = 256 * 706.04
    buffer_bytes: int = 128 * 1024
    buffer_bytes_per_cycle: float = 256.0
    clock_hz: float = 250e6
    dram_bytes_per_s: float = 6.4e9

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
                raise InputError(f"silicon: {f.name} must be a number above 0, got {value!r}")


@dataclass(frozen=True)
class Config:
    """Processing elements of the three arrays; 0: absent."""

    clp: int
    slp: int
    alp: int

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 24:
                raise InputError(f"accelerator: {f.name} must be a whole number of elements, got {value!r}")
        if not self.clp + self.slp + self.alp:
            raise InputError("accelerator: at least one array must have an element")

    def elements(self, kind: Kind) -> int:
        return int(getattr(self, CHUNKS[kind]))

    def area_um2(self, units: Units) -> float:
        return sum(self.elements(k) * units.element_um2(k) for k in KINDS)

    def chunk(self, kind: Kind, silicon: Silicon, units: Units) -> Chunk:
        """One array; buffer and ports are shared in proportion to the elements (ours)."""
        share = self.elements(kind) / (self.clp + self.slp + self.alp)
        return Chunk(
            kind, self.elements(kind), int(silicon.buffer_bytes * share), silicon.buffer_bytes_per_cycle * share,
            silicon.dram_bytes_per_s / silicon.clock_hz, units.buffer_pj_per_byte(silicon.buffer_bytes),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Config:
        """What `to_dict` gave; an InputError otherwise."""
        names = [f.name for f in fields(cls)]
        if not isinstance(data, Mapping) or set(data) != set(names):
            raise InputError(f"accelerator: expected an object with {', '.join(names)}, got {data!r:.80}")
        return cls(**data)

    def __str__(self) -> str:
        return ", ".join(f"{c.upper()} {getattr(self, c)}" for c in CHUNKS.values() if getattr(self, c))


def operations(layers: tuple[Layer, ...]) -> dict[Kind, int]:
    """Operations of each kind."""
    return {k: sum(x.work.operations for x in layers if x.kind == k) for k in KINDS}


def allocate(ops: Mapping[Kind, int], area_um2: float, units: Units) -> Config:
    """[NASA22]'s balance, elements in proportion to operations, in whole elements: N_k / ops_k as equal as they allow.

    Exactly: the least T such that ceil(ops_k / T) elements of every kind fit the area; no other choice that fits has a
    smaller greatest ops_k / N_k. What is left over stays unused.
    """
    needed = {k: n for k, n in ops.items() if n}
    each = {k: units.element_um2(k) for k in needed}
    if not needed:
        raise UsageError("there is nothing to run: no operation of any kind")
    if sum(each.values()) > area_um2:
        raise UsageError(
            f"an element of each kind ({', '.join(needed)}) needs {sum(each.values()):.0f} um2, there are "
            f"{area_um2:.0f}: give the arrays more area"
        )

    def counts(steps: int) -> dict[Kind, int]:
        return {k: -(-n // steps) for k, n in needed.items()}

    def room(steps: int) -> bool:
        return sum(n * each[k] for k, n in counts(steps).items()) <= area_um2

    # Whole steps are enough: N elements do `ops` operations in ceil(ops / N) cycles.
    low, high = 0, max(needed.values())
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if room(middle) else (middle, high)
    found = counts(high)
    return Config(**{CHUNKS[k]: found.get(k, 0) for k in KINDS})
