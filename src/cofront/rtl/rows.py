"""Filling the rows of a line buffer, for fronts that hold rows (`LineBuffer`, `WindowBuffer`)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import KERNEL_RUN


class RowWriter(wiring.Component):
    """Where the input goes, and whether there is room: the pixel `rows` rows above must not be needed any more.

    Still needed is what comes from `keep_x` on in the row `rows` rows above row `limit_y`, and all rows below that.
    """

    def __init__(self, rows: int, row_words: int) -> None:
        self.rows, self.row_words = rows, row_words
        super().__init__(
            {
                "run": In(KERNEL_RUN),
                "start": In(1),
                "enter": In(1),
                "keep_x": In(signed(17)),
                "limit_y": In(17),
                "room": Out(1),
                "slot": Out(range(rows)),
                "address": Out(range(row_words)),
                "x": Out(16),
                "y": Out(16),
                "pixel_ends": Out(1),
                "row_ends": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, run = Module(), self.run
        beat = Signal(16)
        last_beat, last_x = beat == run.in_beats - 1, self.x == run.in_width - 1
        m.d.comb += [
            self.room.eq(
                (self.y != run.in_height)
                & ((self.y < self.rows) | (self.y < self.limit_y) | ((self.y == self.limit_y) & (self.x < self.keep_x)))
            ),
            self.pixel_ends.eq(self.enter & last_beat),
            self.row_ends.eq(self.pixel_ends & last_x),
        ]
        with m.If(self.enter):
            m.d.sync += [beat.eq(beat + 1), self.address.eq(self.address + 1)]
            with m.If(last_beat):
                m.d.sync += [beat.eq(0), self.x.eq(self.x + 1)]
                with m.If(last_x):
                    m.d.sync += [
                        self.x.eq(0),
                        self.y.eq(self.y + 1),
                        self.address.eq(0),
                        self.slot.eq(Mux(self.slot == self.rows - 1, 0, self.slot + 1)),
                    ]
        with m.If(self.start):
            m.d.sync += [s.eq(0) for s in (beat, self.x, self.y, self.address, self.slot)]
        return m


def connect_rows(m: Module, front: Any, place: Any, writer: Any) -> None:
    """Wires a front's input with the `writer` of its rows, and that with the `place` that says which are still read.

    `place` has run, start, next, next_row in; ready and keep_x, limit_y out.
    """
    m.d.comb += [
        *(part.run.eq(front.run) for part in (place, writer)),
        *(part.start.eq(front.start) for part in (place, writer)),
        place.next.eq(front.next),
        place.next_row.eq(front.next_row),
        writer.keep_x.eq(place.keep_x),
        writer.limit_y.eq(place.limit_y),
        front.ready.eq(place.ready),
        front.input.ready.eq(front.enable & writer.room),
        writer.enter.eq(front.input.valid & front.input.ready),
    ]
