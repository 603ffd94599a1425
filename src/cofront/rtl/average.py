"""Global average pooling of a stream of bus words: sums per channel, then one rescaling of each."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import up

#: Sums of 8-bit values, of at most that many pixels.
SUM_BITS = 24
MAX_PIXELS = ((1 << SUM_BITS) - 1) // 255

#: Width of products of sums, and the largest shift whose half they hold.
PRODUCT_BITS = 44
MAX_SHIFT = PRODUCT_BITS

#: Cycles from a sum to its result.
DELAY = 3


class Average(wiring.Component):
    """`pixels` pixels of `words` words in, one out: clamp((((sum - offset) * multiplier + half) >> shift) + zero).

    Sums are rescaled one channel a cycle with one multiplier. It has room for `channels`. A reset starts it anew.
    """

    def __init__(self, bus_bytes: int, channels: int) -> None:
        self.bus_bytes, self.depth = bus_bytes, up(channels, bus_bytes)
        word = stream.Signature(unsigned(8 * bus_bytes))
        super().__init__(
            {
                "pixels": In(32),
                "words": In(16),
                "offset": In(signed(32)),
                "multiplier": In(16),
                "shift": In(8),
                "zero": In(8),
                "top": In(8),
                "complete": Out(1),  # all pixels have come
                "input": In(word),
                "output": Out(word),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size = self.bus_bytes
        attrs = {"ram_style": "distributed"}
        m.submodules.sums = sums = memory.Memory(shape=size * SUM_BITS, depth=self.depth, init=[], attrs=attrs)
        read, write = sums.read_port(domain="comb"), sums.write_port()
        word, pixel = Signal(16), Signal(32)
        m.d.comb += [read.addr.eq(word), write.addr.eq(word)]
        old = [read.data[SUM_BITS * i : SUM_BITS * (i + 1)] for i in range(size)]
        new = [Mux(pixel == 0, 0, old[i]) + self.input.payload[8 * i : 8 * i + 8] for i in range(size)]
        m.d.comb += write.data.eq(Cat(x[:SUM_BITS] for x in new))

        # Rescaling: difference, product, rounded shift, clamp; the channel of a word that enters is `step`.
        going, full = Signal(), Signal()
        step = Signal(range(size + DELAY))
        # Sum and offset are below 2^24, so that their difference fits the operand of one slice, also of DSP48E1.
        difference, product = Signal(signed(25)), Signal(signed(PRODUCT_BITS))
        scaled = Signal(signed(PRODUCT_BITS))
        rounding = Signal(PRODUCT_BITS)
        moved = Signal(signed(PRODUCT_BITS + 1))
        result = Signal(8)
        packed = Signal(8 * size)
        m.d.comb += [
            rounding.eq((1 << self.shift[:6]) >> 1),
            moved.eq(scaled + self.zero),
            result.eq(Mux(moved < 0, 0, Mux(moved > self.top, self.top, moved))),
            self.output.payload.eq(packed),
            self.output.valid.eq(full),
            self.complete.eq(going),
        ]
        m.d.sync += [
            difference.eq(read.data.word_select(step, SUM_BITS) - self.offset),
            product.eq(difference * self.multiplier),
            scaled.eq((product + rounding) >> self.shift[:6]),
        ]
        with m.If(~going):
            m.d.comb += [self.input.ready.eq(1), write.en.eq(self.input.valid)]
            with m.If(self.input.valid):
                m.d.sync += word.eq(word + 1)
                with m.If(word + 1 == self.words):
                    m.d.sync += [word.eq(0), pixel.eq(pixel + 1)]
                    with m.If(pixel + 1 == self.pixels):
                        m.d.sync += going.eq(1)
        with m.Elif(full):
            m.d.sync += [full.eq(~self.output.ready), step.eq(0), word.eq(word + self.output.ready)]
        with m.Elif(word != self.words):
            m.d.sync += [step.eq(step + 1), full.eq(step == size + DELAY - 1)]
            with m.Switch(step):
                for i in range(size):
                    with m.Case(i + DELAY):
                        m.d.sync += packed[8 * i : 8 * i + 8].eq(result)
        return m
