"""Control of the engine: fetching descriptors, filling the kernels' idle memory halves, and the course of a run.

fetch     descriptor i + 1 and what it loads come while descriptor i runs
run       start -> everything written -> readers emptied -> next
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.config import LoadPort
from cofront.rtl.descriptor import FIELDS, SIZE_BYTES, WORDS
from cofront.rtl.memory import PATTERN

DESCRIPTOR_BITS = 32 * len(WORDS)


class Fields:
    """The fields of a descriptor held in a signal, by name."""

    def __init__(self, bits: Any) -> None:
        self.bits = bits

    def __getitem__(self, name: str) -> Any:
        field = FIELDS[name]
        low = 32 * field.word + field.low
        value = self.bits[low : low + field.bits]
        return value.as_signed() if field.signed else value

    def pattern(self, name: str) -> dict[str, Any]:
        """What a reader or writer named `in`, `out` or `residual` is to move."""
        return {key: self[f"{name}_{key}"] for key in PATTERN.members}


def set_pattern(m: Module, port: Any, values: Mapping[str, Any]) -> None:
    m.d.comb += [getattr(port, key).eq(value) for key, value in values.items()]


class Fetcher(wiring.Component):
    """Reads a descriptor, then fills the idle halves of the kernels' memories and of the table; then it is `ready`.

    `bits` is the descriptor, stable while `ready`; `take` frees it. `half_<kernel>` is the half that is computed with.
    """

    def __init__(self, bus_bits: int, kernels: tuple[str, ...]) -> None:
        self.bus_bits, self.kernels = bus_bits, kernels
        super().__init__(
            {
                "go": In(1),
                "address": In(32),
                "ready": Out(1),
                "take": In(1),
                "bits": Out(DESCRIPTOR_BITS),
                "pattern": Out(PATTERN),
                "start": Out(1),
                "words": In(stream.Signature(self.bus_bits)),
                "table_go": Out(1),
                "table_busy": In(1),
                **{f"half_{k}": In(1) for k in kernels},
                **{f"{k}_{what}": Out(LoadPort(bus_bits)) for k in kernels for what in ("weights", "params")},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        per_word = self.bus_bits // 32
        last = SIZE_BYTES // (self.bus_bits // 8) - 1
        index = Signal(range(last + 1))
        fields = Fields(self.bits)
        ports = [(k, what, getattr(self, f"{k}_{what}")) for k in self.kernels for what in ("weights", "params")]
        at = Signal(range(len(ports) + 1))
        begun = Signal()
        for name, what, port in ports:
            m.d.comb += [
                port.words.eq(fields[f"{name}_{'weight' if what == 'weights' else 'param'}_words"]),
                port.half.eq(~getattr(self, f"half_{name}")),
                port.expand.eq(fields[f"{name}_expand"] if what == "weights" else 0),
                port.double.eq(fields[f"{name}_double"] if what == "weights" else 0),
                port.data.payload.eq(self.words.payload),
            ]

        with m.FSM():
            with m.State("idle"), m.If(self.go):
                m.d.comb += self.start.eq(1)
                whole = {"base": self.address, "run": last + 1, "columns": 1, "rows": 1}
                set_pattern(m, self.pattern, whole)
                m.d.sync += index.eq(0)
                m.next = "descriptor"
            with m.State("descriptor"):
                m.d.comb += self.words.ready.eq(1)
                with m.If(self.words.valid):
                    with m.Switch(index):
                        for i in range(last + 1):
                            low, high = 32 * per_word * i, min(32 * per_word * (i + 1), DESCRIPTOR_BITS)
                            if low < high:
                                with m.Case(i):
                                    m.d.sync += self.bits[low:high].eq(self.words.payload[: high - low])
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last):
                        m.next = "load"
            with m.State("load"):
                m.d.comb += [self.start.eq(fields["load_words"] != 0), self.table_go.eq(fields["table_on"])]
                load = {"base": fields["load_base"], "run": fields["load_words"], "columns": 1, "rows": 1}
                set_pattern(m, self.pattern, load)
                m.d.sync += [at.eq(0), begun.eq(0)]
                m.next = "fill"
            with m.State("fill"), m.Switch(at):
                for i, (_, _, port) in enumerate(ports):
                    with m.Case(i):
                        none = port.words == 0
                        m.d.comb += port.go.eq(~begun & ~none)
                        m.d.sync += begun.eq(1)
                        with m.If(begun & port.busy):
                            m.d.comb += [port.data.valid.eq(self.words.valid), self.words.ready.eq(port.data.ready)]
                        with m.If(none | (begun & ~port.busy)):
                            m.d.sync += [at.eq(at + 1), begun.eq(0)]
                with m.Case(len(ports)), m.If(~self.table_busy):
                    m.next = "ready"
            with m.State("ready"):
                m.d.comb += self.ready.eq(1)
                with m.If(self.take):
                    m.next = "idle"
        return m


class Sequencer(wiring.Component):
    """Runs `count` descriptors from `program` on.

    `start`: a run begins with the descriptor in `bits`, the half of every memory that it filled being in use. The
    engine says `written` when everything has reached memory and the kernels are done, and `empty` when no reader has
    words left; `drain` makes them throw away what nobody read.
    """

    def __init__(self, kernels: tuple[str, ...]) -> None:
        self.kernels = kernels
        super().__init__(
            {
                "go": In(1),
                "program": In(32),
                "count": In(16),
                "fetch": Out(1),
                "address": Out(32),
                "fetched": In(1),
                "take": Out(1),
                "next_bits": In(DESCRIPTOR_BITS),
                "bits": Out(DESCRIPTOR_BITS),
                **{f"half_{k}": Out(1) for k in kernels},
                "half_table": Out(1),
                "start": Out(1),
                "written": In(1),
                "drain": Out(1),
                "empty": In(1),
                "busy": Out(1),
                "done": Out(1),
                "cycles": Out(32),
                "finished": Out(16),
                "stamp": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left = Signal(16)
        following = Signal(32)
        coming = Fields(self.next_bits)
        with m.If(self.busy):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.FSM():
            with m.State("idle"), m.If(self.go):
                m.d.sync += [self.cycles.eq(0), self.finished.eq(0), self.stamp.eq(0)]
                m.d.sync += following.eq(self.program + SIZE_BYTES)
                with m.If(self.count == 0):
                    m.next = "nothing"
                with m.Else():
                    m.d.comb += [self.fetch.eq(1), self.address.eq(self.program)]
                    m.d.sync += [left.eq(self.count), self.busy.eq(1)]
                    m.next = "next"
            with m.State("nothing"):  # not in the cycle of the start, which takes back what is done
                m.d.comb += self.done.eq(1)
                m.next = "idle"
            with m.State("next"), m.If(self.fetched):
                m.d.comb += self.take.eq(1)
                m.d.sync += self.bits.eq(self.next_bits)
                for k in self.kernels:
                    half = getattr(self, f"half_{k}")
                    m.d.sync += half.eq(half ^ (coming[f"{k}_weight_words"] != 0))
                m.d.sync += self.half_table.eq(self.half_table ^ coming["table_on"])
                m.next = "start"
            with m.State("start"):
                # Not before the start, so that the run's own first words do not wait for the next descriptor.
                m.d.comb += [self.start.eq(1), self.fetch.eq(left != 1), self.address.eq(following)]
                m.d.sync += following.eq(following + SIZE_BYTES)
                m.next = "run"
            with m.State("run"), m.If(self.written):
                m.next = "drain"
            with m.State("drain"):
                m.d.comb += self.drain.eq(1)
                with m.If(self.empty):
                    m.d.sync += [left.eq(left - 1), self.finished.eq(self.finished + 1), self.stamp.eq(self.cycles)]
                    m.next = "next"
                    with m.If(left == 1):
                        m.d.sync += self.busy.eq(0)
                        m.d.comb += self.done.eq(1)
                        m.next = "idle"
        return m
