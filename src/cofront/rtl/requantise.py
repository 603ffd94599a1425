"""Accumulators to stored activations: clamp(((acc * m + (r - zr) * rm + half) >> shift) + zero, 0, top) in every lane.

One slice a lane. Where there is a residual it multiplies twice, the residual first, so that beats of a run with
residuals are at least two cycles apart (`APART`):

    cycle        -1       0        3                  4             5          6          7
    slice        r - zr   acc, m   P = (r-zr)*rm+half P = acc*m + P
    shifter                                           48 bits ->    by 16s  -> by 4s   -> by 1, + zero, clamp

Each step of the shifter keeps only what a result of 8 bits can depend on and saturates the rest, which cannot change
the clamp. Logits skip that and the clamp; the four bytes of a word leave in four cycles from the same P, which stays
because the slices take new operands only with `take`.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import KERNEL_RUN, acc_bits
from cofront.rtl.dsp48 import LATENCY, slice_of
from cofront.rtl.streams import delayed

#: Cycles from `take` to `valid`, and how many cycles earlier the residual operand is taken.
LATENCY_OUT, RESIDUAL_AHEAD = LATENCY + 3, 1
#: Widths after the coarse and the middle shift: sign, 9 bits of result and zero point, and what is still shifted out.
COARSE_BITS, MIDDLE_BITS = 26, 14
#: Byte planes of a logit.
PLANES = 4
#: Cycles between beats of a run with residuals, at least.
APART = 2


class Lane(wiring.Component):
    """One lane: `shift` belongs to P, its lower bits to the later stages, as `Requantise` delays them."""

    def __init__(self, residual: bool, dsp: str = "DSP48E2") -> None:
        self.residual, self.dsp = residual, dsp
        super().__init__(
            {
                "acc": In(signed(acc_bits(dsp))),
                "multiplier": In(16),
                "take": In(1),
                "operand": In(signed(9)),
                "operand_take": In(1),
                "operand_multiplier": In(signed(acc_bits(dsp))),
                "again": In(1),
                "half": In(signed(48)),
                "by_16": In(2),
                "by_4": In(2),
                "by_1": In(2),
                "zero": In(8),
                "top": In(8),
                "logits": In(1),
                "result": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dsp = dsp = slice_of(self.dsp, addend="sum" if self.residual else "c")
        m.d.comb += [dsp.a.eq(self.acc), dsp.b.eq(self.multiplier), dsp.c.eq(self.half)]
        m.d.comb += [dsp.take_a.eq(self.take), dsp.take_b.eq(self.take)]
        if self.residual:
            with m.If(self.operand_take):
                m.d.comb += [dsp.b.eq(self.operand), dsp.take_b.eq(1)]
            takes = delayed(m, Cat(self.operand_take, self.take), LATENCY - 1, "takes")
            m.d.sync += dsp.use_d.eq(self.operand_take)
            m.d.comb += [
                dsp.d.eq(self.operand_multiplier),
                dsp.give.eq(takes.any()),
                dsp.again.eq(takes[1] & self.again),
            ]
        coarse, middle = Signal(signed(COARSE_BITS)), Signal(signed(MIDDLE_BITS))
        m.d.sync += coarse.eq(self._narrow(dsp.p, self.by_16, 16, COARSE_BITS))
        m.d.sync += middle.eq(self._narrow(coarse, self.by_4, 4, MIDDLE_BITS))
        fine, sum_ = Signal(signed(MIDDLE_BITS)), Signal(signed(MIDDLE_BITS))
        m.d.comb += [fine.eq(middle >> self.by_1), sum_.eq(fine + Mux(self.logits, 0, self.zero))]
        clamped = Mux(sum_ < 0, 0, Mux(sum_ > self.top, self.top, sum_[:8]))
        m.d.sync += self.result.eq(Mux(self.logits, sum_[:8], clamped))
        return m

    def _narrow(self, value: Any, count: Any, step: int, bits: int) -> Any:
        """value >> (count * step), saturated to `bits` unless it is a logit."""
        sign, width = value[-1], len(value)
        shifted = value >> (count << (step.bit_length() - 1))
        over = C(0, 1)
        for i in range(-(-(width - bits) // step)):  # with more steps nothing stays above the kept bits
            above = value[i * step + bits - 1 : width - 1]
            over = over | ((count == i) & (above ^ sign.replicate(len(above))).any())
        limit = Cat((~sign).replicate(bits - 1), sign)
        return Mux(over & ~self.logits, limit.as_signed(), shifted[:bits].as_signed())


class Requantise(wiring.Component):
    """`lanes` lanes. `take` comes with accumulators and multipliers; `residual_take` a cycle before, with residuals.

    Either is a bit per half of the lanes where `halves`, else one bit. `emit` with the `take` that completes a beat.
    """

    def __init__(self, lanes: int, residual: bool, halves: bool = False, dsp: str = "DSP48E2") -> None:
        self.lanes, self.residual, self.halves, self.dsp = lanes, residual, 2 if halves else 1, dsp
        super().__init__(
            {
                "run": In(KERNEL_RUN),
                "take": In(self.halves),
                "emit": In(1),
                "accs": In(data.ArrayLayout(signed(acc_bits(dsp)), lanes)),
                "multipliers": In(data.ArrayLayout(unsigned(16), lanes)),
                "residual_take": In(self.halves),
                "residuals": In(data.ArrayLayout(unsigned(8), lanes)),
                "valid": Out(1),
                "results": Out(data.ArrayLayout(unsigned(8), lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, run = Module(), self.run
        half, factor = Signal(signed(48)), Signal(signed(acc_bits(self.dsp)))
        m.d.sync += [
            half.eq((C(1, 48) << run.shift[:6]) >> 1),
            factor.eq(run.residual_multiplier),
        ]
        waiting = Signal(LATENCY)  # beats whose P is not there yet
        plane, more = Signal(range(PLANES)), Signal()
        m.d.sync += waiting.eq(Cat(self.emit, waiting[:-1]))
        first = waiting[-1]
        with m.If(run.logits & (first | more)):
            m.d.sync += [plane.eq(Mux(first, 1, plane + 1)), more.eq(first | (plane != PLANES - 1))]
        shift = Signal(6)
        m.d.comb += shift.eq(run.shift + (Mux(first | ~run.logits, 0, plane) << 3))
        middle, valid = Signal(2), Signal(2)
        m.d.sync += [middle.eq(shift[2:4]), valid.eq(Cat(first | more, valid[0])), self.valid.eq(valid[1])]
        for i in range(self.lanes):
            m.submodules[f"lane_{i}"] = lane = Lane(self.residual, self.dsp)
            part = i * self.halves // self.lanes
            m.d.comb += [
                lane.acc.eq(self.accs[i]),
                lane.multiplier.eq(self.multipliers[i]),
                lane.take.eq(self.take[part]),
                lane.operand.eq(self.residuals[i] - run.residual_zero),
                lane.operand_take.eq(self.residual_take[part]),
                lane.operand_multiplier.eq(factor),
                lane.again.eq(run.residual),
                lane.half.eq(half),
                lane.by_16.eq(shift[4:6]),
                lane.by_4.eq(middle),
                lane.by_1.eq(run.shift[:2]),
                lane.zero.eq(run.zero_out),
                lane.top.eq(run.top),
                lane.logits.eq(run.logits),
                self.results[i].eq(lane.result),
            ]
        return m
