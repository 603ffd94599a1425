"""The walk of a kernel over its work: which product group is computed in each cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import KERNEL_RUN
from cofront.rtl.requantise import APART, PLANES

#: What travels with a step down the pipeline: it is one; first and last of an output beat, which is an upper half (in
#: a single run of DUAL); the last of a beat of the output stream; the last of a pixel.
FLAGS: Any = data.StructLayout({"step": 1, "first": 1, "last": 1, "upper": 1, "emit": 1, "end": 1})


class Walk(wiring.Component):
    """Counts pixels, output beats, input beats and turns; steps whenever it may.

    The first step of an output beat waits for `room`, the first of a pixel (depthwise: of
    a unit) for `ready`, too; all others never wait.
    `word` is the address of the weights: the steps of a pixel, counted. `beat` is what the front is asked for: the
    input beat, or the output beat of a depthwise kernel. Beats of logits are at least `PLANES` cycles apart,
    those with a residual `APART`. `halves`:
    an engine of doubled outputs, which in a single run gathers two beats, for which room is claimed once (`begin`).
    """

    def __init__(self, depthwise: bool, halves: bool = False) -> None:
        self.depthwise, self.halves = depthwise, halves
        super().__init__(
            {
                "run": In(KERNEL_RUN),
                "start": In(1),
                "ready": In(1),
                "room": In(1),
                "busy": Out(1),
                "step": Out(1),
                "begin": Out(1),
                "beat": Out(16),
                "turn": Out(16),
                "word": Out(16),
                "next": Out(1),
                "next_row": Out(1),
                "flags": Out(FLAGS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, run = Module(), self.run
        turn, ci, co = Signal(16), Signal(16), Signal(16)
        x, y, pace = Signal(16), Signal(16), Signal(range(PLANES))
        first, fresh = Signal(), Signal()  # the next step begins an output beat, waits for the front

        # whether a counter is at its end is a register beside it: comparing would be in the path of every step
        ends = {n: Signal(name=f"{n}_ends") for n in ("turn", "ci", "co", "x", "y")}
        limits = {
            "turn": run.turns, "ci": run.in_beats, "co": run.out_beats, "x": run.out_width, "y": run.out_height
        }  # fmt: skip
        last_turn = ends["turn"]
        last_in = last_turn if self.depthwise else last_turn & ends["ci"]
        last_out = last_in & ends["co"]
        last_x, last_y = ends["x"], ends["y"]

        def count(name: str, counter: Signal) -> list[Any]:
            """One further, or back to 0 from the end."""
            end, limit = ends[name], limits[name]
            return [counter.eq(Mux(end, 0, counter + 1)), end.eq(Mux(end, limit == 1, counter + 2 == limit))]

        upper = co[0] & ~run.double if self.halves else C(0, 1)
        may = ~first | ((self.room | upper) & (pace == 0))
        m.d.comb += [
            self.step.eq(self.busy & may & (~fresh | self.ready)),
            self.begin.eq(self.step & first & ~upper),
            self.turn.eq(turn),
            self.beat.eq(co if self.depthwise else ci),
            self.next.eq(self.step & last_out),
            self.next_row.eq(self.next & last_x),
            self.flags.step.eq(self.step),
            self.flags.first.eq(self.step & first),
            self.flags.last.eq(self.step & last_in),
            self.flags.upper.eq(upper),
            self.flags.emit.eq(self.next | (self.step & last_in & (upper | run.double if self.halves else 1))),
            self.flags.end.eq(self.next),
        ]
        with m.If(pace != 0):
            m.d.sync += pace.eq(pace - 1)
        with m.If(self.step & first):
            m.d.sync += pace.eq(Mux(run.logits, PLANES - 1, Mux(run.residual, APART - 1, 0)))
        with m.If(self.step):
            m.d.sync += [
                *count("turn", turn),
                first.eq(last_in),
                fresh.eq(last_in if self.depthwise else last_out),
                self.word.eq(Mux(last_out, 0, self.word + 1)),
            ]
            with m.If(last_turn):
                m.d.sync += count("ci", ci)
            with m.If(last_in):
                m.d.sync += count("co", co)
            with m.If(last_out):
                m.d.sync += count("x", x)
                with m.If(last_x):
                    m.d.sync += count("y", y)
                with m.If(last_x & last_y):
                    m.d.sync += self.busy.eq(0)
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (turn, ci, co, x, y, pace, self.word)]
            m.d.sync += [ends[n].eq(limit == 1) for n, limit in limits.items()]
            m.d.sync += [first.eq(1), fresh.eq(1), self.busy.eq(1)]
        return m
