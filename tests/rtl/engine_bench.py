"""One image through an engine in Amaranth's simulator: memory behind its AXI port, a host at its registers."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.sim import Simulator
from axi_memory import AxiMemory

from cofront.rtl import registers
from cofront.rtl.engine import Engine
from cofront.rtl.program import Program


class Host:
    """Reads and writes registers over AXI4-Lite."""

    def __init__(self, engine: Engine) -> None:
        self.port = engine.control

    async def write(self, ctx: Any, address: int, value: int, strobes: int = 15) -> None:
        p = self.port
        for signal, content in ((p.awaddr, address), (p.wdata, value), (p.wstrb, strobes)):
            ctx.set(signal, content)
        for signal in (p.awvalid, p.wvalid):
            ctx.set(signal, 1)
        ctx.set(p.bready, 1)
        await ctx.tick().until(p.awready & p.wready)
        ctx.set(p.awvalid, 0)
        ctx.set(p.wvalid, 0)
        await ctx.tick().until(p.bvalid)

    async def read(self, ctx: Any, address: int) -> int:
        p = self.port
        ctx.set(p.araddr, address)
        ctx.set(p.arvalid, 1)
        ctx.set(p.rready, 1)
        await ctx.tick().until(p.arready)
        ctx.set(p.arvalid, 0)
        (value,) = await ctx.tick().sample(p.rdata).until(p.rvalid)
        return int(value)


def run_engine(
    engine: Engine,
    program: Program,
    image: np.ndarray,
    *,
    base: int = 0,
    latency: int = 4,
    stall: float = 0.0,
    seed: int = 0,
    fault: str = "",
    limit: int = 100_000,
    vcd: str | None = None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Memory after the run, relative to `base`, and the registers."""
    data = np.zeros(base + program.memory_bytes, np.uint8)
    data[base:] = program.memory(image)
    sim = Simulator(engine)
    sim.add_clock(1e-6)
    memory = AxiMemory(engine.memory, data, program.bus_bytes, latency=latency, stall=stall, seed=seed, fault=fault)
    memory.attach(sim)
    for kernel in engine.kernels.values():
        if hasattr(kernel, "attach"):
            kernel.attach(sim)
    host, out = Host(engine), {}

    async def test(ctx: Any) -> None:
        assert await host.read(ctx, registers.IDENTITY) == registers.IDENTITY_VALUE
        await host.write(ctx, registers.PROGRAM, 0)
        await host.write(ctx, registers.COUNT, program.descriptors)
        await host.write(ctx, registers.BASE, base)
        await host.write(ctx, registers.CONTROL, 1)
        for _ in range(limit):
            await ctx.tick()
            if ctx.get(engine.interrupt):
                break
        else:
            finished = await host.read(ctx, registers.FINISHED)
            raise AssertionError(f"{finished} of {program.descriptors} descriptors after {limit} cycles")
        for name in ("STATUS", "CYCLES", "FINISHED", "STAMP"):
            out[name.lower()] = await host.read(ctx, getattr(registers, name))

    sim.add_testbench(test)
    if vcd:
        with sim.write_vcd(vcd):
            sim.run()
    else:
        sim.run()
    return data[base:], {**out, "words_read": memory.words_read, "words_written": memory.words_written}
