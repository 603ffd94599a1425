"""The mapper against brute force, and the closed form of memory traffic against a loop nest that moves tiles."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.hardware.nasa.mapper import best_mapping
from cofront.hardware.nasa.mapping import (
    DATAFLOWS,
    ORDERS,
    Chunk,
    Mapping,
    dram_bytes,
    evaluate,
    fits,
    steps,
    tile_bytes,
)
from cofront.hardware.nasa.units import KINDS, load_units
from cofront.hardware.nasa.work import Work


def chunk(kind: str = "conv", elements: int = 6, capacity: int = 200, buffer: float = 4.0, dram: float = 1.0) -> Chunk:
    return Chunk(kind, elements, capacity, buffer, dram, load_units().buffer_pj_per_byte(capacity))


@st.composite
def works(draw: st.DrawFn, most: int = 5) -> Work:
    pick = lambda a, b: draw(st.integers(a, b))  # noqa: E731
    kernel, stride, top = draw(st.sampled_from([1, 3, 5])), pick(1, 2), 0
    top = kernel // 2
    rows = pick(1, 5)
    p = (rows + 2 * top - kernel) // stride + 1
    depthwise = draw(st.booleans())
    return Work(
        draw(st.sampled_from(KINDS)), pick(1, most), 1 if depthwise else pick(1, most), (kernel, kernel), p, p, rows,
        rows, stride, top, 1 if depthwise else pick(1, 2), depthwise, draw(st.sampled_from([1.0, 0.75])),
    )  # fmt: skip


def moved(work: Work, order: str, m: int, c: int, p: int) -> float:
    """Bytes by moving tiles: one of each operand is held, and a sum that is not complete comes back later."""
    loops = {
        "m": [range(i, min(i + m, work.m)) for i in range(0, work.m, m)],
        "c": [range(i, min(i + c, work.c)) for i in range(0, work.c, c)],
        "p": [range(i, min(i + p, work.p)) for i in range(0, work.p, p)],
    }
    total, held_w, held_i, held_o = 0.0, None, None, None
    done: dict[tuple, int] = {}

    def close(tile) -> float:
        """What putting a tile of outputs back moves: complete ones as they are stored, others wide."""
        complete = done[tile] == len(loops["c"])
        return len(tile[0]) * len(tile[1]) * work.q * (work.out_bytes if complete else 4)

    for step in product(*(loops[d] for d in order)):
        at = dict(zip(order, step, strict=True))
        w, o = (at["m"], at["c"]), (at["m"], at["p"])
        i = (at["m"] if work.depthwise else at["c"], at["p"])
        if w != held_w:
            total += len(w[0]) * len(w[1]) * work.taps * work.weight_bytes
            held_w = w
        if i != held_i:
            rows = {
                y * work.stride - work.top + k for y in i[1] for k in range(work.kernel[0])
            }  # those between two windows are read as well
            first, last = max(min(rows), 0), min(max(rows), work.in_rows - 1)
            total += len(i[0]) * max(last - first + 1, 0) * work.in_columns * work.in_bytes
            held_i = i
        if o != held_o:
            total += close(held_o) if held_o else 0
            if o in done:
                total += len(o[0]) * len(o[1]) * work.q * 4
            held_o = o
        done[o] = done.get(o, 0) + 1
    return work.repeats * (total + close(held_o))


@settings(max_examples=150)
@given(works(), st.data())
def test_memory_traffic_is_that_of_the_loop_nest(work: Work, data: st.DataObject) -> None:
    m, c, p = (data.draw(st.integers(1, n)) for n in (work.m, work.c, work.p))
    for order in ORDERS:
        assert float(dram_bytes(work, order, m, c, p)) == pytest.approx(moved(work, order, m, c, p))


def every_mapping(work: Work, elements: int):
    """All tiles, orders, dataflows and spreads, without any saving."""
    for tile in product(*(range(1, n + 1) for n in (work.m, work.c, work.p))):
        m, c, p = tile
        ends = {"WS": (m, c), "OS": (m, p * work.q), "IS": (c, p * work.q), "RS": (work.kernel[0], p, m)}
        for dataflow in DATAFLOWS:
            for spread in product(*(range(1, e + 1) for e in ends[dataflow])):
                if np.prod(spread) <= elements:
                    for order in ORDERS:
                        yield Mapping(dataflow, order, tile, spread)


@settings(max_examples=12)
@given(works(3), st.integers(1, 5), st.sampled_from([90, 160, 400]), st.sampled_from([0.5, 3.0]))
def test_the_mapper_is_brute_force(work: Work, elements: int, capacity: int, dram: float) -> None:
    work = replace(work, p=min(work.p, 3), q=min(work.q, 2))
    array, units = chunk(work.kind, elements, capacity, dram=dram), load_units()
    all_ = [evaluate(work, array, units, x) for x in every_mapping(work, elements) if fits(work, array, *x.tile)]
    found = {goal: best_mapping(work, array, units, goal) for goal in ("edp", "energy", "delay")}
    if not all_:
        assert set(found.values()) == {None}
        return
    assert found["edp"].edp == pytest.approx(min(x.edp for x in all_))
    assert found["energy"].energy_pj == pytest.approx(min(x.energy_pj for x in all_))
    assert found["delay"].cycles == min(x.cycles for x in all_)
    for dataflow in DATAFLOWS:
        least = min((x.edp for x in all_ if x.mapping.dataflow == dataflow), default=None)
        assert best_mapping(work, array, units, "edp", (dataflow,)).edp == pytest.approx(least)
    best = found["edp"]
    assert fits(work, array, *best.mapping.tile) and np.prod(best.mapping.spread) <= elements


@given(works(), st.integers(1, 9))
def test_arrays_do_no_more_than_an_operation_per_element_and_cycle(work: Work, elements: int) -> None:
    best = best_mapping(work, chunk(work.kind, elements, 10**6), load_units())
    assert best.operation_cycles * elements >= work.operations
    assert best.cycles == max(best.operation_cycles, best.dram_cycles, best.buffer_cycles)
    alone = work.m * work.c * work.taps * work.weight_bytes + work.m * work.p * work.q
    assert best.dram_bytes >= work.repeats * alone
    more = best_mapping(work, chunk(work.kind, elements + 1, 10**6), load_units())
    assert more.edp <= best.edp * (1 + 1e-12)


def test_a_layer_by_hand() -> None:
    """4 channels to 4, 1 x 1, 2 x 2 pixels, all in one tile, 4 elements."""
    work, units = Work("conv", 4, 4, (1, 1), 2, 2, 2, 2), load_units()
    array = chunk("conv", 4, 1000, 1e9, 1e9)
    assert tile_bytes(work, 4, 4, 2) == 16 + 16 + 16
    for dataflow, spread, cycles, elements in (
        ("WS", (4, 1), 16, 16 + 16 * 1 + 16 * (2 * 3 * 4 + 1)),  # weights once, inputs once for all m, 4 visits of sums
        ("OS", (4, 1), 16, 16 * 4 + 16 * 1 + 16),  # weights once per pixel
        ("IS", (4, 1), 16, 16 * 4 + 16 + 16),  # sums stay within the four input channels at once
    ):
        got, moved_ = steps(work, dataflow, 4, 4, 2, spread)
        assert (int(got), float(moved_)) == (cycles, elements), dataflow
    one = evaluate(work, array, units, Mapping("OS", "mcp", (4, 4, 2), (4, 1)))
    assert one.dram_bytes == 48 and one.buffer_bytes == 96 + 48
    assert one.operation_pj == pytest.approx(64 * (0.2 + 0.1 + 10 * 0.04))
    assert one.dram_pj == pytest.approx(48 * 162.5)
