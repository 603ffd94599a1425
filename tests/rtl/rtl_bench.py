"""Simulation of small parts: streams fed and taken with random stalls, payloads as lists of lane values."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator
from hypothesis import Phase, settings

#: Cycles behind the last payload in which none may follow: less than a run takes from its start to its first.
SURPLUS = 8


def examples(count: int) -> Any:
    """Settings of a property test of simulations, which are slow: a failing example is shown as found, not shrunk."""
    return settings(max_examples=count, deadline=None, phases=(Phase.explicit, Phase.generate))


class Bench:
    """A clock, stream drivers and stream collectors around one component."""

    def __init__(self, dut: Any, seed: int = 0, stall: float = 0.0) -> None:
        self.dut, self.stall = dut, stall
        self.random = random.Random(seed)
        top = Module()
        top.submodules.dut = dut
        top.d.sync += Signal(name="clocked").eq(1)  # a part without registers has a clock, too
        self.sim = Simulator(top)
        self.sim.add_clock(1e-6)
        self.first: dict[int, int] = {}
        self.stamps: dict[int, list[int]] = {}

    def send(
        self, port: Any, payloads: Sequence[Any], stall: float | None = None, after: list[bool] | None = None
    ) -> None:
        """Payloads into a stream, not before `after` holds True. `first` has the cycle of the first one."""
        rate, rng = self.stall if stall is None else stall, random.Random(self.random.random())

        async def drive(ctx: Any) -> None:
            cycle = 0
            while after is not None and not after[0]:
                await ctx.tick()
                cycle += 1
            for i, payload in enumerate(payloads):
                while rng.random() < rate:
                    await ctx.tick()
                if i == 0:
                    self.first.setdefault(id(port), cycle)
                ctx.set(port.payload, payload)
                ctx.set(port.valid, 1)
                taken = False
                while not taken:
                    _, _, taken = await ctx.tick().sample(port.ready)
                ctx.set(port.valid, 0)

        self.sim.add_testbench(drive, background=True)

    def take(
        self,
        port: Any,
        count: int,
        into: list[Any],
        stall: float | None = None,
        limit: int = 4000,
        after: list[bool] | None = None,
        used: Callable[[int, Any], Any] = lambda i, payload: payload,
    ) -> None:
        """`count` payloads into a list, not before `after` holds True; `stamps` of that list has their cycles.

        None may follow in the `SURPLUS` cycles behind them, and what is valid stays until it is taken: of payload i
        what is `used`, all of it if not given.
        """
        rate, rng = self.stall if stall is None else stall, random.Random(self.random.random())
        stamps: list[int] = []
        self.stamps[id(into)] = stamps

        async def collect(ctx: Any) -> None:
            cycle = 0
            while after is not None and not after[0]:
                await ctx.tick()
                cycle += 1
            ready, held = rng.random() >= rate, None
            ctx.set(port.ready, ready)
            while len(into) < count:
                _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
                cycle += 1
                assert cycle < limit, f"only {len(into)} of {count} payloads after {limit} cycles"
                payload = list(payload) if hasattr(payload, "__iter__") else payload
                now = used(len(into), payload)
                assert held is None or (valid and now == held), f"payload {len(into)} did not wait for ready"
                held = now if valid and not ready else None
                if valid and ready:
                    into.append(payload)
                    stamps.append(cycle)
                ready = rng.random() >= rate and len(into) < count
                ctx.set(port.ready, ready)
            for _ in range(SURPLUS):
                _, _, valid = await ctx.tick().sample(port.valid)
                assert not valid, f"more than {count} payloads"

        self.sim.add_testbench(collect)

    def set(self, **values: int) -> None:
        """Constant inputs of the component by name."""

        async def hold(ctx: Any) -> None:
            for name, value in values.items():
                ctx.set(getattr(self.dut, name), value)

        self.sim.add_testbench(hold)

    def run(self) -> None:
        self.sim.run()


def to_beats(pixels: Sequence[Sequence[int]], lanes: int) -> list[list[int]]:
    """Beats of pixels given as channel lists, the last of each filled with a value that must not matter."""
    out = []
    for pixel in pixels:
        for i in range(0, len(pixel), lanes):
            beat = [int(v) for v in pixel[i : i + lanes]]
            out.append(beat + [1] * (lanes - len(beat)))
    return out


def from_beats(beats: Sequence[Sequence[int]], channels: int, lanes: int) -> list[list[int]]:
    """Pixels of beats, surplus lanes dropped."""
    per = -(-channels // lanes)
    flat = [[v for beat in beats[i : i + per] for v in beat][:channels] for i in range(0, len(beats), per)]
    return flat
