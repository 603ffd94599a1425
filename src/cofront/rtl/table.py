"""Reading fewer bits than are stored: a table of the 256 stored values, computed rather than loaded.

Entry q is clamp(((start + q * step) >> shift) + zero, 0, top): one addition a cycle fills the idle half of the table
while the run before is under way.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

#: Bits of an entry.
ENTRY_BITS = 4
#: Bytes that one copy of the table serves: a memory of more read ports is not mapped to LUT RAM but to flip-flops.
COPY_BYTES = 16


class Table(wiring.Component):
    """Words of bytes through the table where it is `on`. `half` is looked up; `go` fills the other one."""

    def __init__(self, bus_bytes: int) -> None:
        self.bus_bytes = bus_bytes
        word = stream.Signature(unsigned(8 * bus_bytes))
        super().__init__(
            {
                "start": In(signed(32)),
                "step": In(16),
                "shift": In(8),
                "zero": In(8),
                "top": In(8),
                "go": In(1),
                "busy": Out(1),
                "half": In(1),
                "on": In(1),
                "input": In(word),
                "output": Out(word),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        total = Signal(signed(33))
        index, write_index = Signal(8), Signal(8)
        shifted = Signal(signed(33))
        storing = Signal()
        entry = Signal(signed(34))
        m.d.comb += entry.eq(shifted + self.zero)
        with m.If(self.go):
            m.d.sync += [self.busy.eq(1), index.eq(0), total.eq(self.start), storing.eq(0)]
        with m.Elif(self.busy):
            m.d.sync += [
                total.eq(total + self.step),
                shifted.eq(total >> self.shift[:5]),
                index.eq(index + 1),
                write_index.eq(index),
                storing.eq(1),
            ]
            with m.If(storing & (write_index == 255)):
                m.d.sync += self.busy.eq(0)
        for first in range(0, self.bus_bytes, COPY_BYTES):
            copy = memory.Memory(shape=ENTRY_BITS, depth=512, init=[])
            m.submodules += copy
            write = copy.write_port()
            m.d.comb += [
                write.addr.eq(write_index | (~self.half << 8)),
                write.data.eq(Mux(entry < 0, 0, Mux(entry > self.top, self.top, entry))[:ENTRY_BITS]),
                write.en.eq(storing & self.busy),
            ]
            for i in range(first, min(first + COPY_BYTES, self.bus_bytes)):
                read = copy.read_port(domain="comb")
                at = slice(8 * i, 8 * i + 8)
                m.d.comb += [
                    read.addr.eq(self.input.payload[at] | (self.half << 8)),
                    self.output.payload[at].eq(Mux(self.on, read.data, self.input.payload[at])),
                ]
        m.d.comb += [self.output.valid.eq(self.input.valid), self.input.ready.eq(self.output.ready)]
        return m
