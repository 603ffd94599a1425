"""A loaded memory holds what the image says, in the half it was told, in offset binary, at any stall pattern."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from rtl_bench import Bench, examples

from cofront.rtl.layout import WordFormat
from cofront.rtl.loader import Loaded


def load(dut, loads, stall, seed, cycles=None):
    """Memory words of each half after `loads` of (half, image bytes, words, expand, double); `cycles` of each load."""
    bench, out = Bench(dut, seed, stall), {}
    cycles = {} if cycles is None else cycles
    size = dut.bus_bits // 8
    words = [int.from_bytes(b[i : i + size], "little") for _, b, *_ in loads for i in range(0, len(b), size)]
    bench.send(dut.load.data, words)

    async def control(ctx):
        for half, _, count, expand, double in loads:
            ctx.set(dut.load.half, half)
            ctx.set(dut.load.words, count)
            ctx.set(dut.load.expand, expand)
            ctx.set(dut.load.double, double)
            ctx.set(dut.load.go, 1)
            await ctx.tick()
            ctx.set(dut.load.go, 0)
            while ctx.get(dut.load.busy):
                await ctx.tick()
                cycles[half] = cycles.get(half, 0) + 1
        for half, _, count, *_ in loads:
            ctx.set(dut.half, half)
            out[half] = []
            for i in range(count):
                ctx.set(dut.address, i)
                await ctx.tick()
                out[half].append(ctx.get(dut.data))

    bench.sim.add_testbench(control)
    bench.run()
    return out


def joined(lanes, bits):
    """(words, lanes) to one integer a word, lanes in offset binary."""
    return [sum((int(v) + (1 << (bits - 1))) << (i * bits) for i, v in enumerate(w)) for w in lanes]


@examples(20)
@given(
    lanes=st.integers(1, 40),
    bits=st.sampled_from([4, 8]),
    mode=st.sampled_from(["plain", "expand", "double"]),
    bus=st.sampled_from([64, 128]),
    stall=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 99),
)
def test_weights(lanes, bits, mode, bus, stall, seed):
    rng = np.random.default_rng(seed)
    mode = mode if bits == 8 else "plain"
    stored = {"plain": bits, "expand": 4, "double": 4}[mode]
    count = lanes * 2 if mode == "double" else lanes
    form = WordFormat(count * stored, bus // 8)
    images = [rng.integers(-(1 << (stored - 1)), 1 << (stored - 1), (5, count)) for _ in range(2)]
    dut = Loaded(bus, lanes * bits, 6, bits)
    loads = [(h, form.pack(x, stored), 5, mode == "expand", mode == "double") for h, x in enumerate(images)]
    got = load(dut, loads, stall, seed)
    for half, image in enumerate(images):
        assert got[half] == joined(image, 4 if mode == "double" else bits)


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_plain_words(lanes):
    rng = np.random.default_rng(lanes)
    image = rng.integers(0, 1 << 48, (4, lanes))
    got = load(Loaded(64, 48 * lanes, 4), [(1, WordFormat(48 * lanes, 8).pack(image, 48), 4, 0, 0)], 0.3, 0)
    assert got[1] == [sum(int(v) << (48 * i) for i, v in enumerate(w)) for w in image]


@pytest.mark.parametrize("lanes", [24, 40])
def test_wide_words_load_at_the_rate_of_the_bus(lanes):
    """Also weights of 4 bits, of which a bus word makes two."""
    cycles, form = {}, WordFormat(4 * lanes, 8)
    image = form.pack(np.zeros((16, lanes), int), 4)
    load(Loaded(64, 8 * lanes, 16, 8), [(0, image, 16, 1, 0)], 0.0, 0, cycles)
    assert cycles[0] <= len(image) // 8 + 2
