"""Input of a k x k convolution: a ring of rows, of which `taps` positions of the window are read at once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, C, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import KERNEL_RUN, beats
from cofront.rtl.front import front_ports
from cofront.rtl.rows import RowWriter, connect_rows


class LineBuffer(wiring.Component):
    """`rows` rows of `row_words` beats of `lanes` channels (a front, see `front.py`); taps <= rows.

    Row y of the map is in slot y mod rows. A pixel may overwrite the one `rows` rows above it as soon as no later
    window needs that: reading runs ahead of computing by up to a row.

        rows 3, window 3 x 3        x x x | x x x x      x  read, kept for this window and the rows to come
                                    x x x | x x x x      |  left edge of the window
                                    x x x . . . . .      .  free for, or still the content of, the row below

    With one tap all rows are in one memory, else each in its own: the positions of a turn are counted down a column,
    so they are in different rows, and every memory has its own address. What lies outside the map reads as `zero_in`.

        cycle  t      beat, turn            lane: row slot, address, inside the map
               t+1    address registered    memory
               t+2    words                 each lane picks its row's word, or the zero point
               t+3    acts
    """

    latency = 3

    def __init__(self, bits: int, lanes: int, rows: int, taps: int, row_words: int) -> None:
        assert 1 <= taps <= rows and rows >= 2, (taps, rows)
        self.bits, self.lanes, self.rows, self.taps, self.row_words = bits, lanes, rows, taps, row_words
        super().__init__({"input": In(beats(bits, lanes)), **front_ports(bits, taps * lanes)})

    def elaborate(self, platform: Any) -> Module:
        m, run, word = Module(), self.run, self.lanes * self.bits
        m.submodules.place = place = WindowPlace(self.rows)
        m.submodules.writer = writer = RowWriter(self.rows, self.row_words)
        connect_rows(m, self, place, writer)
        m.d.comb += [place.written_x.eq(writer.x), place.written_y.eq(writer.y)]

        single = self.taps == 1
        depth = self.rows * self.row_words if single else self.row_words
        mems = [
            memory.Memory(shape=unsigned(word), depth=depth, init=[], attrs={"ram_style": "block"})
            for _ in range(1 if single else self.rows)
        ]
        base = Array(C(r * self.row_words if single else 0, range(depth)) for r in range(self.rows))
        words = []
        lanes = [self._lane(m, place, j) for j in range(self.taps)]
        for r, mem in enumerate(mems):
            m.submodules[f"row_{r}"] = mem
            read, write = mem.read_port(), mem.write_port()
            m.d.comb += [
                write.data.eq(self.input.payload),
                write.en.eq(writer.enter & (True if single else writer.slot == r)),
                write.addr.eq(writer.address + (base[writer.slot] if single else 0)),
            ]
            if single:
                slot, address, _ = lanes[0]
                m.d.comb += read.addr.eq(address + base[slot])
            else:
                for slot, address, _ in reversed(lanes):  # the first of two lanes in one row has it: the other is idle
                    with m.If(slot == r):
                        m.d.comb += read.addr.eq(address)
            words.append(read.data)

        blank = run.zero_in[: self.bits].replicate(self.lanes)
        for j, (slot, _, inside) in enumerate(lanes):
            later_slot, later_inside = Signal.like(slot), Signal()
            m.d.sync += [later_slot.eq(slot), later_inside.eq(inside)]
            picked = words[0] if single else Array(words)[later_slot]
            m.d.sync += self.acts.as_value()[j * word : (j + 1) * word].eq(Mux(later_inside, picked, blank))
        return m

    def _lane(self, m: Module, place: Any, j: int) -> tuple[Any, Any, Any]:
        """Row slot, address within the row and whether the position is inside the map, a cycle after `turn`."""
        run, bits = self.run, (2 * self.rows - 1).bit_length()
        ky, kx = Signal(bits + 1, init=j, name=f"ky_{j}"), Signal(bits, name=f"kx_{j}")
        across = Signal(16, name=f"across_{j}")  # kx * in_beats
        pitch = Signal(bits, name=f"pitch_{j}")
        m.d.comb += pitch.eq(Mux(run.size > self.taps, run.size, self.taps))
        down = ky + self.taps
        wrap = down >= pitch
        with m.If(self.step):
            m.d.sync += ky.eq(Mux(wrap, down - pitch, down))
            with m.If(wrap):
                m.d.sync += [kx.eq(kx + 1), across.eq(across + run.in_beats)]
            with m.If(self.turn == run.turns - 1):
                m.d.sync += [ky.eq(j), kx.eq(0), across.eq(0)]
        with m.If(self.start):
            m.d.sync += [ky.eq(j), kx.eq(0), across.eq(0)]

        slot, inside = Signal(range(self.rows), name=f"slot_{j}"), Signal(name=f"inside_{j}")
        address = Signal(range(self.row_words), name=f"address_{j}")
        sum_slot = place.slot + ky
        x, y = place.x + kx, place.y + ky
        m.d.sync += [
            slot.eq(Mux(sum_slot >= self.rows, sum_slot - self.rows, sum_slot)),
            address.eq(place.address + across + self.beat),
            inside.eq((x >= 0) & (x < run.in_width) & (y >= 0) & (y < run.in_height)),
        ]
        return slot, address, inside


class WindowPlace(wiring.Component):
    """Where the window of the next output pixel stands, and whether all of it has been written.

    `x`, `y`: its upper left corner, negative in the padding; `slot`, `address` the same in the line buffer. `keep_x`,
    `limit_y` follow by a cycle: a word is not overwritten in the cycle in which it is read.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        super().__init__(
            {
                "run": In(KERNEL_RUN),
                "start": In(1),
                "next": In(1),
                "next_row": In(1),
                "written_x": In(16),
                "written_y": In(16),
                "ready": Out(1),
                "x": Out(signed(17)),
                "y": Out(signed(17)),
                "slot": Out(range(rows)),
                "address": Out(signed(17)),
                "keep_x": Out(signed(17)),
                "limit_y": Out(17),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, run = Module(), self.run
        right, bottom = Signal(signed(17)), Signal(signed(17))
        two = run.stride == 2
        pad_bits = (self.rows - 1).bit_length()  # no window is larger than the rows, and padding less than a window
        pad_words = sum((Mux(run.pad_left[i], run.in_beats, 0) << i for i in range(pad_bits)), C(0))
        slot = self.slot + Mux(two, 2, 1)
        m.d.sync += [self.keep_x.eq(self.x), self.limit_y.eq(self.y + self.rows)]
        with m.If(self.next):
            m.d.sync += [
                self.x.eq(self.x + Mux(two, 2, 1)),
                right.eq(right + Mux(two, 2, 1)),
                self.address.eq(self.address + (run.in_beats << two)),
            ]
        with m.If(self.next_row):
            m.d.sync += [
                self.y.eq(self.y + Mux(two, 2, 1)),
                bottom.eq(bottom + Mux(two, 2, 1)),
                self.slot.eq(Mux(slot >= self.rows, slot - self.rows, slot)),
            ]
        with m.If(self.next_row | self.start):
            m.d.sync += [
                self.x.eq(-run.pad_left),
                right.eq(run.size - 1 - run.pad_left),
                self.address.eq(-pad_words),
            ]
        with m.If(self.start):
            m.d.sync += [
                self.y.eq(-run.pad_top),
                bottom.eq(run.size - 1 - run.pad_top),
                self.slot.eq(Mux(run.pad_top == 0, 0, self.rows - run.pad_top)),
                self.keep_x.eq(0),
                self.limit_y.eq(self.rows - 1),
            ]
        below = run.in_height - 1
        in_row = (self.written_y == bottom) | ((self.written_y == below) & (bottom > below))
        m.d.comb += self.ready.eq(
            (self.written_y > bottom) | (self.written_y == run.in_height) | (in_row & (self.written_x > right))
        )
        return m
