"""Memory access: tensors from and to external memory as streams of bus words, in the pattern of a descriptor."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.axi import ADDRESS_BITS, BURST
from cofront.rtl.descriptor import RUN_BITS
from cofront.rtl.streams import Queue

#: Addresses of a stream, as in the descriptor: `rows` x `columns` x `run` contiguous bus words; pitches in bytes.
PATTERN: Any = data.StructLayout(
    {
        "base": unsigned(ADDRESS_BITS),
        "run": unsigned(RUN_BITS),
        "columns": unsigned(16),
        "rows": unsigned(16),
        "column_pitch": unsigned(ADDRESS_BITS),
        "row_pitch": unsigned(ADDRESS_BITS),
    }
)

#: Words of the longest burst; a run of words is cut at multiples of this, which also keeps it off 4 KB boundaries.
BURST_WORDS = 16


class Bursts(wiring.Component):
    """The bursts of a pattern, one a cycle. `busy` from the cycle after `start` until the last has been taken."""

    def __init__(self, bus_bits: int) -> None:
        self.bus_bits = bus_bits
        super().__init__(
            {"pattern": In(PATTERN), "start": In(1), "busy": Out(1), "output": Out(stream.Signature(BURST))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shift = (self.bus_bits // 8).bit_length() - 1
        address, column_base, row_base = (Signal(ADDRESS_BITS, name=n) for n in ("address", "column", "row"))
        left, columns, rows = Signal(RUN_BITS), Signal(16), Signal(16)
        length = Signal(range(BURST_WORDS + 1))
        aligned = Signal.like(length)  # words up to the next multiple of BURST_WORDS
        m.d.comb += [
            aligned.eq(BURST_WORDS - address[shift : shift + BURST_WORDS.bit_length() - 1]),
            length.eq(Mux(left < aligned, left, aligned)),
            self.output.payload.address.eq(address),
            self.output.payload.length.eq(length),
            self.output.valid.eq(self.busy),
        ]
        with m.If(self.start):
            m.d.sync += [
                self.busy.eq(self.pattern.run != 0),
                *(s.eq(self.pattern.base) for s in (address, column_base, row_base)),
                left.eq(self.pattern.run),
                columns.eq(self.pattern.columns),
                rows.eq(self.pattern.rows),
            ]
        with m.Elif(self.busy & self.output.ready):
            next_column, next_row = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
            m.d.comb += [
                next_column.eq(column_base + self.pattern.column_pitch),
                next_row.eq(row_base + self.pattern.row_pitch),
            ]
            m.d.sync += [address.eq(address + (length << shift)), left.eq(left - length)]
            with m.If(left == length):
                m.d.sync += left.eq(self.pattern.run)
                with m.If(columns != 1):
                    m.d.sync += [columns.eq(columns - 1), address.eq(next_column), column_base.eq(next_column)]
                with m.Elif(rows != 1):
                    m.d.sync += [
                        rows.eq(rows - 1),
                        columns.eq(self.pattern.columns),
                        *(s.eq(next_row) for s in (address, column_base, row_base)),
                    ]
                with m.Else():
                    m.d.sync += self.busy.eq(0)
        return m


class Reader(wiring.Component):
    """A pattern of memory as a stream of words, read ahead as far as `depth` words.

    `ask`, `valid` and `data` belong to the arbiter. `drain` throws words away. `busy` until all have left.
    """

    def __init__(self, bus_bits: int, depth: int = 64) -> None:
        assert depth >= 2 * BURST_WORDS
        self.bus_bits, self.depth = bus_bits, depth
        super().__init__(
            {
                "pattern": In(PATTERN),
                "start": In(1),
                "drain": In(1),
                "busy": Out(1),
                "ask": Out(stream.Signature(BURST)),
                "valid": In(1),
                "data": In(bus_bits),
                "output": Out(stream.Signature(unsigned(bus_bits))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.bursts = bursts = Bursts(self.bus_bits)
        m.submodules.queue = queue = Queue(unsigned(self.bus_bits), self.depth)
        held = Signal(range(self.depth + 1))  # words asked for that have not left
        room, asks, leaves = Signal(), Signal(), Signal()
        length = bursts.output.payload.length
        m.d.comb += [
            bursts.pattern.eq(self.pattern),
            bursts.start.eq(self.start),
            room.eq(held <= self.depth - BURST_WORDS),
            self.ask.payload.eq(bursts.output.payload),
            self.ask.valid.eq(bursts.output.valid & room),
            asks.eq(self.ask.valid & self.ask.ready),
            bursts.output.ready.eq(asks),
            queue.input.payload.eq(self.data),
            queue.input.valid.eq(self.valid),
            self.output.payload.eq(queue.output.payload),
            self.output.valid.eq(queue.output.valid & ~self.drain),
            queue.output.ready.eq(self.output.ready | self.drain),
            leaves.eq(queue.output.valid & queue.output.ready),
            self.busy.eq(bursts.busy | (held != 0)),
        ]
        m.d.sync += held.eq(held + Mux(asks, length, 0) - leaves)
        return m


class Writer(wiring.Component):
    """A stream of words with byte strobes to a pattern of memory. `busy` until the last write was acknowledged.

    Neither channel waits for the other: the words of a burst go out from the cycle after its address is first
    presented, whether that has been taken or not.
    """

    def __init__(self, bus_bits: int) -> None:
        self.bus_bits = bus_bits
        self.word = data.StructLayout({"data": bus_bits, "strobe": bus_bits // 8})
        super().__init__(
            {
                "pattern": In(PATTERN),
                "start": In(1),
                "busy": Out(1),
                "input": In(stream.Signature(self.word)),
                "address": Out(stream.Signature(BURST)),
                "wdata": Out(bus_bits),
                "wstrb": Out(bus_bits // 8),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bvalid": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.bursts = bursts = Bursts(self.bus_bits)
        m.submodules.lengths = lengths = Queue(range(BURST_WORDS + 1), 32)
        open_bursts = Signal(8)
        sent = Signal(range(BURST_WORDS + 1))
        asks = Signal()
        fresh, waits = Signal(), Signal()  # the burst is presented for the first time; it was before and is not taken
        m.d.comb += [
            bursts.pattern.eq(self.pattern),
            bursts.start.eq(self.start),
            fresh.eq(bursts.output.valid & ~waits & lengths.input.ready & (open_bursts < 128)),
            self.address.payload.eq(bursts.output.payload),
            self.address.valid.eq(fresh | waits),
            asks.eq(self.address.valid & self.address.ready),
            bursts.output.ready.eq(asks),
            lengths.input.payload.eq(bursts.output.payload.length),
            lengths.input.valid.eq(fresh),
            self.wdata.eq(self.input.payload.data),
            self.wstrb.eq(self.input.payload.strobe),
            self.wvalid.eq(self.input.valid & lengths.output.valid),
            self.wlast.eq(sent + 1 == lengths.output.payload),
            self.input.ready.eq(self.wready & lengths.output.valid),
            lengths.output.ready.eq(self.wvalid & self.wready & self.wlast),
            self.busy.eq(bursts.busy | (open_bursts != 0)),
        ]
        with m.If(self.wvalid & self.wready):
            m.d.sync += sent.eq(Mux(self.wlast, 0, sent + 1))
        m.d.sync += [waits.eq(self.address.valid & ~asks), open_bursts.eq(open_bursts + asks - self.bvalid)]
        return m


class Align(wiring.Component):
    """Pixels that begin `skip` bytes into their first word, moved to its start; `channels` bytes each."""

    def __init__(self, bus_bytes: int) -> None:
        self.bus_bytes = bus_bytes
        word = stream.Signature(unsigned(8 * bus_bytes))
        super().__init__({"clear": In(1), "skip": In(8), "channels": In(16), "input": In(word), "output": Out(word)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size = self.bus_bytes
        log = size.bit_length() - 1
        skip = self.skip[:log]
        turned = Signal(8 * size)  # the new word rotated: its bytes from `skip` on come first
        m.d.comb += turned.eq(_rotate(self.input.payload, skip, size))
        held = Signal(8 * size)
        have = Signal()  # `held` has bytes that have not left
        left = Signal(17)  # bytes of the pixel from `held` on
        low = Signal(size)  # bytes taken from `held`
        m.d.comb += low.eq(((1 << size) - 1) >> skip)
        mixed = Signal(8 * size)
        for i in range(size):
            at = slice(8 * i, 8 * i + 8)
            m.d.comb += mixed[at].eq(Mux(low[i], held[at], turned[at]))
        with m.If(skip == 0):
            m.d.comb += [
                self.output.payload.eq(self.input.payload),
                self.output.valid.eq(self.input.valid),
                self.input.ready.eq(self.output.ready),
            ]
        with m.Else():
            ends = Signal()  # what is held is all that is left of the pixel
            m.d.comb += ends.eq(left <= size - skip)
            last = Signal()  # this output is the pixel's last
            m.d.comb += last.eq(left <= size)
            moves = self.output.valid & self.output.ready
            m.d.comb += [
                self.output.payload.eq(mixed),
                self.output.valid.eq(have & (ends | self.input.valid)),
                self.input.ready.eq(~have | (moves & ~ends)),
            ]
            with m.If(self.input.valid & self.input.ready):
                m.d.sync += held.eq(turned)
            with m.If(~have):
                m.d.sync += [have.eq(self.input.valid), left.eq(self.channels)]
            with m.Elif(moves):
                m.d.sync += [left.eq(left - size), have.eq(~last)]
        with m.If(self.clear):
            m.d.sync += have.eq(0)
        return m


class Place(wiring.Component):
    """The opposite of `Align`: pixels moved `skip` bytes up, with strobes for their `channels` bytes only."""

    def __init__(self, bus_bytes: int) -> None:
        self.bus_bytes = bus_bytes
        layout = data.StructLayout({"data": 8 * bus_bytes, "strobe": bus_bytes})
        super().__init__(
            {
                "clear": In(1),
                "skip": In(8),
                "channels": In(16),
                "input": In(stream.Signature(unsigned(8 * bus_bytes))),
                "output": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size = self.bus_bytes
        log = size.bit_length() - 1
        skip = self.skip[:log]
        ones = (1 << size) - 1
        turned = Signal(8 * size)  # the new word rotated: its last `skip` bytes come first
        m.d.comb += turned.eq(_rotate(self.input.payload, -skip, size))
        held = Signal(8 * size)
        first = Signal(init=1)  # no word of this pixel has left
        given = Signal(17)  # bytes placed, `skip` included
        total = Signal(17)
        came = Signal(17)  # bytes of the pixel that came
        low = Signal(size)
        end = Signal(size)
        rest = Signal(17)
        m.d.comb += [
            total.eq(self.channels + skip),
            low.eq(~((ones << skip) & ones)),  # bytes from the word before
            rest.eq(total - given),
            end.eq(Mux(rest >= size, ones, ~(ones << rest[: log + 1]))),
        ]
        spill = Signal()  # all has come: what is left is in `held`
        m.d.comb += spill.eq(came >= self.channels)
        last = rest <= size
        for i in range(size):
            at = slice(8 * i, 8 * i + 8)
            m.d.comb += self.output.payload.data[at].eq(Mux(low[i], held[at], turned[at]))
        m.d.comb += [
            self.output.payload.strobe.eq(end & Mux(first, ~low, ones)),
            self.output.valid.eq(spill | self.input.valid),
            self.input.ready.eq(self.output.ready & ~spill),
        ]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += [
                held.eq(turned),
                first.eq(last),
                given.eq(Mux(last, 0, given + size)),
                came.eq(Mux(last, 0, Mux(spill, came, came + size))),
            ]
        with m.If(self.clear):
            m.d.sync += [first.eq(1), given.eq(0), came.eq(0)]
        return m


def _rotate(word: Any, places: Any, size: int) -> Any:
    """`word` of `size` bytes rotated right by `places` bytes."""
    for i in range(size.bit_length() - 1):
        word = Mux(places[i], word.rotate_right(8 << i), word)
    return word
