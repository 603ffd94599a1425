"""Memories of two halves: a kernel reads one while a loader fills the other from a stream of bus words."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from cofront.hardware.subgraph.formulas import LUTRAM_WORDS
from cofront.rtl.config import LoadPort, up


class Loaded(wiring.Component):
    """2 x `half_words` words of `word_bits`, filled through `load`; `data` follows `half` and `address` by a cycle.

    Bus words are those of `layout.WordFormat`: a memory word of more than a bus word takes whole bus words, of which
    all but the last wait in `parts`; smaller ones share a bus word and are cut out one a cycle.

        bus      A0   A1   B0   B1        two bus words a memory word: a write every other cycle
        parts         A0        B0
        write         A1A0      B1B0

    `lane_bits`: signed lanes, to be stored in offset binary; 0: plain words. Where it is 8, `load.expand` says that the
    bus carries lanes of 4 bits, which become 8, and `load.double` that every 8 bits are two lanes of 4.
    """

    def __init__(self, bus_bits: int, word_bits: int, half_words: int, lane_bits: int = 0) -> None:
        self.bus_bits, self.word_bits, self.half_words, self.lane_bits = bus_bits, word_bits, half_words, lane_bits
        super().__init__(
            {
                "load": In(LoadPort(bus_bits)),
                "half": In(1),
                "address": In(range(max(half_words, 2))),
                "data": Out(word_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        in_luts = not self.lane_bits and 2 * self.half_words <= LUTRAM_WORDS
        attrs = {"ram_style": "distributed" if in_luts else "block"}
        m.submodules.memory = mem = memory.Memory(
            shape=unsigned(self.word_bits), depth=2 * self.half_words, init=[], attrs=attrs
        )
        read, write = mem.read_port(), mem.write_port()
        m.d.comb += [
            read.addr.eq(self.address + Mux(self.half, self.half_words, 0)),
            self.data.eq(read.data),
        ]

        load, half, expand, double = self.load, Signal(), Signal(), Signal()
        left, word = Signal(16), Signal(range(max(self.half_words, 2)))
        value, whole, used = self._cut(m, expand, double, left == 1)
        m.d.comb += [
            load.busy.eq(left != 0),
            load.data.ready.eq(load.busy & used),
            write.addr.eq(word + Mux(half, self.half_words, 0)),
            write.data.eq(value),
            write.en.eq(load.busy & load.data.valid & whole),
        ]
        with m.If(write.en):
            m.d.sync += [word.eq(word + 1), left.eq(left - 1)]
        with m.If(load.go):
            m.d.sync += [left.eq(load.words), word.eq(0)]
            m.d.sync += [half.eq(load.half), expand.eq(load.expand), double.eq(load.double)]
        return m

    def _cut(self, m: Module, expand: Any, double: Any, last: Any) -> tuple[Any, Any, Any]:
        """The memory word at hand, whether it is whole, and whether the bus word is used up with it."""
        bus = self.load.data.payload
        narrow = self.lane_bits == 8  # the bus may carry 4-bit lanes
        if self.word_bits > self.bus_bits:
            return self._gather(m, expand, double, up(self.word_bits, self.bus_bits))

        def cut(bits: int, stored: int) -> tuple[Any, Any]:
            per = self.bus_bits // bits
            words = Array(
                self._stored(bus[i * bits : (i + 1) * bits], stored, self.lane_bits, double) for i in range(per)
            )
            return words[part], part == per - 1

        part = Signal(range(max(2 * self.bus_bits // self.word_bits, 2)))
        value, used = cut(self.word_bits, self.lane_bits)
        if narrow:
            value_4, used_4 = cut(self.word_bits // 2, 4)
            value, used = Mux(expand, value_4, value), Mux(expand, used_4, used)
        used = used | last
        with m.If(self.load.busy & self.load.data.valid):
            m.d.sync += part.eq(Mux(used, 0, part + 1))
        return value, C(1), used

    def _gather(self, m: Module, expand: Any, double: Any, count: int) -> tuple[Any, Any, Any]:
        """As `_cut`, for memory words of `count` bus words; lanes that expand make two of them in a cycle."""
        bus, half = self.load.data.payload, self.bus_bits // 2
        part = Signal(range(count + 1))
        parts = Array(Signal(self.bus_bits, name=f"part_{i}") for i in range(count - 1))
        first = last = Signal(self.bus_bits)
        upper = Signal(self.bus_bits)
        gathered: list[Any] = list(parts)
        whole: Any = part == count - 1
        if self.lane_bits == 8:  # the bus may carry 4-bit lanes
            wide = self._stored(bus, 8, 8, double)
            m.d.comb += upper.eq(self._stored(bus[half:], 4, 8, double))
            m.d.comb += first.eq(Mux(expand, self._stored(bus[:half], 4, 8, double), wide))
            whole = Mux(expand, part >= count - 2, whole)
            if count % 2 == 0:
                last = Mux(expand, upper, wide)
                gathered[-1] = Mux(expand, first, parts[count - 2])
        else:
            m.d.comb += first.eq(self._stored(bus, self.lane_bits, self.lane_bits, double))
        with m.If(self.load.busy & self.load.data.valid):
            m.d.sync += [parts[part].eq(first), part.eq(Mux(whole, 0, part + Mux(expand, 2, 1)))]
            if self.lane_bits == 8:
                with m.If(expand & ~whole):
                    m.d.sync += parts[part + 1].eq(upper)
        return Cat(*gathered, last)[: self.word_bits], whole, C(1)

    def _stored(self, value: Any, bits: int, stored: int, double: Any) -> Any:
        """Signed lanes of `bits` as offset-binary lanes of `stored` bits (0: as they are)."""
        if not stored:
            return value
        out = []
        for i in range(0, len(Value.cast(value)), bits):
            lane = value[i : i + bits]
            if bits < stored:
                out.append(Cat(lane[:-1], lane[-1].replicate(stored - bits), ~lane[-1]))
            elif bits == 8:
                out.append(Cat(lane[:3], lane[3] ^ double, lane[4:7], ~lane[7]))
            else:
                out.append(Cat(lane[:-1], ~lane[-1]))
        return Cat(*out)
