"""AXI4-Lite registers of the engine.

0x00 control      write 1: start (ignored while busy)
0x04 status       bit 0 busy, bit 1 done since the last start, bit 2 a memory access failed
0x08 program      address of the first descriptor, relative to base
0x0c count        descriptors to run
0x10 base         added to every address on the memory port
0x14 cycles       clock cycles since start, held when done
0x18 finished     descriptors that have been run
0x1c stamp        cycles at which the last finished descriptor ended
0x20 identity     0x636f6602 ("cof", version of the descriptor format)
"""

from __future__ import annotations

from typing import Any, Final

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.axi import axi4_lite

CONTROL, STATUS, PROGRAM, COUNT, BASE, CYCLES, FINISHED, STAMP, IDENTITY = range(0, 36, 4)
IDENTITY_VALUE: Final = 0x636F6602


class Registers(wiring.Component):
    """The register file: one access of a kind at a time. Every output is a register's, or of registers only.

    A write is taken a cycle after address and data are both there, a read a cycle after its address; the answer comes
    in the cycle after that, and nothing more is taken before it has been accepted.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **axi4_lite(),
                "start": Out(1),
                "program": Out(32),
                "count": Out(16),
                "base": Out(32),
                "busy": In(1),
                "done": In(1),
                "failed": In(1),
                "cycles": In(32),
                "finished": In(16),
                "stamp": In(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        settable = {PROGRAM: self.program, COUNT: self.count, BASE: self.base}
        done, failed = Signal(), Signal()
        writes = Signal()  # in one cycle: what is valid stays so until it is taken
        word = self.awaddr[2:]  # which bytes of it, strobes say
        m.d.comb += [
            self.awready.eq(writes),
            self.wready.eq(writes),
            self.start.eq(writes & (word == CONTROL >> 2) & self.wdata[0] & self.wstrb[0] & ~self.busy),
        ]
        m.d.sync += [
            writes.eq(self.awvalid & self.wvalid & ~writes & ~self.bvalid),
            self.bvalid.eq(writes | (self.bvalid & ~self.bready)),
        ]
        with m.If(writes), m.Switch(word):
            for address, register in settable.items():
                with m.Case(address >> 2):
                    for i in range(min(4, -(-len(register) // 8))):
                        with m.If(self.wstrb[i]):
                            m.d.sync += register[8 * i : 8 * i + 8].eq(self.wdata[8 * i : 8 * i + 8])
        m.d.sync += [
            done.eq((done | self.done) & ~self.start),
            failed.eq((failed | self.failed) & ~self.start),
        ]
        reads = Signal()
        m.d.comb += self.arready.eq(reads)
        m.d.sync += [
            reads.eq(self.arvalid & ~reads & ~self.rvalid),
            self.rvalid.eq(reads | (self.rvalid & ~self.rready)),
        ]
        values: dict[int, Any] = {
            **settable,
            CYCLES: self.cycles,
            FINISHED: self.finished,
            STAMP: self.stamp,
            IDENTITY: IDENTITY_VALUE,
        }
        with m.If(reads):
            m.d.sync += self.rdata.eq(0)
            with m.Switch(self.araddr[2:]):
                with m.Case(STATUS >> 2):
                    m.d.sync += self.rdata.eq(self.busy | (done << 1) | (failed << 2))
                for address, value in values.items():
                    with m.Case(address >> 2):
                        m.d.sync += self.rdata.eq(value)
        return m
