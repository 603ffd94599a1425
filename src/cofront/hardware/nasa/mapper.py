"""The mapper: the mapping of least energy-delay product, exactly, over all tiles, orders, dataflows and spreads.

Exact because what is left out is never better: of the tiles that give as many steps and read as many rows the smallest;
of the orders those that move more bytes (energy and cycles both rise with them, and nothing else depends on the order);
of the last side of a spread all but the longest that the elements allow; and every tile whose memory traffic alone, at
the rate of an array that is always busy, is no better than what has been found.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cofront.hardware.nasa.mapping import (
    DATAFLOWS,
    ORDERS,
    Chunk,
    Dataflow,
    Mapped,
    Mapping,
    dram_bytes,
    evaluate,
    fits,
    steps,
    up,
)
from cofront.hardware.nasa.units import Units
from cofront.hardware.nasa.work import Work

Goal = Literal["edp", "energy", "delay"]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
#: Tiles that are looked at together, the most promising first.
BLOCK = 256


def tile_sizes(size: int) -> IntArray:
    """For each number of steps that `size` can be cut into, the smallest tile that does it."""
    return np.unique(up(size, np.arange(1, size + 1)))


def row_tiles(work: Work) -> IntArray:
    """Rows of tiles: the smallest of those of equal steps, and larger ones that read fewer rows."""
    kept: dict[int, tuple[int, int]] = {}
    out = []
    for rows in range(1, work.p + 1):
        count, read = up(work.p, rows), int(work.rows_read[rows])
        if count not in kept or read < kept[count][1]:
            kept[count] = rows, read
            out.append(rows)
    return np.array(out)


def tiles(work: Work, chunk: Chunk) -> tuple[IntArray, IntArray, IntArray]:
    """(t,) output channels, input channels and rows of the tiles that fit."""
    grid = np.meshgrid(tile_sizes(work.m), tile_sizes(work.c), row_tiles(work), indexing="ij")
    m, c, p = (g.ravel() for g in grid)
    kept = np.asarray(fits(work, chunk, m, c, p), bool)
    return m[kept], c[kept], p[kept]


def spreads(
    work: Work, dataflow: Dataflow, m: IntArray, c: IntArray, p: IntArray, elements: int
) -> tuple[IntArray, ...]:
    """The sides of the array within tiles (t,), the last as long as the elements allow; they broadcast to (u, t)."""
    if dataflow == "RS":
        rows, outs = np.meshgrid(np.arange(1, work.kernel[0] + 1), np.arange(1, work.p + 1), indexing="ij")
        kept = (rows * outs <= elements).ravel()
        rows, outs = rows.ravel()[kept, None], np.minimum(outs.ravel()[kept, None], p)
        return rows, outs, np.minimum(elements // (rows * outs), m)
    own = c if dataflow == "IS" else m
    first = np.minimum(np.arange(1, min(int(own.max()), elements) + 1)[:, None], own)
    return first, np.minimum(elements // first, c if dataflow == "WS" else p * work.q)


@lru_cache(maxsize=16384)
def best_mapping(
    work: Work, chunk: Chunk, units: Units, goal: Goal = "edp", dataflows: tuple[Dataflow, ...] = DATAFLOWS
) -> Mapped | None:
    """The best mapping, or None when not even the smallest tile fits."""
    m, c, p = tiles(work, chunk)
    if not len(m):
        return None
    by_order = np.array([np.broadcast_to(dram_bytes(work, o, m, c, p), m.shape) for o in ORDERS], float)
    order, memory = by_order.argmin(0), by_order.min(0)
    fixed_pj = work.operations * units.operation_pj(work.kind) + memory * units.dram_pj_per_byte
    dram_cycles = np.ceil(memory / chunk.dram_bytes_per_cycle)
    bound = _value(
        goal, fixed_pj + memory * chunk.buffer_pj_per_byte, np.maximum(dram_cycles, work.operations / chunk.elements)
    )
    ranked = np.argsort(bound, kind="stable")
    best: tuple[float, Mapping] | None = None
    for start in range(0, len(ranked), BLOCK):
        block = ranked[start : start + BLOCK]
        if best is not None and bound[block[0]] >= best[0]:
            break
        tile = m[block], c[block], p[block]
        for dataflow in dataflows:
            sides = spreads(work, dataflow, *tile, chunk.elements)
            cycles, moved = steps(work, dataflow, *tile, sides)
            buffer = moved + memory[block]
            delay = np.maximum(cycles, np.ceil(buffer / chunk.buffer_bytes_per_cycle))
            delay = np.maximum(delay, dram_cycles[block])
            value = _value(goal, fixed_pj[block] + buffer * chunk.buffer_pj_per_byte, delay)
            i, t = np.unravel_index(int(value.argmin()), value.shape)
            if best is None or value[i, t] < best[0]:
                spread = tuple(int(np.broadcast_to(s, value.shape)[i, t]) for s in sides)
                chosen = (int(tile[0][t]), int(tile[1][t]), int(tile[2][t]))
                best = float(value[i, t]), Mapping(dataflow, ORDERS[int(order[block[t]])], chosen, spread)
    assert best is not None
    return evaluate(work, chunk, units, best[1])


def _value(goal: Goal, energy: FloatArray, delay: FloatArray) -> FloatArray:
    """What is minimised, in the shape of the two together."""
    energy, delay = np.broadcast_arrays(energy, delay)
    return np.asarray({"edp": energy * delay, "energy": energy, "delay": delay}[goal], float)
