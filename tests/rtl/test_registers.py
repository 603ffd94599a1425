"""The register file over AXI4-Lite: what is written, what is not, and what a host sees of a run."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator
from engine_bench import Host

from cofront.rtl import registers
from cofront.rtl.registers import Registers


def clocked() -> tuple[Registers, Simulator]:
    dut = Registers()
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    return dut, sim


def host_of(dut: Registers) -> Any:
    class Engine:
        control = dut

    return Host(Engine())  # type: ignore[arg-type]


def test_registers() -> None:
    dut, sim = clocked()
    host = host_of(dut)
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


INPUTS = ("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid", "rready")
OUTPUTS = ("awready", "wready", "bvalid", "bresp", "arready", "rdata", "rvalid", "rresp")


def test_no_output_follows_an_input_within_a_cycle() -> None:
    dut, sim = clocked()
    rng = random.Random(0)
    taken = 0

    async def test(ctx: Any) -> None:
        nonlocal taken
        for _ in range(400):
            before = [ctx.get(getattr(dut, name)) for name in OUTPUTS]
            for name in INPUTS:
                ctx.set(getattr(dut, name), rng.getrandbits(len(getattr(dut, name))))
            assert [ctx.get(getattr(dut, name)) for name in OUTPUTS] == before
            taken += before[OUTPUTS.index("bvalid")] + before[OUTPUTS.index("rvalid")]
            await ctx.tick()

    sim.add_testbench(test)
    sim.run()
    assert taken > 50


def test_a_byte_is_written_at_its_own_address() -> None:
    dut, sim = clocked()

    host = host_of(dut)

    async def test(ctx: Any) -> None:
        await host.write(ctx, registers.PROGRAM, 0x11223344)
        await host.write(ctx, registers.PROGRAM + 1, 0xAABBCCDD, strobes=0b0010)
        await host.write(ctx, registers.COUNT + 1, 0xAABBCCDD, strobes=0b0010)
        assert await host.read(ctx, registers.PROGRAM) == 0x1122CC44
        assert await host.read(ctx, registers.PROGRAM + 2) == 0x1122CC44
        assert await host.read(ctx, registers.COUNT) == 0xCC00
        assert not ctx.get(dut.start)

    sim.add_testbench(test)
    sim.run()


def test_accesses_follow_each_other_and_wait_for_their_answers() -> None:
    """Random managers, which hold what they present: every access is answered once, and in order."""
    dut, sim = clocked()
    rng = random.Random(1)
    answers: list[int] = []
    acknowledged = 0

    async def offer(ctx: Any, channel: str, **values: int) -> None:
        for _ in range(rng.randrange(3)):
            await ctx.tick()
        for name, value in values.items():
            ctx.set(getattr(dut, name), value)
        ctx.set(getattr(dut, f"{channel}valid"), 1)
        await ctx.tick().until(getattr(dut, f"{channel}ready"))
        ctx.set(getattr(dut, f"{channel}valid"), 0)

    async def addresses(ctx: Any) -> None:
        for _ in range(20):
            await offer(ctx, "aw", awaddr=registers.PROGRAM)

    async def words(ctx: Any) -> None:
        for i in range(20):
            await offer(ctx, "w", wdata=i + 1, wstrb=15)

    async def reads(ctx: Any) -> None:
        for i in range(20):
            await offer(ctx, "ar", araddr=(registers.IDENTITY, registers.PROGRAM)[i % 2])

    async def collect(ctx: Any) -> None:
        nonlocal acknowledged
        while acknowledged < 20 or len(answers) < 20:
            b, r = rng.randrange(2), rng.randrange(2)
            ctx.set(dut.bready, b)
            ctx.set(dut.rready, r)
            _, _, bvalid, rvalid, value = await ctx.tick().sample(dut.bvalid, dut.rvalid, dut.rdata)
            acknowledged += b and bvalid
            if r and rvalid:
                answers.append(value)

    for bench in (addresses, words, reads, collect):
        sim.add_testbench(bench)
    sim.run_until(1e-6 * 2000)
    assert acknowledged == 20
    assert answers[::2] == [registers.IDENTITY_VALUE] * 10
    assert answers[1::2] == sorted(answers[1::2]) and answers[-1] <= 20
