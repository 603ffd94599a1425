"""Input of a 1 x 1 convolution: two pixels' channels, one being read while the other is written."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from cofront.rtl.config import beats
from cofront.rtl.front import front_ports


class PixelBuffer(wiring.Component):
    """Ping-pong buffer of `words` beats of `lanes` channels (a front, see `front.py`).

    input    a0 a1 b0 b1 .  .  c0 c1        two beats a pixel, two output beats
    stored         1  1  2  2  1  1
    beat           0  1  0  1  0  1  0 ..   of a, a, b, b
    next                    x           x
    """

    #: Cycles from `beat` to `acts`.
    latency = 1

    def __init__(self, bits: int, lanes: int, words: int) -> None:
        self.bits, self.lanes, self.words = bits, lanes, words
        super().__init__({"input": In(beats(bits, lanes)), **front_ports(bits, lanes)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = mem = memory.Memory(
            shape=unsigned(self.lanes * self.bits), depth=2 * self.words, init=[], attrs={"ram_style": "block"}
        )
        read, write = mem.read_port(), mem.write_port()
        stored, fill = Signal(range(3)), Signal(range(max(self.words, 2)))
        into, out_of = Signal(), Signal()  # which of the two pixels
        enter = self.input.valid & self.input.ready
        whole = enter & (fill == self.run.in_beats - 1)
        m.d.comb += [
            self.input.ready.eq(self.enable & (stored != 2)),
            write.addr.eq(fill + Mux(into, self.words, 0)),
            write.data.eq(self.input.payload),
            write.en.eq(enter),
            self.ready.eq(stored != 0),
            read.addr.eq(self.beat + Mux(out_of, self.words, 0)),
            self.acts.eq(read.data),
        ]
        with m.If(enter):
            m.d.sync += fill.eq(Mux(whole, 0, fill + 1))
        m.d.sync += [
            stored.eq(stored + whole - self.next),
            into.eq(into ^ whole),
            out_of.eq(out_of ^ self.next),
        ]
        with m.If(self.start):
            m.d.sync += [stored.eq(0), fill.eq(0), into.eq(0), out_of.eq(0)]
        return m
