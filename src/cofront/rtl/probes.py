"""An engine that shows what each kernel is doing, cycle by cycle; for simulation, not part of what is built."""

from __future__ import annotations

from typing import Any, Final

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, Out

from cofront.hardware.subgraph.config import Config
from cofront.rtl.config import KernelDesign
from cofront.rtl.engine import Engine
from cofront.rtl.kernel import Kernel

#: What a kernel does in a cycle: nothing to do, multiplying, waiting for input, waiting for room at its output (or for
#: the residual, or for the pace at which sums can be requantised).
STATES: Final = ("idle", "busy", "waits for input", "waits for output")


class ProbedKernel(Kernel):
    """A kernel with its `state`, an index of `STATES`."""

    def __init__(self, design: KernelDesign) -> None:
        super().__init__(design)
        self.state = Signal(2, name=f"{design.name}_state")

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        walk = m.submodules.walk
        waiting = Mux(walk.ready, 3, 2)
        m.d.comb += self.state.eq(Mux(walk.busy, Mux(walk.step, 1, waiting), 0))
        return m


class ProbedEngine(wiring.Component):
    """The engine with an output `probe_<kernel>` for each kernel's state."""

    def __init__(self, config: Config, bus_bits: int, dsp: str = "DSP48E2") -> None:
        self.engine = Engine(config, bus_bits, ProbedKernel, dsp)
        names = list(self.engine.kernels)
        super().__init__({**dict(self.engine.signature.members), **{f"probe_{name}": Out(2) for name in names}})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        for name, member in engine.signature.members.items():
            ours, theirs = getattr(self, name), getattr(engine, name)
            m.d.comb += ours.eq(theirs) if member.flow == Flow.Out else theirs.eq(ours)
        for name, kernel in engine.kernels.items():
            m.d.comb += getattr(self, f"probe_{name}").eq(kernel.state)
        return m
