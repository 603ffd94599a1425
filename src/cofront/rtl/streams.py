"""Parts between kernels: a small queue, and a gearbox that regroups the channels of a pixel into other beats."""

from __future__ import annotations

from math import gcd
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import beats


class Queue(wiring.Component):
    """First in, first out, in LUT memory. A payload can leave one cycle after it came; `level` payloads are stored."""

    def __init__(self, shape: Any, depth: int) -> None:
        self.shape, self.depth = shape, depth
        super().__init__(
            {
                "input": In(stream.Signature(shape)),
                "output": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = f = fifo.SyncFIFO(width=Shape.cast(self.shape).width, depth=self.depth)
        m.d.comb += [
            f.w_data.eq(self.input.payload),
            f.w_en.eq(self.input.valid),
            self.input.ready.eq(f.w_rdy),
            Value.cast(self.output.payload).eq(f.r_data),
            self.output.valid.eq(f.r_rdy),
            f.r_en.eq(self.output.ready),
            self.level.eq(f.level),
        ]
        return m


class Gearbox(wiring.Component):
    """Beats of `lanes_in` channels to beats of `lanes_out`, pixel by pixel; `channels` says where a pixel ends.

    A buffer of N = lanes_in + lanes_out - g elements, g their greatest common divisor: within a pixel every beat starts
    at a multiple of g, so an element has N / g places it can be written to. A new pixel starts at place 0 in the very
    cycle in which the last beat of the one before leaves: neither side ever waits for the other without need.

        8 -> 12 channels, pixels of 20       fill  0   8  16->4  12->0  8 ...
                                             in   a0  a1  a2     b0    b1
                                             out           A0     A1
    """

    def __init__(self, bits: int, lanes_in: int, lanes_out: int) -> None:
        self.bits, self.lanes_in, self.lanes_out = bits, lanes_in, lanes_out
        super().__init__(
            {
                "clear": In(1),
                "channels": In(16),
                "input": In(beats(bits, lanes_in)),
                "output": Out(beats(bits, lanes_out)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.lanes_in == self.lanes_out:
            m.d.comb += [
                Value.cast(self.output.payload).eq(Value.cast(self.input.payload)),
                self.output.valid.eq(self.input.valid),
                self.input.ready.eq(self.output.ready),
            ]
            return m
        unit = gcd(self.lanes_in, self.lanes_out)
        step_in, step_out = self.lanes_in // unit, self.lanes_out // unit
        places, width = step_in + step_out - 1, unit * self.bits
        buffer = Signal(places * width)
        fill = Signal(range(places + 1))  # units in the buffer
        got, given = Signal(17), Signal(17)  # channels of the pixel in the buffer that came and went

        complete = got >= self.channels
        last = given + self.lanes_out >= self.channels
        m.d.comb += [
            Value.cast(self.output.payload).eq(buffer),
            self.output.valid.eq((fill >= step_out) | complete),
        ]
        leave = self.output.valid & self.output.ready
        ends = leave & last
        rest = Signal.like(fill)  # units left after this cycle's output
        m.d.comb += rest.eq(Mux(leave, Mux(last | (fill < step_out), 0, fill - step_out), fill))
        m.d.comb += self.input.ready.eq(Mux(complete, ends, rest + step_in <= places))
        enter = self.input.valid & self.input.ready

        kept = Mux(leave, buffer >> (step_out * width), buffer)
        slots = [kept[i * width : (i + 1) * width] for i in range(places)]
        new = [self.input.payload.as_value()[i * width : (i + 1) * width] for i in range(step_in)]
        m.d.sync += buffer.eq(Cat(slots))
        with m.If(enter), m.Switch(rest):
            for at in range(places - step_in + 1):
                with m.Case(at):
                    m.d.sync += buffer.eq(Cat(slots[:at], new, slots[at + step_in :]))
        m.d.sync += fill.eq(rest + Mux(enter, step_in, 0))
        m.d.sync += [
            got.eq(Mux(ends, 0, got) + Mux(enter, self.lanes_in, 0)),
            given.eq(Mux(ends, 0, given + Mux(leave, self.lanes_out, 0))),
        ]
        with m.If(self.clear):
            m.d.sync += [fill.eq(0), got.eq(0), given.eq(0)]
        return m


def delayed(m: Module, value: Any, cycles: int, name: str) -> Any:
    """`value` some cycles later."""
    for i in range(cycles):
        later = Signal(value.shape(), name=f"{name}_{i + 1}")
        m.d.sync += later.eq(value)
        value = later
    return value
