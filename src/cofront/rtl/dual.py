"""Multipliers of the DUAL engine: one 8 x 8 product, or in a `double` run two products of 4 x 4 bits in its place.

A byte of weights is one weight in offset binary or two (lower half first); so is a byte of activations where every
product has its own. A product word of 16 bits is one signed product or two signed bytes.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.hardware.subgraph.packing import PAIRS, SHARED, Shared
from cofront.rtl.dsp48 import LATENCY, Dsp48e2, Plain, slice_of
from cofront.rtl.multipliers import LUT_LATENCY, joined, packed, separate, separate_pair


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

    def __init__(self, count: int, dsp: str = "DSP48E2") -> None:
        self.count, self.dsp = count, dsp
        super().__init__(_ports(count, 1))

    def elaborate(self, platform: Any) -> Module:
        m, count = Module(), self.count
        wide = Shared(8, 8, count, SHARED[self.dsp, "88"].distance)
        narrow = Shared(4, 4, 2 * count, SHARED[self.dsp, "44"].distance)
        halves = [half for byte in self.weights for half in nibbles(byte)]
        ways = ((halves, narrow.distance), (self.weights, wide.distance))
        p = either(m, self.dsp, self.double, ways, self.acts[0])
        ones = separate(m, p, self.weights, self.acts[0], wide)
        pairs = separate(m, p, halves, self.acts[0][:4], narrow)
        for i in range(count):
            one, low, high = (
                Signal(signed(16), name=f"one_{i}"),
                Signal(8, name=f"low_{i}"),
                Signal(8, name=f"high_{i}"),
            )
            m.d.comb += [one.eq(ones[i]), low.eq(pairs[2 * i]), high.eq(pairs[2 * i + 1])]
            m.d.comb += self.products[i].eq(Mux(self.double, Cat(low, high), one))
        return m


def either(m: Module, dsp: str, double: Any, ways: Any, act: Any) -> Any:
    """P of a slice whose wide operand has weights at a distance in one of two `ways`, the first in a double run."""
    if dsp == "INTEL18X19":
        m.submodules.dsp = plain = Plain()
        m.d.comb += [plain.a.eq(Mux(double, *(packed(*way) for way in ways))), plain.b.eq(act)]
        return plain.p
    m.submodules.dsp = wide = slice_of(dsp)
    (first, first_offset), (second, second_offset) = (joined(*way) for way in ways)
    m.d.comb += [
        wide.a.eq(Mux(double, first, second)),
        wide.d.eq(Mux(double, first_offset, second_offset)),
        wide.b.eq(act),
    ]
    return wide.p


class DualOwn(wiring.Component):
    """One slice: an 8-bit weight times its activation, or two of 4 bits times theirs."""

    latency = LATENCY

    def __init__(self, dsp: str = "DSP48E2") -> None:
        self.dsp = dsp
        super().__init__(_ports(1, 1))

    def elaborate(self, platform: Any) -> Module:
        m, halves, (x0, x1) = Module(), nibbles(self.weights[0]), nibbles(self.acts[0])
        pair = PAIRS[self.dsp, "44"]
        acts = Signal(18)
        m.d.comb += acts.eq(Mux(self.double, Cat(x0, C(0, pair.act_distance - 4), x1), self.acts[0]))
        if self.dsp == "DSP48E2":
            m.submodules.dsp = dsp = Dsp48e2(preadd="B")
            weights, offset = joined(halves, pair.weight_distance)
            m.d.comb += [
                dsp.b.eq(Mux(self.double, weights, self.weights[0])),
                dsp.a.eq(acts),
                dsp.d.eq(Mux(self.double, offset, -128)),
            ]
            p = dsp.p
        else:
            p = either(m, self.dsp, self.double, ((halves, pair.weight_distance), (self.weights, 0)), acts)
        low, high = (Signal(8, name=name) for name in ("low", "high"))
        first, second = separate_pair(p, pair)
        m.d.comb += [low.eq(first), high.eq(second)]
        m.d.comb += self.products[0].eq(Mux(self.double, Cat(low, high), p[:16]))
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
