"""Input of a depthwise convolution that needs more window positions at once than the line buffer has rows."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import KERNEL_RUN, beats, tap_table, window_sizes
from cofront.rtl.front import front_ports
from cofront.rtl.rows import RowWriter, connect_rows
from cofront.rtl.streams import delayed


class WindowBuffer(wiring.Component):
    """`rows` rows of `row_words` beats, and of every unit the last rows - 1 columns (a front; taps > rows).

    A column (the words of all rows at one place) is read once per output row and unit; with the older columns from the
    unit's `store` it makes the window. Columns are taken in one long sequence, row after row: where the window hangs
    over the right edge of the map, the first columns of the next row are already shifted in. They are masked there, and
    in place when the next row begins, so rows follow each other without a gap. At stride 2, where reading is slower
    than computing and the next row's lines would have to overwrite lines still in use, a row begins afresh.

        window 3 x 3, padding 1, width 4           | columns read   for outputs
                                                   | 0 1            0 of row y
        cycle  t     unit, turn, load              | 2              1
               t+1   address                       | 3              2
               t+2   words of all rows             | 0 of row y+1   3   (its last column is masked)
               t+3   column in order of the window | 1 of row y+1   0 of row y+1
               t+4   window, taps picked           | ...

    The columns before the first output's last one are taken as they arrive. Later a pixel that needs several columns
    (stride 2) takes a cycle more for each, in every unit.
    """

    latency = 4

    def __init__(self, bits: int, lanes: int, rows: int, taps: int, row_words: int, units: int) -> None:
        self.bits, self.lanes, self.rows, self.taps = bits, lanes, rows, taps
        self.row_words, self.units = row_words, units
        super().__init__({"input": In(beats(bits, lanes)), **front_ports(bits, taps * lanes)})

    def elaborate(self, platform: Any) -> Module:
        m, run, rows, word = Module(), self.run, self.rows, self.lanes * self.bits
        m.submodules.place = place = ColumnPlace(rows, self.row_words)
        m.submodules.writer = writer = RowWriter(rows, self.row_words)
        connect_rows(m, self, place, writer)
        m.d.comb += [
            place.step.eq(self.step),
            place.turn.eq(self.turn),
            place.beat.eq(self.beat),
            place.enable.eq(self.enable),
            place.pixel_ends.eq(writer.pixel_ends),
            place.row_ends.eq(writer.row_ends),
            place.written_y.eq(writer.y),
        ]

        address, slot = Signal(range(self.row_words)), Signal(range(rows))
        inside = Signal(rows)  # rows of the column that are in the map
        m.d.sync += [
            address.eq(place.address + place.unit),
            slot.eq(place.slot),
            inside.eq(Cat((place.y + r >= 0) & (place.y + r < run.in_height) for r in range(rows))),
        ]
        words = []
        for r in range(rows):
            m.submodules[f"row_{r}"] = mem = memory.Memory(
                shape=unsigned(word), depth=self.row_words, init=[], attrs={"ram_style": "block"}
            )
            read, write = mem.read_port(), mem.write_port()
            m.d.comb += [
                read.addr.eq(address),
                write.addr.eq(writer.address),
                write.data.eq(self.input.payload),
                write.en.eq(writer.enter & (writer.slot == r)),
            ]
            words.append(read.data)

        blank = run.zero_in[: self.bits].replicate(self.lanes)
        slot_2, inside_2 = Signal.like(slot), Signal.like(inside)
        m.d.sync += [slot_2.eq(slot), inside_2.eq(inside)]
        column = Signal(rows * word)
        for r in range(rows):
            ring = Array(words[(r + s) % rows] for s in range(rows))
            m.d.sync += column[r * word : (r + 1) * word].eq(Mux(inside_2[r], ring[slot_2], blank))

        load = delayed(m, place.load, 3, "load")
        unit = delayed(m, place.unit[: max((self.units - 1).bit_length(), 1)], 3, "unit")
        older = (rows - 1) * rows * word
        m.submodules.store = store = memory.Memory(
            shape=unsigned(older), depth=max(self.units, 2), init=[], attrs={"ram_style": "distributed"}
        )
        kept, keep = store.read_port(domain="comb"), store.write_port()
        window = Signal(rows * rows * word)
        full = Cat(kept.data, column)
        m.d.comb += [kept.addr.eq(unit), keep.addr.eq(unit), keep.data.eq(full[rows * word :]), keep.en.eq(load)]
        with m.If(load):
            m.d.sync += window.eq(full)

        mask = delayed(m, place.inside, 4, "mask")
        turn = delayed(m, self.turn[:6], 4, "turn")
        masked = [Mux(mask[c], window.word_select(c * rows + r, word), blank) for c in range(rows) for r in range(rows)]
        for j in range(self.taps):
            self._pick(m, j, turn, masked, self.acts.as_value()[j * word : (j + 1) * word])
        return m

    def _pick(self, m: Module, j: int, turn: Any, window: list[Any], target: Any) -> None:
        """Tap j: the window place that it has in each turn of each size, newest column last."""
        with m.Switch(self.run.size):
            for size in window_sizes(self.rows):
                with m.Case(size), m.Switch(turn):
                    for n, places in enumerate(tap_table(size, self.taps, self.rows)):
                        place = places[j]
                        if place is not None:
                            ky, kx = place
                            with m.Case(n):
                                m.d.comb += target.eq(window[(self.rows - size + kx) * self.rows + ky])


class ColumnPlace(wiring.Component):
    """Which column is read next, in the sequence of all output rows' columns, and whether it is there.

    An output pixel needs `more` columns before its last one, which is read with its first step, the others in cycles
    before that, unit by unit; `need` of them are still to be read. `base`: the first of them; `now`: the one being
    read. `prime`: columns still to be read for all units before the first output. `afresh`: a row begins with its own
    first column.
    """

    def __init__(self, rows: int, row_words: int) -> None:
        self.rows, self.row_words = rows, row_words
        super().__init__(
            {
                "run": In(KERNEL_RUN),
                "start": In(1),
                "enable": In(1),
                "step": In(1),
                "turn": In(16),
                "beat": In(16),
                "next": In(1),
                "next_row": In(1),
                "pixel_ends": In(1),
                "row_ends": In(1),
                "written_y": In(16),
                "ready": Out(1),
                "load": Out(1),
                "unit": Out(16),
                "y": Out(signed(17)),
                "slot": Out(range(rows)),
                "address": Out(16),
                "inside": Out(rows),
                "keep_x": Out(signed(17)),
                "limit_y": Out(17),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, run = Module(), self.run
        two = run.stride == 2
        base, now = self._column("base"), self._column("now")
        right = Signal(signed(17))  # column at the right end of the window
        need, more = Signal(range(self.rows)), Signal(range(self.rows))
        fresh = Signal()  # no step of this unit yet
        prime, unit = Signal(8), Signal(16)
        priming, whole = prime != 0, unit == run.out_beats - 1

        there, primed = Signal(), Signal()
        ahead = fresh & self.enable & there & (priming | (need != 0))
        m.d.comb += [
            primed.eq(priming & ahead & whole),
            self.ready.eq(there & ~priming & (need == 0)),
            self.unit.eq(Mux(priming, unit, self.beat)),
            self.load.eq(ahead | (self.step & (self.turn == 0))),
            self.y.eq(now["y"]),
            self.slot.eq(now["slot"]),
            self.address.eq(now["address"]),
            self.inside.eq(
                Cat(
                    (right >= self.rows - 1 - c) & (right - (self.rows - 1 - c) < run.in_width)
                    for c in range(self.rows)
                )
            ),
        ]

        afresh = Signal()
        after, edge = self._after(m, now, afresh)
        m.d.comb += there.eq(self._there(m, right, priming, primed, edge))
        unit_ends = self.step & (self.turn == run.turns - 1)
        again = (unit_ends & ~self.next) | (priming & ahead & ~whole)  # the next unit needs the same columns
        m.d.sync += [now[k].eq(Mux(again, base[k], after[k])) for k in now]
        with m.If(priming & ahead):
            m.d.sync += [unit.eq(Mux(whole, 0, unit + 1)), prime.eq(prime - whole)]
        with m.If(self.step):
            m.d.sync += fresh.eq(unit_ends)
        with m.If(self.next | primed):
            m.d.sync += [base[k].eq(after[k]) for k in now]
        with m.If(self.next):
            m.d.sync += right.eq(right + Mux(two, 2, 1))
        with m.If(self.next_row):
            m.d.sync += right.eq(run.size - 1 - run.pad_left)
        # Columns before the last one of a row's first pixel: without those that the row before has already shifted in.
        # As all that does not change in a run, this is ready when the first pixel can be.
        first, full, rest = Signal(range(self.rows)), run.size - 1 - run.pad_left, run.in_width - run.out_width
        m.d.sync += [afresh.eq(two | (rest > full)), first.eq(Mux(two | (rest > full), full, rest))]
        others = Mux(self.next_row, first, two)
        with m.If(self.next):
            m.d.sync += more.eq(others)
        with m.If(unit_ends):
            m.d.sync += need.eq(Mux(self.next, others, more))
        with m.Elif(ahead & ~priming):
            m.d.sync += need.eq(need - 1)
        m.d.sync += [self.keep_x.eq(base["x"]), self.limit_y.eq(base["y"] + self.rows)]
        with m.If(self.start):
            for place in (base, now):
                m.d.sync += [
                    place["x"].eq(0),
                    place["address"].eq(0),
                    place["y"].eq(-run.pad_top),
                    place["slot"].eq(Mux(run.pad_top == 0, 0, self.rows - run.pad_top)),
                ]
            m.d.sync += [
                right.eq(run.size - 1 - run.pad_left),
                more.eq(0),
                need.eq(0),
                prime.eq(run.size - 1 - run.pad_left),
                unit.eq(0),
                fresh.eq(1),
                self.keep_x.eq(0),
                self.limit_y.eq(self.rows - 1),
            ]
        return m

    def _there(self, m: Module, right: Any, priming: Any, primed: Any, edge: Any) -> Any:
        """Whether the last column that this pixel needs has been written.

        Not compared with what is written, which would take longer than a cycle has room for, but counted: `margin` is
        the number of pixels written, in raster order, beyond the last one that is needed. It is negative as long as
        that is not there. `later` is the same for the first pixel of the next output row, so that a row's end is an
        exchange of the two. Counting begins with the lowest row of the first window. At stride 1 the sequence of
        columns goes on beyond the right edge, and the count with it; at stride 2 it stops there.
        """
        run, two = self.run, self.run.stride == 2
        most = (self.rows + 4) * self.row_words  # a window's rows, and those of two steps of two rows
        margin, later = Signal(signed(most.bit_length() + 1)), Signal(signed(most.bit_length() + 1))
        above = Signal(range(self.rows))  # rows to be written before counting begins
        below = Signal(signed(18))  # rows of the map below the next output row's window
        bottom = Signal()  # this output row's window has reached the map's last row
        sure = Signal()  # everything is written, or was in a row before
        begun, written = Signal(), Signal()
        m.d.sync += begun.eq(self.start)
        m.d.comb += written.eq(self.pixel_ends & (above == 0))

        # At stride 2 two pixels of a row are at least two cycles apart: columns from one to the next may be known a
        # cycle late.
        lead, wide = Signal(range(self.rows + 1)), Signal(signed(len(later)))
        minus_first, minus_row = Signal(signed(len(lead) + 1)), Signal(signed(len(later)))
        across, across_first = Signal(2), Signal(2)
        m.d.comb += [lead.eq(run.size - run.pad_left), wide.eq(run.in_width)]
        m.d.sync += [
            minus_first.eq(-Mux(two & (run.in_width < lead), run.in_width, lead)),
            minus_row.eq(-wide),
            across_first.eq(self._left(run.in_width - run.size + run.pad_left)),
            across.eq(Mux(self.next_row, across_first, self._left(run.in_width - 1 - right))),
        ]

        # All sums are made before it is known which of them is wanted.
        back = Signal(signed(3))  # columns from this pixel to the next, negative
        m.d.comb += back.eq(-Mux(priming, ~(two & edge), Mux(two, across, 1)))
        stay, step = self._sum(margin, C(0, 1), written), self._sum(margin, back, written)
        fall = Mux(two & (below != 1), minus_row << 1, minus_row)
        m.d.sync += [
            margin.eq(Mux(self.next_row, self._sum(later, C(0, 1), written), Mux(self.next | primed, step, stay))),
            later.eq(
                Mux(
                    begun | self.next_row,
                    self._sum(Mux(begun, minus_first, later), fall, written),
                    self._sum(later, C(0, 1), written),
                )
            ),
            sure.eq(sure | (self.row_ends & (self.written_y == run.in_height - 1)) | (self.next_row & bottom)),
        ]
        with m.If(self.row_ends & (above != 0)):
            m.d.sync += above.eq(above - 1)
        with m.If(begun | self.next_row):
            m.d.sync += [below.eq(below - Mux(two, 2, 1)), bottom.eq(below <= 0)]
        rest = Signal(signed(18))
        m.d.comb += rest.eq(run.in_height - (run.size - run.pad_top))
        with m.If(self.start):
            m.d.sync += [
                margin.eq(-1),
                above.eq(Mux(rest < 0, run.in_height - 1, run.size - 1 - run.pad_top)),
                below.eq(rest),
                sure.eq(0),
            ]
        return (margin >= 0) | sure

    def _sum(self, a: Any, b: Any, one: Any) -> Any:
        """a + b + one in a single adder, `one` coming in from below the lowest bit."""
        return (Cat(C(1, 1), a).as_signed() + Cat(one, b).as_signed()) >> 1

    def _left(self, left: Any) -> Any:
        """`left`, at least 0 and at most 2."""
        return Mux(left < 0, 0, Mux(left[2:].any() | left[1], 2, left[:2]))

    def _after(self, m: Module, now: dict[str, Any], afresh: Any) -> tuple[dict[str, Any], Any]:
        """The column after `now`, if that is read in this cycle; whether `now` is at the right edge or beyond."""
        run, two = self.run, self.run.stride == 2
        stride, after = Mux(two, 2, 1), self._column("after")
        slot = now["slot"] + stride
        last, beyond = now["x"] == run.in_width - 1, now["x"] == run.in_width
        m.d.comb += [after[k].eq(now[k]) for k in now]
        with m.If(self.load & ~beyond):
            m.d.comb += [after["x"].eq(now["x"] + 1), after["address"].eq(now["address"] + run.in_beats)]
        with m.If(Mux(afresh, self.next_row, self.load & last)):
            m.d.comb += [
                after["x"].eq(0),
                after["address"].eq(0),
                after["y"].eq(now["y"] + stride),
                after["slot"].eq(Mux(slot >= self.rows, slot - self.rows, slot)),
            ]
        return after, last | beyond

    def _column(self, name: str) -> dict[str, Any]:
        """A place in the sequence: column, its address, top row of the window, that row's slot."""
        shapes = {"x": unsigned(16), "address": unsigned(16), "y": signed(17)}
        return {k: Signal(s, name=f"{name}_{k}") for k, s in shapes.items()} | {
            "slot": Signal(range(self.rows), name=f"{name}_slot")
        }
