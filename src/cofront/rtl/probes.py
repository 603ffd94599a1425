"""An engine that shows what each kernel is doing, cycle by cycle; for simulation, not part of what is built."""

from __future__ import annotations

from typing import Any, Final

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, Out

from cofront.hardware.subgraph.config import Config
from cofront.rtl.config import KernelDesign
from cofront.rtl.control import Fields
from cofront.rtl.engine import Engine
from cofront.rtl.kernel import Kernel

#: What a kernel does in a cycle: nothing to do, multiplying, waiting for input, waiting for room at its output (or for
#: the residual, or for the pace at which sums can be requantised), waiting for a run whose weights and constants are
#: being loaded.
STATES: Final = ("idle", "busy", "waits for input", "waits for output", "waits for weights")


class ProbedKernel(Kernel):
    """A kernel with its `state`, an index of `STATES`; what it waits for outside a run only the engine knows."""

    def __init__(self, design: KernelDesign) -> None:
        super().__init__(design)
        self.state = Signal(2, name=f"{design.name}_state")

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        walk = m.submodules.walk
        waiting = Mux(walk.ready, 3, 2)
        m.d.comb += self.state.eq(Mux(walk.busy, Mux(walk.step, 1, waiting), 0))
        return m


class WatchedEngine(Engine):
    """The engine with `waiting`: for each kernel, whether the run that comes has it and is still being loaded."""

    def __init__(self, config: Config, bus_bits: int, dsp: str) -> None:
        super().__init__(config, bus_bits, ProbedKernel, dsp)
        self.waiting = {name: Signal(name=f"{name}_waiting") for name in self.kernels}

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        seq, fetcher = m.submodules.sequencer, m.submodules.fetcher
        running, loading = Signal(), Signal()
        with m.If(seq.start):
            m.d.sync += running.eq(1)
        with m.Elif(seq.drain & seq.empty):
            m.d.sync += running.eq(0)
        with m.If(fetcher.start & ~fetcher.go):  # behind the descriptor, which says who is on
            m.d.sync += loading.eq(1)
        with m.Elif(fetcher.ready):
            m.d.sync += loading.eq(0)
        coming = Fields(fetcher.bits)
        for name, signal in self.waiting.items():
            m.d.comb += signal.eq(seq.busy & ~running & loading & ~fetcher.ready & coming[f"{name}_on"])
        return m


class ProbedEngine(wiring.Component):
    """The engine with an output `probe_<kernel>` for each kernel's state."""

    def __init__(self, config: Config, bus_bits: int, dsp: str = "DSP48E2") -> None:
        self.engine = WatchedEngine(config, bus_bits, dsp)
        names = list(self.engine.kernels)
        super().__init__({**dict(self.engine.signature.members), **{f"probe_{name}": Out(3) for name in names}})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        for name, member in engine.signature.members.items():
            ours, theirs = getattr(self, name), getattr(engine, name)
            m.d.comb += ours.eq(theirs) if member.flow == Flow.Out else theirs.eq(ours)
        for name, kernel in engine.kernels.items():
            m.d.comb += getattr(self, f"probe_{name}").eq(Mux(engine.waiting[name], 4, kernel.state))
        return m
