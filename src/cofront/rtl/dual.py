"""Multipliers of the DUAL engine: one 8 x 8 product, or in a `double` run two products of 4 x 4 bits in its place.

A byte of weights is one weight in offset binary or two (lower half first); so is a byte of activations where every
product has its own. A product word of 16 bits is one signed product or two signed bytes.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.hardware.subgraph.packing import PAIRS, SHARED, Shared
from cofront.rtl.dsp48 import LATENCY, Dsp48e2
from cofront.rtl.multipliers import LUT_LATENCY, separate, separate_pair

WIDE, NARROW, PAIR = SHARED["DSP48E2", "88"], SHARED["DSP48E2", "44"], PAIRS["DSP48E2", "44"]


def _ports(weights: int, acts: int) -> dict[str, Any]:
    return {
        "double": In(1),
        "weights": In(data.ArrayLayout(unsigned(8), weights)),
        "acts": In(data.ArrayLayout(unsigned(8), acts)),
        "products": Out(data.ArrayLayout(unsigned(16), weights)),
    }


def nibbles(byte: Any) -> tuple[Any, Any]:
    """Lower and upper half."""
    return byte[:4], byte[4:8]


class DualShared(wiring.Component):
    """One slice: one or two weights of 8 bits, or two or four of 4 bits, times one activation."""

    latency = LATENCY

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(_ports(count, 1))

    def elaborate(self, platform: Any) -> Module:
        m, count = Module(), self.count
        narrow = Shared(4, 4, 2 * count, NARROW.distance)
        m.submodules.dsp = dsp = Dsp48e2()
        halves = [half for byte in self.weights for half in nibbles(byte)]
        wide_a, narrow_a = Signal(27), Signal(27)
        for i, byte in enumerate(self.weights):
            m.d.comb += wide_a[i * WIDE.distance : i * WIDE.distance + 8].eq(byte)
        for i, half in enumerate(halves):
            m.d.comb += narrow_a[i * narrow.distance : i * narrow.distance + 4].eq(half)
        wide_d = -sum(128 << (i * WIDE.distance) for i in range(count))
        narrow_d = -sum(8 << (i * narrow.distance) for i in range(2 * count))
        m.d.comb += [
            dsp.a.eq(Mux(self.double, narrow_a, wide_a)),
            dsp.d.eq(Mux(self.double, narrow_d, wide_d)),
            dsp.b.eq(self.acts[0]),
        ]
        wide = separate(m, dsp.p, self.weights, self.acts[0], Shared(8, 8, count, WIDE.distance))
        pairs = separate(m, dsp.p, halves, self.acts[0][:4], narrow)
        for i in range(count):
            one, low, high = (
                Signal(signed(16), name=f"one_{i}"),
                Signal(8, name=f"low_{i}"),
                Signal(8, name=f"high_{i}"),
            )
            m.d.comb += [one.eq(wide[i]), low.eq(pairs[2 * i]), high.eq(pairs[2 * i + 1])]
            m.d.comb += self.products[i].eq(Mux(self.double, Cat(low, high), one))
        return m


class DualOwn(wiring.Component):
    """One slice: an 8-bit weight times its activation, or two of 4 bits times theirs."""

    latency = LATENCY

    def __init__(self) -> None:
        super().__init__(_ports(1, 1))

    def elaborate(self, platform: Any) -> Module:
        m, (w0, w1), (x0, x1) = Module(), nibbles(self.weights[0]), nibbles(self.acts[0])
        m.submodules.dsp = dsp = Dsp48e2(preadd="B")
        pair_b, pair_a = Signal(18), Signal(27)
        m.d.comb += [
            pair_b[:4].eq(w0),
            pair_b[PAIR.weight_distance : PAIR.weight_distance + 4].eq(w1),
            pair_a[:4].eq(x0),
            pair_a[PAIR.act_distance : PAIR.act_distance + 4].eq(x1),
            dsp.b.eq(Mux(self.double, pair_b, self.weights[0])),
            dsp.a.eq(Mux(self.double, pair_a, self.acts[0])),
            dsp.d.eq(Mux(self.double, -(8 + (8 << PAIR.weight_distance)), -128)),
        ]
        low, high = (Signal(8, name=name) for name in ("low", "high"))
        first, second = separate_pair(dsp.p, PAIR)
        m.d.comb += [low.eq(first), high.eq(second)]
        m.d.comb += self.products[0].eq(Mux(self.double, Cat(low, high), dsp.p[:16]))
        return m


class DualLut(wiring.Component):
    """An 8 x 8 product of two rows of four: w = 16 h + l; in a double run h and l are weights of their own.

    `own`: in a double run the halves have the activations' halves, else both the whole (of 4 bits).
    """

    latency = LUT_LATENCY

    def __init__(self, own: bool) -> None:
        self.own = own
        super().__init__(_ports(1, 1))

    def elaborate(self, platform: Any) -> Module:
        m, byte, act = Module(), self.weights[0], self.acts[0]
        low_act, high_act = act, act
        if self.own:
            low_act, high_act = (Mux(self.double, half, act) for half in nibbles(act))
        low, high = Signal(signed(13)), Signal(signed(13))
        # Offset binary: the top bit is set where the sign is not; in the lower half only of a double run.
        rows = [Mux(byte[i], low_act, 0) << i for i in range(3)]
        top = Mux(byte[3] ^ self.double, low_act, 0) << 3
        m.d.comb += low.eq(rows[0] + rows[1] + (rows[2] + Mux(self.double, -top, top)))
        rows = [Mux(byte[4 + i], high_act, 0) << i for i in range(3)]
        m.d.comb += high.eq(rows[0] + rows[1] + (rows[2] - (Mux(byte[7], 0, high_act) << 3)))
        m.d.sync += self.products[0].eq(Mux(self.double, Cat(low[:8], high[:8]), (low + (high << 4))[:16]))
        return m
