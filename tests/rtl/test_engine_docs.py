"""The tables of docs/engine.md are those of the code, and its example of register accesses works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cofront.hardware.subgraph.calls import KERNELS
from cofront.rtl.descriptor import FIELDS, SIZE_BYTES, WORDS

TEXT = (Path(__file__).parents[2] / "docs" / "engine.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (0x[0-9a-f]{2}) \| (\d+)(?::(\d+))? \| (\w+) \| (.*?) ?\|$", re.M)


def rows(text):
    """(byte, low bit, bits, name, words) of a table of fields."""
    for byte, high, low, name, what in ROW.findall(text):
        low = int(low or high)
        yield int(byte, 16), low, int(high) - low + 1, name, what


def test_every_field_of_a_descriptor_is_described_where_it_is():
    common, kernel = TEXT.split("Then each kernel has nine words")
    found = {name: (byte, low, bits) for byte, low, bits, name, _ in rows(common)}
    starts = dict(re.findall(r"(conv|dw|pw) from (?:byte )?(0x[0-9a-f]+)", kernel))
    assert set(starts) == set(KERNELS)
    for each, start in starts.items():
        for byte, low, bits, name, _ in rows(kernel):
            found[f"{each}_{name}"] = (int(start, 16) + byte, low, bits)
    assert found == {name: (4 * f.word, f.low, f.bits) for name, f in FIELDS.items()}
    signed = {name for name, f in FIELDS.items() if f.signed}
    told = {name for *_, name, what in rows(common) if what.startswith("signed")}
    told |= {f"{k}_{name}" for k in KERNELS for *_, name, what in rows(kernel) if what.startswith("signed")}
    assert told == signed
    assert f"{SIZE_BYTES} bytes each" in TEXT and f"{SIZE_BYTES // 4} little-endian words" in TEXT
    assert len(WORDS) == 28 + 9 * len(KERNELS)


def test_registers_are_where_they_are_said_to_be():
    pytest.importorskip("amaranth")
    from cofront.rtl import registers

    for address, name in re.findall(r"^\| (0x[0-9a-f]{2}) \| (\w+) \| (?:read|write)", TEXT, re.M):
        assert getattr(registers, name.upper()) == int(address, 16)
    assert len(re.findall(r"^\| 0x[0-9a-f]{2} \| \w+ \| (?:read|write)", TEXT, re.M)) == 9
    assert f"{registers.IDENTITY_VALUE:#x}" in TEXT


def test_the_example_on_the_register_file():
    """Writes and reads of the example, in their order, on the RTL; the run itself is played."""
    pytest.importorskip("amaranth")
    from amaranth.sim import Simulator

    from cofront.rtl.registers import Registers

    text = re.search(r"```registers\n(.*?)```", TEXT, re.S)
    assert text is not None
    steps = re.findall(r"^(read|write) +(0x\w+) (0x\w+)", text.group(1), re.M)
    assert len(steps) == 7
    dut, starts, got = Registers(), [], []
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def bench(ctx):
        ctx.set(dut.bready, 1)
        ctx.set(dut.rready, 1)
        for kind, address, value in steps:
            if kind == "write":
                for name, given in (("awaddr", address), ("wdata", value)):
                    ctx.set(getattr(dut, name), int(given, 16))
                ctx.set(dut.wstrb, 15)
                ctx.set(dut.awvalid, 1)
                ctx.set(dut.wvalid, 1)
                (start,) = await ctx.tick().sample(dut.start).until(dut.awready & dut.wready)
                starts.append(start)
                ctx.set(dut.awvalid, 0)
                ctx.set(dut.wvalid, 0)
                ctx.set(dut.busy, starts[-1])
            else:
                ctx.set(dut.araddr, int(address, 16))
                ctx.set(dut.arvalid, 1)
                await ctx.tick().until(dut.arready)
                ctx.set(dut.arvalid, 0)
                assert ctx.get(dut.rvalid)
                got.append((ctx.get(dut.rdata), int(value, 16)))
                if got[-1][0] & 1 and address == "0x04":  # busy was seen: the run ends
                    ctx.set(dut.busy, 0)
                    ctx.set(dut.done, 1)
                    await ctx.tick()
                    ctx.set(dut.done, 0)
        assert (ctx.get(dut.base), ctx.get(dut.program), ctx.get(dut.count)) == (0x10000000, 0, 0x29)

    sim.add_testbench(bench)
    sim.run()
    assert all(a == b for a, b in got) and starts == [0, 0, 0, 1]
