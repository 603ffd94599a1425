"""Readers, writer and alignment against NumPy, through an AXI port whose memory stalls at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.sim import Simulator
from axi_memory import AxiMemory, Steady
from rtl_bench import Bench

from cofront.rtl.axi import ReadArbiter, axi4, connect
from cofront.rtl.memory import Align, Place, Reader, Writer


class Copier(wiring.Component):
    """Two readers whose words are joined alternately and written; all a manager port does."""

    def __init__(self, bus_bits: int) -> None:
        self.bus_bits = bus_bits
        super().__init__(axi4(bus_bits))
        self.readers = [Reader(bus_bits), Reader(bus_bits)]
        self.writer = Writer(bus_bits)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = ReadArbiter(2, self.bus_bits)
        m.submodules += [*self.readers, self.writer]
        for i, reader in enumerate(self.readers):
            wiring.connect(m, reader.ask, getattr(arbiter, f"ask_{i}"))
            m.d.comb += [reader.valid.eq(getattr(arbiter, f"valid_{i}")), reader.data.eq(arbiter.data)]
        one, two = (r.output for r in self.readers)
        source = self.writer.input
        m.d.comb += [
            source.payload.data.eq(one.payload ^ two.payload),
            source.payload.strobe.eq(-1),
            source.valid.eq(one.valid & two.valid),
            one.ready.eq(source.ready & two.valid),
            two.ready.eq(source.ready & one.valid),
        ]
        connect(m, self, arbiter, self.writer, 0, self.bus_bits)
        return m


def addresses(p: dict[str, int], bus: int) -> np.ndarray:
    rows = np.arange(p["rows"])[:, None, None] * p["row_pitch"]
    columns = np.arange(p["columns"])[:, None] * p["column_pitch"]
    return (p["base"] + rows + columns + np.arange(p["run"]) * bus).reshape(-1)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_patterns_through_axi(data: st.DataObject) -> None:
    whole = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    bus = data.draw(st.sampled_from([8, 16, 64]))
    run, columns, rows = whole(1, 40), whole(1, 4), whole(1, 3)
    patterns = []
    for i in range(3):
        column_pitch = (run + whole(0, 3)) * bus
        row_pitch = columns * column_pitch + whole(0, 2) * bus
        base = (i << 16) + whole(0, 80) * bus
        patterns.append(
            {"base": base, "run": run, "columns": columns, "rows": rows}
            | {"column_pitch": column_pitch, "row_pitch": row_pitch}
        )
    rng = np.random.default_rng(whole(0, 999))
    content = rng.integers(0, 256, 3 << 16).astype(np.uint8)
    expected = content.copy()
    at = [addresses(p, bus)[:, None] + np.arange(bus) for p in patterns]
    expected[at[2]] = content[at[0]] ^ content[at[1]]
    dut = Copier(8 * bus)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    hold = data.draw(st.sampled_from(["", "aw", "w"]))
    memory = AxiMemory(dut, content, bus, latency=whole(1, 30), stall=whole(0, 1) * 0.3, seed=whole(0, 99), hold=hold)
    memory.attach(sim)
    cycles = 0

    async def test(ctx: Any) -> None:
        nonlocal cycles
        ports = [*dut.readers, dut.writer]
        for port, pattern in zip(ports, patterns, strict=True):
            ctx.set(port.pattern, pattern)
            ctx.set(port.start, 1)
        await ctx.tick()
        for port in ports:
            ctx.set(port.start, 0)
        while any(ctx.get(port.busy) for port in ports):
            await ctx.tick()
            cycles += 1
            assert cycles < 20000

    sim.add_testbench(test)
    sim.run()
    np.testing.assert_array_equal(content, expected)
    assert memory.words_written == run * columns * rows


@pytest.mark.parametrize("hold", ["aw", "w"])
def test_neither_write_channel_waits_for_the_other(hold: str) -> None:
    """AXI lets a subordinate take the address only with the data, or the data only with the address."""
    bus, words = 8, 50
    dut = Copier(8 * bus)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    content = np.random.default_rng(0).integers(0, 256, 1 << 15).astype(np.uint8)
    expected = content[: words * bus] ^ content[0x2000 : 0x2000 + words * bus]
    memory = AxiMemory(dut, content, bus, hold=hold)
    memory.attach(sim)

    async def test(ctx: Any) -> None:
        for i, port in enumerate([*dut.readers, dut.writer]):
            flat = {"run": words, "columns": 1, "rows": 1, "column_pitch": 0, "row_pitch": 0}
            ctx.set(port.pattern, {"base": 0x2000 * i, **flat})
            ctx.set(port.start, 1)
        await ctx.tick()
        for port in [*dut.readers, dut.writer]:
            ctx.set(port.start, 0)
        for _ in range(600):
            await ctx.tick()
            if not ctx.get(dut.writer.busy):
                return
        raise AssertionError("nothing moves any more")

    sim.add_testbench(test)
    sim.run()
    np.testing.assert_array_equal(content[0x4000 : 0x4000 + words * bus], expected)


def test_long_streams_run_at_the_rate_of_the_port() -> None:
    bus, words = 8, 600
    dut = Copier(8 * bus)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    content = np.zeros(1 << 16, np.uint8)
    memory = AxiMemory(dut, content, bus, latency=20)
    memory.attach(sim)
    flat = {"run": words, "columns": 1, "rows": 1, "column_pitch": 0, "row_pitch": 0}
    cycles = 0

    async def test(ctx: Any) -> None:
        nonlocal cycles
        for i, port in enumerate([*dut.readers, dut.writer]):
            ctx.set(port.pattern, {"base": 0x2000 * i, **flat})
            ctx.set(port.start, 1)
        await ctx.tick()
        for port in [*dut.readers, dut.writer]:
            ctx.set(port.start, 0)
        while ctx.get(dut.writer.busy):
            await ctx.tick()
            cycles += 1

    sim.add_testbench(test)
    sim.run()
    assert 2 * words <= cycles <= 2 * words + 100  # two words are read for each


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_align_and_place_are_inverse(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([4, 8, 16]))
    skip = data.draw(st.integers(0, size - 1))
    channels, pixels = data.draw(st.integers(1, 3 * size)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    values = rng.integers(0, 256, (pixels, channels)).astype(np.uint8)
    wide = -(-(skip + channels) // size) * size
    placed = rng.integers(0, 256, (pixels, wide)).astype(np.uint8)
    placed[:, skip : skip + channels] = values
    words = [int.from_bytes(w.tobytes(), "little") for w in placed.reshape(-1, size)]
    out_words = -(-channels // size)
    got: list[Any] = []
    bench = Bench(Align(size), seed=1, stall=data.draw(st.sampled_from([0, 0.4])))
    bench.set(skip=skip, channels=channels)
    bench.send(bench.dut.input, words)
    last = (1 << 8 * (channels - (out_words - 1) * size)) - 1  # bytes behind a pixel may be anything
    bench.take(
        bench.dut.output,
        pixels * out_words,
        got,
        used=lambda i, word: word & last if i % out_words == out_words - 1 else word,
    )
    bench.run()
    raw = np.array([list(w.to_bytes(size, "little")) for w in got], np.uint8).reshape(pixels, -1)
    np.testing.assert_array_equal(raw[:, :channels], values)

    padded = rng.integers(0, 256, (pixels, out_words * size)).astype(np.uint8)
    padded[:, :channels] = values
    flat: list[Any] = []
    bench = Bench(Place(size), seed=2, stall=data.draw(st.sampled_from([0, 0.4])))
    bench.set(skip=skip, channels=channels)
    bench.send(bench.dut.input, [int.from_bytes(w.tobytes(), "little") for w in padded.reshape(-1, size)])
    _take_words(bench, flat, pixels * wide // size)
    bench.run()
    masks = np.array([[(s >> j) & 1 for j in range(size)] for _, s in flat]).reshape(pixels, wide)
    expected = np.zeros_like(masks)
    expected[:, skip : skip + channels] = 1
    np.testing.assert_array_equal(masks, expected)
    raw = np.array([list(d.to_bytes(size, "little")) for d, _ in flat], np.uint8).reshape(pixels, wide)
    np.testing.assert_array_equal(raw[:, skip : skip + channels], values)


def _take_words(bench: Bench, into: list[Any], count: int) -> None:
    """`count` words and no more, each of which waits as it is until it is taken."""
    port: stream.Interface = bench.dut.output
    steady = Steady("")

    async def collect(ctx: Any) -> None:
        ready, left = True, 8
        for _ in range(2000):
            ctx.set(port.ready, ready)
            _, _, valid, value, strobe = await ctx.tick().sample(port.valid, port.payload.data, port.payload.strobe)
            masked = [value >> 8 * i & 255 for i in range(len(port.payload.strobe)) if strobe >> i & 1]
            steady.check(ready, valid, strobe, masked)
            if valid and ready:
                into.append((value, strobe))
            assert len(into) <= count
            left -= len(into) == count
            if not left:
                return
            ready = len(into) == count or bench.random.random() >= bench.stall
        raise AssertionError(f"{len(into)} of {count} words")

    bench.sim.add_testbench(collect)
