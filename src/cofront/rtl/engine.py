"""The engine: kernels, memory access and control behind one AXI4 and one AXI4-Lite port.

    memory -> reader -> align -> table -> gearbox -> [conv] -> [dw] -> [pw] -> gearbox -> place -> writer -> memory
                                                                         \\-> average ->/
    memory -> reader -> align -> gearbox -> residual of conv or pw

Any of the kernels may be left out of a run: the stream then takes the next gearbox. Without kernels words go from the
table straight to the average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_
from typing import Any

from amaranth.hdl import C, Module, Mux, ResetInserter, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.errors import InputError
from cofront.hardware.subgraph.calls import KERNELS
from cofront.hardware.subgraph.coefficients import check_bus_bits
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.engines import ENGINES
from cofront.rtl.average import Average
from cofront.rtl.axi import ReadArbiter, axi4, axi4_lite, connect
from cofront.rtl.config import KERNEL_RUN, KernelDesign
from cofront.rtl.control import Fetcher, Fields, Sequencer, set_pattern
from cofront.rtl.kernel import Kernel
from cofront.rtl.memory import Align, Place, Reader, Writer
from cofront.rtl.registers import Registers
from cofront.rtl.streams import Gearbox, Queue
from cofront.rtl.table import Table

#: Beats that wait between two kernels.
LINK_DEPTH = 16

Maker = Callable[[KernelDesign], Any]


class _Port:
    """The members of a component that share a prefix, under their short names."""

    def __init__(self, owner: Any, prefix: str) -> None:
        self._owner, self._prefix = owner, prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner, self._prefix + name)


class Engine(wiring.Component):
    """The accelerator of a configuration with a memory port of `bus_bits`, on `dsp`; `make` builds its kernels."""

    def __init__(self, config: Config, bus_bits: int = 128, make: Maker = Kernel, dsp: str = "DSP48E2") -> None:
        check_bus_bits(bus_bits)
        self.accelerator, self.bus_bits = config, bus_bits
        kind = ENGINES[config.engine]
        present: list[str] = [name for name in KERNELS if config.kernel(name).po]
        if not present:
            raise InputError("an accelerator without kernels has no hardware")
        self.designs = {name: KernelDesign(name, config.kernel(name), kind, bus_bits, dsp) for name in present}
        self.kernels: Mapping[str, Any] = {name: make(design) for name, design in self.designs.items()}
        super().__init__(
            {
                **{f"m_axi_{name}": flow for name, flow in axi4(bus_bits).items()},
                **{f"s_axi_{name}": flow for name, flow in axi4_lite().items()},
                "interrupt": Out(1),
                "busy": Out(1),
                "finished": Out(16),
                **{f"active_{name}": Out(1) for name in present},
            }
        )

    @property
    def memory(self) -> Any:
        """The AXI4 port."""
        return _Port(self, "m_axi_")

    @property
    def control(self) -> Any:
        """The AXI4-Lite port."""
        return _Port(self, "s_axi_")

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        names = tuple(self.kernels)
        m.submodules.registers = registers = Registers()
        m.submodules.sequencer = seq = Sequencer(names)
        m.submodules.fetcher = fetcher = Fetcher(self.bus_bits, names)
        d = Fields(seq.bits)
        self._registers(m, registers, seq)
        self._fetching(m, seq, fetcher)

        # Memory access. The arbiter takes the first reader that asks: input, then residual, then descriptors and
        # weights, which are for the next run and fill what the others leave of the port.
        m.submodules.arbiter = arbiter = ReadArbiter(3, self.bus_bits)
        m.submodules.source_reader = source_reader = Reader(self.bus_bits)
        m.submodules.residual_reader = residual_reader = Reader(self.bus_bits)
        m.submodules.load_reader = load_reader = Reader(self.bus_bits)
        m.submodules.writer = writer = Writer(self.bus_bits)
        for i, reader in enumerate((source_reader, residual_reader, load_reader)):
            wiring.connect(m, reader.ask, getattr(arbiter, f"ask_{i}"))
            m.d.comb += [reader.valid.eq(getattr(arbiter, f"valid_{i}")), reader.data.eq(arbiter.data)]
        connect(m, self.memory, arbiter, writer, registers.base, self.bus_bits)
        m.d.comb += [
            load_reader.pattern.eq(fetcher.pattern),
            load_reader.start.eq(fetcher.start),
            seq.empty.eq(~source_reader.busy & ~residual_reader.busy),
        ]
        wiring.connect(m, load_reader.output, fetcher.words)
        for name, reader in (("in", source_reader), ("residual", residual_reader)):
            set_pattern(m, reader.pattern, d.pattern(name))
            m.d.comb += reader.drain.eq(seq.drain)
        m.d.comb += [
            source_reader.start.eq(seq.start),
            residual_reader.start.eq(seq.start & d["residual_on"]),
        ]

        clear = Signal()  # what a run leaves behind in the streams goes before the next one starts
        m.d.comb += clear.eq(seq.take)
        fresh = ResetInserter(clear)
        source = self._source(m, fresh, d, seq, fetcher, source_reader)
        residual = self._residual(m, fresh, d, residual_reader)
        done = self._kernel_runs(m, d, seq)
        sink = self._chain(m, fresh, d, done, source, residual)
        finished = Signal()
        m.d.comb += finished.eq(reduce(and_, (done[name] | ~d[f"{name}_on"] for name in names)))
        self._output(m, fresh, d, seq, sink, writer, finished)
        for name in names:
            m.d.comb += getattr(self, f"active_{name}").eq(seq.busy & d[f"{name}_on"])
        return m

    def _registers(self, m: Module, registers: Any, seq: Any) -> None:
        for name in axi4_lite():
            ours, theirs = getattr(self.control, name), getattr(registers, name)
            inward = registers.signature.members[name].flow == In
            m.d.comb += theirs.eq(ours) if inward else ours.eq(theirs)
        port = self.memory
        failed = (port.rvalid & port.rresp[1]) | (port.bvalid & port.bresp[1])
        m.d.comb += [
            seq.go.eq(registers.start),
            seq.program.eq(registers.program),
            seq.count.eq(registers.count),
            registers.busy.eq(seq.busy),
            registers.done.eq(seq.done),
            registers.failed.eq(failed),
            registers.cycles.eq(seq.cycles),
            registers.finished.eq(seq.finished),
            registers.stamp.eq(seq.stamp),
            self.busy.eq(seq.busy),
            self.finished.eq(seq.finished),
        ]
        m.d.sync += self.interrupt.eq((self.interrupt | seq.done) & ~registers.start)

    def _fetching(self, m: Module, seq: Any, fetcher: Any) -> None:
        m.d.comb += [
            fetcher.go.eq(seq.fetch),
            fetcher.address.eq(seq.address),
            fetcher.take.eq(seq.take),
            seq.fetched.eq(fetcher.ready),
            seq.next_bits.eq(fetcher.bits),
        ]
        for name, kernel in self.kernels.items():
            m.d.comb += getattr(fetcher, f"half_{name}").eq(getattr(seq, f"half_{name}"))
            for what in ("weights", "params"):
                wiring.connect(m, getattr(fetcher, f"{name}_{what}"), getattr(kernel, what))

    def _source(self, m: Module, fresh: Any, d: Fields, seq: Any, fetcher: Any, reader: Any) -> Any:
        """The stream of input words, aligned and looked up."""
        m.submodules.source_align = align = fresh(Align(self.bus_bits // 8))
        m.submodules.table = table = Table(self.bus_bits // 8)
        wiring.connect(m, reader.output, align.input)
        wiring.connect(m, align.output, table.input)
        coming = Fields(fetcher.bits)
        m.d.comb += [
            align.skip.eq(d["in_skip"]),
            align.channels.eq(d["in_channels"]),
            table.go.eq(fetcher.table_go),
            fetcher.table_busy.eq(table.busy),
            table.half.eq(seq.half_table),
            table.on.eq(d["table_on"]),
            *(getattr(table, key).eq(coming[f"table_{key}"]) for key in ("start", "step", "shift", "zero", "top")),
        ]
        return table.output

    def _residual(self, m: Module, fresh: Any, d: Fields, reader: Any) -> Any:
        m.submodules.residual_align = align = fresh(Align(self.bus_bits // 8))
        wiring.connect(m, reader.output, align.input)
        channels: Any = C(0, 1)
        for name in self.kernels:
            channels = Mux(d[f"{name}_on"], d[f"{name}_out_channels"], channels)
        m.d.comb += [align.skip.eq(d["residual_skip"]), align.channels.eq(channels)]
        return align.output

    def _gearbox(self, m: Module, fresh: Any, name: str, lanes_in: int, lanes_out: int, channels: Any) -> Any:
        m.submodules[name] = box = fresh(Gearbox(8, lanes_in, lanes_out))
        m.d.comb += box.channels.eq(channels)
        return box

    def _chain(self, m: Module, fresh: Any, d: Fields, done: dict[str, Any], source: Any, residual: Any) -> Any:
        """Every stream between memory and kernels and among kernels; returns the stream of output words."""
        lanes = self.bus_bits // 8
        sink = stream.Interface(stream.Signature(unsigned(self.bus_bits)))
        names = list(self.kernels)
        later: Any = C(0, 1)  # whether a kernel behind is on
        last: dict[str, Any] = {}
        links: dict[str, list[tuple[Any, Any]]] = {}  # where a kernel's output may go
        for name in reversed(names):
            last[name] = d[f"{name}_on"] & ~later
            later = later | d[f"{name}_on"]
        source_ready: Any = ~later & sink.ready
        outputs: list[tuple[Any, Any]] = [(~later, source)]
        residual_ready: Any = C(0, 1)
        before: Any = C(0, 1)
        for i, name in enumerate(names):
            design = self.designs[name]
            on, channels = d[f"{name}_on"], d[f"{name}_in_channels"]
            box = self._gearbox(m, fresh, f"{name}_input", lanes, design.in_lanes, channels)
            first = on & ~before
            m.d.comb += [
                Value.cast(box.input.payload).eq(source.payload),
                box.input.valid.eq(source.valid & first),
            ]
            source_ready = source_ready | (first & box.input.ready)
            feeds = [(first, box.output)]
            between: Any = C(0, 1)
            for upper in reversed(names[:i]):
                # From the nearest kernel ahead that is on.
                above = self.designs[upper].out_lanes
                link = self._gearbox(m, fresh, f"{upper}_{name}", above, design.in_lanes, channels)
                m.submodules[f"{upper}_{name}_queue"] = queue = fresh(Queue(link.output.payload.shape(), LINK_DEPTH))
                wiring.connect(m, link.output, queue.input)
                feeds.append((on & d[f"{upper}_on"] & ~between, queue.output))
                links.setdefault(upper, []).append((feeds[-1][0], link.input))
                between = between | d[f"{upper}_on"]
            self._feed(m, self.kernels[name].input, feeds, design, done[name])
            before = before | on
            out = self._gearbox(m, fresh, f"{name}_output", design.out_lanes, lanes, d["out_channels"])
            links.setdefault(name, []).append((last[name], out.input))
            words = stream.Interface(stream.Signature(unsigned(self.bus_bits)))
            m.d.comb += [
                words.payload.eq(Value.cast(out.output.payload)),
                words.valid.eq(out.output.valid),
                out.output.ready.eq(words.ready),
            ]
            outputs.append((last[name], words))
            if not design.depthwise:
                residual_ready = residual_ready | self._add(m, fresh, d, name, residual, last[name])
        for name, targets in links.items():
            self._send(m, self.kernels[name].output, targets)
        m.d.comb += [source.ready.eq(source_ready), residual.ready.eq(residual_ready)]
        for chosen, words in outputs:
            with m.If(chosen):
                m.d.comb += [sink.payload.eq(words.payload), sink.valid.eq(words.valid)]
                if words is not source:
                    m.d.comb += words.ready.eq(sink.ready)
        for name in names:
            m.d.comb += self.kernels[name].run.logits.eq(d["logits"] & last[name])
        return sink

    def _add(self, m: Module, fresh: Any, d: Fields, name: str, residual: Any, last: Any) -> Any:
        """Words of the residual to a kernel if it is the `last` one that is on; whether it takes one."""
        kernel, lanes = self.kernels[name], self.designs[name].out_lanes
        add = self._gearbox(m, fresh, f"{name}_residual", self.bus_bits // 8, lanes, d[f"{name}_out_channels"])
        m.d.comb += [
            Value.cast(add.input.payload).eq(residual.payload),
            add.input.valid.eq(residual.valid & last),
            kernel.residual.payload.eq(add.output.payload),
            kernel.residual.valid.eq(add.output.valid & last & d["residual_on"]),
            add.output.ready.eq(kernel.residual.ready),
        ]
        return last & add.input.ready

    def _send(self, m: Module, output: Any, targets: list[tuple[Any, Any]]) -> None:
        """A kernel's output to the one of its targets that is chosen."""
        ready: Any = C(0, 1)
        for chosen, target in targets:
            m.d.comb += [target.payload.eq(output.payload), target.valid.eq(output.valid & chosen)]
            ready = ready | (chosen & target.ready)
        m.d.comb += output.ready.eq(ready)

    def _feed(self, m: Module, port: Any, feeds: list[tuple[Any, Any]], design: KernelDesign, done: Any) -> None:
        """One of several streams of bytes to a kernel; once it is done, what still comes is dropped."""
        for chosen, feed in feeds:
            with m.If(chosen):
                m.d.comb += [port.valid.eq(feed.valid), feed.ready.eq(port.ready | done)]
                m.d.comb += [port.payload[i].eq(feed.payload[i][: design.act_bits]) for i in range(design.in_lanes)]

    def _kernel_runs(self, m: Module, d: Fields, seq: Any) -> dict[str, Any]:
        """Dimensions and start of every kernel; whether it has finished since."""
        finished: dict[str, Any] = {}
        for name, kernel in self.kernels.items():
            keys = [key for key in KERNEL_RUN.members if key != "logits"]
            m.submodules[name] = kernel
            done = Signal(name=f"{name}_done")
            m.d.comb += [
                *(kernel.run[key].eq(d[f"{name}_{key}"]) for key in keys),
                kernel.start.eq(seq.start & d[f"{name}_on"]),
                kernel.half.eq(getattr(seq, f"half_{name}")),
            ]
            m.d.sync += done.eq((done | kernel.done) & ~seq.start)
            finished[name] = done
        return finished

    def _output(self, m: Module, fresh: Any, d: Fields, seq: Any, sink: Any, writer: Any, finished: Any) -> None:
        """Words to memory, to the average, or both; then the averages to memory."""
        size = self.bus_bits // 8
        log = size.bit_length() - 1
        most = max(design.kernel.out_elements for design in self.designs.values())
        m.submodules.average = average = fresh(Average(size, most))
        m.submodules.place = place = fresh(Place(size))
        m.submodules.write_queue = queue = fresh(Queue(writer.word, 2 * LINK_DEPTH))
        wiring.connect(m, place.output, queue.input)
        wiring.connect(m, queue.output, writer.input)
        pooling = Signal()  # the averages are being written
        m.d.comb += [
            average.pixels.eq(d["out_pixels"]),
            average.words.eq((d["out_channels"] + (size - 1)) >> log),
            *(getattr(average, key).eq(d[f"pool_{key}"]) for key in ("offset", "multiplier", "shift", "zero", "top")),
            place.skip.eq(d["out_skip"]),
            place.channels.eq(d["out_channels"]),
            average.input.payload.eq(sink.payload),
        ]
        map_on, pool_on = d["map_on"], d["pool_on"]
        with m.If(pooling):
            m.d.comb += [
                place.input.payload.eq(average.output.payload),
                place.input.valid.eq(average.output.valid),
                average.output.ready.eq(place.input.ready),
            ]
        with m.Else():
            m.d.comb += [
                place.input.payload.eq(sink.payload),
                place.input.valid.eq(sink.valid & map_on & (average.input.ready | ~pool_on)),
                average.input.valid.eq(sink.valid & pool_on & (place.input.ready | ~map_on)),
                sink.ready.eq((place.input.ready | ~map_on) & (average.input.ready | ~pool_on)),
            ]
        set_pattern(m, writer.pattern, d.pattern("out"))
        second = Signal()
        with m.If(pooling | second):
            words = (d["out_skip"] + d["out_channels"] + (size - 1)) >> log
            set_pattern(m, writer.pattern, {"base": d["pool_base"], "run": words, "columns": 1, "rows": 1})
        with m.FSM(name="writing"):
            with m.State("idle"), m.If(seq.start):
                m.d.comb += writer.start.eq(map_on)
                m.next = "map"
            with m.State("map"), m.If(~writer.busy & finished & (average.complete | ~pool_on)):
                with m.If(pool_on):
                    m.d.comb += [writer.start.eq(1), second.eq(1)]
                    m.d.sync += pooling.eq(1)
                    m.next = "pool"
                with m.Else():
                    m.d.comb += seq.written.eq(1)
                    m.next = "idle"
            with m.State("pool"), m.If(~writer.busy):
                m.d.comb += seq.written.eq(1)
                m.d.sync += pooling.eq(0)
                m.next = "idle"
