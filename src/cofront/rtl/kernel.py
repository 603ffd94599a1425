"""A kernel: front -> multipliers -> accumulators -> requantisation -> queue, driven by one walk over the work.

    for pixel: for co in out_beats: for ci in in_beats: for turn in turns: one cycle        (conv, pw)
    for pixel: for unit in out_beats: for turn in turns: one cycle                          (dw)

Nothing behind the walk can stall. An output beat is begun only when the queue has room for it (and its residual has
arrived), so the pipeline runs freely and back-pressure reaches the walk as missing room.

    cycle    t        t+F           t+F+A      +1             +8            +1
             step     operands      sums       accumulated    result        can leave the queue
             (walk)   (front)       (array)    = take         (requantise)
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl import requantise
from cofront.rtl.array import MultiplyArray, array_latency
from cofront.rtl.config import KERNEL_RUN, KernelDesign, beats, kernel_ports, up
from cofront.rtl.lines import LineBuffer
from cofront.rtl.loader import Loaded
from cofront.rtl.pixels import PixelBuffer
from cofront.rtl.requantise import Requantise
from cofront.rtl.streams import Queue, delayed
from cofront.rtl.walk import FLAGS, Walk
from cofront.rtl.windows import WindowBuffer

#: Beats of the output queue and of the residual queue: more than a pipeline holds; LUT memory comes in 32 words.
QUEUE = 32


class Kernel(wiring.Component):
    """Any of conv, dw, pw, as `design` says. Ports as in `config.py`."""

    def __init__(self, design: KernelDesign) -> None:
        self.design = design
        self.front: Any = make_front(design)
        self.array = MultiplyArray(design)
        super().__init__(kernel_ports(design))

    def elaborate(self, platform: Any) -> Module:
        m, d = Module(), self.design
        m.submodules.front, m.submodules.array = self.front, self.array
        m.submodules.walk = walk = Walk(d.depthwise, d.dual)
        m.submodules.weights = weights = Loaded(d.bus_bits, d.weight_word_bits, d.weight_half, d.kind.weight_bits)
        m.submodules.params = params = Loaded(d.bus_bits, d.param_word_bits, d.param_half)
        m.submodules.requantise = req = Requantise(d.out_lanes, residual=not d.depthwise, halves=d.dual, dsp=d.dsp)
        m.submodules.queue = queue = Queue(beats(8, d.out_lanes)._payload_shape, QUEUE)
        self._read(m, walk)
        for memory, port in ((weights, self.weights), (params, self.params)):
            wiring.connect(m, wiring.flipped(port), memory.load)
            m.d.comb += memory.half.eq(self.half)
        # Weights reach the array with the activations: their memory is a cycle behind its address.
        m.d.comb += [
            weights.address.eq(delayed(m, walk.word, self.front.latency - 1, "word")),
            Value.cast(self.array.weights).eq(weights.data),
            self.array.acts.eq(self.front.acts),
        ]
        takes, emit = self._accumulate(m, walk, params, req)
        self._write(m, walk, req, queue, takes, emit)
        return m

    def _read(self, m: Module, walk: Any) -> None:
        """Walk and front: the input, and what is read of it in each cycle."""
        d, run, front = self.design, self.run, self.front
        m.d.comb += [
            walk.run.eq(run),
            walk.start.eq(self.start),
            front.run.eq(run),
            self.array.double.eq(run.double),
            front.start.eq(self.start),
            front.enable.eq(walk.busy),
            walk.ready.eq(front.ready),
            front.beat.eq(walk.beat),
            front.turn.eq(walk.turn),
            front.step.eq(walk.step),
            front.next.eq(walk.next),
            front.next_row.eq(walk.next_row),
        ]
        if d.dual and d.depthwise:
            # A byte of its input is two channels in a double run; the zero point, too.
            m.submodules.halves = halves = Halves(d.kernel.po)
            m.d.comb += [halves.run.eq(run), halves.start.eq(self.start)]
            wiring.connect(m, wiring.flipped(self.input), halves.input)
            wiring.connect(m, halves.output, front.input)
            with m.If(run.double):
                m.d.comb += front.run.zero_in.eq(run.zero_in[:4].replicate(2))
        else:
            wiring.connect(m, wiring.flipped(self.input), front.input)

    def _accumulate(self, m: Module, walk: Any, params: Any, req: Any) -> tuple[Any, Any]:
        """Sums to accumulators, and these to the requantisation: which halves of them are complete, and the emission.

        The flags of a step and the constants of its output beat meet the sums there.
        """
        d, run = self.design, self.run
        early = delayed(m, walk.flags, self.front.latency + self.array.latency - 1, "flags")
        now = Signal(FLAGS)
        m.d.sync += now.eq(early)
        beat = Signal(range(max(d.param_half, 2)))
        with m.If(early.emit):
            m.d.sync += beat.eq(Mux(early.end, 0, beat + 1))
        with m.If(self.start):
            m.d.sync += beat.eq(0)
        m.d.comb += params.address.eq(beat)

        takes = now.last
        if d.dual:
            takes = Cat(now.last & (run.double | ~now.upper), now.last & (run.double | now.upper))
        for i in range(d.out_lanes):
            mine = now.step
            if d.dual:
                mine = now.step & (run.double | (now.upper == (i >= d.kernel.po)))
            constants = params.data.word_select(i, 48)
            acc = Signal(signed(d.acc_bits), name=f"acc_{i}")
            factor = Signal(16, name=f"factor_{i}")
            bias = constants[: d.acc_bits].as_signed()
            with m.If(mine):
                m.d.sync += acc.eq(Mux(now.first, bias, acc) + self.array.sums[i])
            m.d.sync += factor.eq(constants[32:])
            m.d.comb += [req.accs[i].eq(acc), req.multipliers[i].eq(factor)]
        take, emit = Signal.like(req.take), Signal()
        m.d.sync += [take.eq(takes), emit.eq(now.emit)]
        m.d.comb += [req.run.eq(run), req.take.eq(take), req.emit.eq(emit)]
        return takes, now.emit

    def _write(self, m: Module, walk: Any, req: Any, queue: Any, takes: Any, emit: Any) -> None:
        """Results to the output queue: room is claimed when a beat is begun and given back when it leaves."""
        run = self.run
        m.d.comb += [
            queue.input.payload.eq(req.results),
            queue.input.valid.eq(req.valid),
        ]
        wiring.connect(m, queue.output, wiring.flipped(self.output))
        claim = Signal(range(requantise.PLANES + 1))
        m.d.comb += claim.eq(Mux(run.logits, requantise.PLANES, 1))
        taken = Signal(range(QUEUE + 1))
        left = self.output.valid & self.output.ready
        m.d.sync += taken.eq(taken + Mux(walk.begin, claim, 0) - left)
        room = Signal()
        m.d.comb += room.eq(taken + claim <= QUEUE)
        if self.design.depthwise:
            m.d.comb += walk.room.eq(room)
        else:
            m.d.comb += walk.room.eq(room & self._residual(m, req, walk, takes, emit))

        active = Signal()
        m.d.comb += self.done.eq(active & ~walk.busy & (taken == 0))
        with m.If(self.done):
            m.d.sync += active.eq(0)
        with m.If(self.start):
            m.d.sync += active.eq(1)

    def _residual(self, m: Module, req: Any, walk: Any, takes: Any, emit: Any) -> Any:
        """Queue of residual beats, taken as sums are complete; whether one is there that no begun beat has claimed."""
        m.submodules.residuals = queue = Queue(beats(8, self.design.out_lanes)._payload_shape, QUEUE)
        free = Signal(range(QUEUE + 1))
        enter = queue.input.valid & queue.input.ready
        wiring.connect(m, wiring.flipped(self.residual), queue.input)
        m.d.sync += free.eq(free + enter - (walk.begin & self.run.residual))
        m.d.comb += [
            req.residuals.eq(queue.output.payload),
            req.residual_take.eq(Mux(self.run.residual, takes, 0)),
            queue.output.ready.eq(emit & self.run.residual),
        ]
        return ~self.run.residual | (free != 0)


class Halves(wiring.Component):
    """Beats of 2 `lanes` channels to words of `lanes` bytes, for DUAL's depthwise kernel.

    Double run: two channels of 4 bits a byte. Single run: the lower lanes, then the upper unless the pixel has ended.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(
            {
                "run": In(KERNEL_RUN),
                "start": In(1),
                "input": In(beats(8, 2 * lanes)),
                "output": Out(beats(8, lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m, beat, lanes = Module(), self.input.payload, self.lanes
        unit = Signal(16)
        last = unit == self.run.out_beats - 1
        m.d.comb += [
            self.output.valid.eq(self.input.valid),
            self.input.ready.eq(self.output.ready & (self.run.double | unit[0] | last)),
        ]
        for i in range(lanes):
            pair = Cat(beat[2 * i][:4], beat[2 * i + 1][:4])
            m.d.comb += self.output.payload[i].eq(Mux(self.run.double, pair, Mux(unit[0], beat[lanes + i], beat[i])))
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += unit.eq(Mux(last, 0, unit + 1))
        with m.If(self.start):
            m.d.sync += unit.eq(0)
        return m


def front_type(design: KernelDesign) -> Any:
    """The class that holds the input of a kernel."""
    k = design.kernel
    return PixelBuffer if k.rows == 1 else LineBuffer if k.taps <= k.rows else WindowBuffer


def make_front(design: KernelDesign) -> Any:
    k, bits = design.kernel, design.act_bits
    lanes = k.po if design.depthwise else k.pi
    if k.rows == 1:
        return PixelBuffer(bits, lanes, design.pixel_words)
    if k.taps <= k.rows:
        return LineBuffer(bits, lanes, k.rows, k.taps, design.line_words)
    return WindowBuffer(bits, lanes, k.rows, k.taps, design.line_words, up(k.out_elements, k.po))


def latency(design: KernelDesign) -> int:
    """Cycles from a step of the walk until its result can leave the output queue: `pipeline_cycles` of this kernel."""
    return int(front_type(design).latency) + array_latency(design) + 1 + requantise.LATENCY_OUT + 1
