"""The register file over AXI4-Lite: what is written, what is not, and what a host sees of a run."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator
from engine_bench import Host

from cofront.rtl import registers
from cofront.rtl.registers import Registers


def test_registers() -> None:
    dut = Registers()
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    class Engine:
        control = dut

    host: Any = Host(Engine())  # type: ignore[arg-type]
    starts: list[int] = []

    async def watch(ctx: Any) -> None:
        cycle = 0
        while True:
            _, _, start = await ctx.tick().sample(dut.start)
            cycle += 1
            if start:
                starts.append(cycle)

    async def test(ctx: Any) -> None:
        assert await host.read(ctx, registers.IDENTITY) == registers.IDENTITY_VALUE
        await host.write(ctx, registers.PROGRAM, 0x12345678)
        await host.write(ctx, registers.COUNT, 0xFFFF0007)
        await host.write(ctx, registers.BASE, 0x80000000)
        assert await host.read(ctx, registers.PROGRAM) == 0x12345678
        assert await host.read(ctx, registers.COUNT) == 7
        assert await host.read(ctx, registers.BASE) == 0x80000000
        await host.write(ctx, registers.IDENTITY, 1)
        assert await host.read(ctx, registers.IDENTITY) == registers.IDENTITY_VALUE
        assert await host.read(ctx, 0xF0) == 0
        assert not starts
        await host.write(ctx, registers.CONTROL, 1)
        assert len(starts) == 1
        ctx.set(dut.busy, 1)
        await host.write(ctx, registers.CONTROL, 1)
        assert len(starts) == 1, "a start while busy is ignored"
        assert await host.read(ctx, registers.STATUS) == 1
        for signal in (dut.failed, dut.done):
            ctx.set(signal, 1)
            await ctx.tick()
            ctx.set(signal, 0)
        ctx.set(dut.busy, 0)
        assert await host.read(ctx, registers.STATUS) == 6, "done and failed stay"
        ctx.set(dut.cycles, 123)
        assert await host.read(ctx, registers.CYCLES) == 123
        await host.write(ctx, registers.CONTROL, 1)
        assert await host.read(ctx, registers.STATUS) == 0, "a start clears them"

    sim.add_testbench(watch, background=True)
    sim.add_testbench(test)
    sim.run()
