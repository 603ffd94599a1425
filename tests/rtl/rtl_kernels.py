"""Runs a kernel on a test case: loads its memories, streams its input, collects its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rtl_bench import Bench, to_beats
from rtl_reference import Case

from cofront.hardware.subgraph.formulas import stream
from cofront.hardware.subgraph.recurrence import PixelKernel, fused_cycles
from cofront.rtl.config import up
from cofront.rtl.kernel import Kernel, latency
from cofront.rtl.requantise import APART


def words(image: bytes, bus_bits: int) -> list[int]:
    size = bus_bits // 8
    return [int.from_bytes(image[i : i + size], "little") for i in range(0, len(image), size)]


def simulate(case: Case, stall: float = 0.0, seed: int = 0, half: int = 0) -> tuple[Any, int]:
    """Output (h, w, c) and the cycles from the first input beat to the last output beat."""
    return simulate_runs([case], stall, seed, half)[0]


def simulate_runs(cases: Sequence[Case], stall: float = 0.0, seed: int = 0, half: int = 0) -> list[tuple[Any, int]]:
    """Runs after each other on one kernel, their halves in turn; what `simulate` gives for each."""
    d = cases[0].design
    kernel = Kernel(d)
    bench = Bench(kernel, seed, stall)
    lanes = d.out_lanes
    started = [[False] for _ in cases]
    loads: list[dict[str, Any]] = []
    got: list[list[Any]] = [[] for _ in cases]
    for case, begun, out in zip(cases, started, got, strict=True):
        form, weight, channels = case.format, case.layer.weight, case.expected.shape[2]
        cin, cout, size = case.inputs.shape[2], len(weight), weight.shape[2]
        weights = form.pack_weights(weight), form.weight_words(cin, cout, size), int(form.expand), int(form.double)
        assert weights[1] <= d.weight_half, f"{weights[1]} words of weights, {d.weight_half} in a half of the memory"
        params = form.pack_params(case.bias(), case.layer.multiplier), up(cout, lanes), 0, 0
        loads.append({"weights": weights, "params": params})
        bench.send(kernel.input, to_beats(case.inputs.reshape(-1, cin), d.in_lanes), after=begun)
        if case.residual is not None:
            bench.send(kernel.residual, to_beats(case.residual.reshape(-1, channels), lanes), after=begun)
        beats = case.expected.size // channels * up(channels, lanes) * (1 if case.layer.out_bits else 4)
        bench.take(kernel.output, beats, out, limit=20000, after=begun)
    for name in ("weights", "params"):
        bench.send(getattr(kernel, name).data, [w for load in loads for w in words(load[name][0], d.bus_bits)])

    async def control(ctx: Any) -> None:
        for i, (case, load, begun) in enumerate(zip(cases, loads, started, strict=True)):
            use = (half + i) & 1
            ctx.set(kernel.run, case.run())
            ctx.set(kernel.half, use)
            for name, (_, count, expand, double) in load.items():
                port = getattr(kernel, name)
                values = (("half", use), ("words", count), ("expand", expand), ("double", double), ("go", 1))
                for field, value in values:
                    ctx.set(getattr(port, field), value)
            await ctx.tick()
            for name in load:
                ctx.set(getattr(kernel, name).go, 0)
            await ctx.tick().until(~kernel.weights.busy & ~kernel.params.busy)
            ctx.set(kernel.start, 1)
            await ctx.tick()
            ctx.set(kernel.start, 0)
            begun[0] = True
            if i + 1 < len(cases):
                await ctx.tick().until(kernel.done)

    bench.sim.add_testbench(control)
    bench.run()
    results: list[tuple[Any, int]] = []
    for i, (case, out) in enumerate(zip(cases, got, strict=True)):
        cycles = bench.stamps[id(out)][-1] - bench.first[id(kernel.input)] if i == 0 else 0
        channels = case.expected.shape[2]
        count = up(channels, lanes) * lanes
        flat = np.array(out)
        if not case.layer.out_bits:  # byte planes of 32-bit words
            parts = flat.reshape(-1, 4, lanes).astype(np.uint8).transpose(0, 2, 1)
            flat = np.ascontiguousarray(parts).view("<i4").astype(np.int64)
        results.append((flat.reshape(-1, count)[:, :channels].reshape(case.expected.shape), cycles))
    return results


def kernel_cycles(case: Case) -> tuple[int, int]:
    """Cycles of the cost model: its closed form `stream`, and its recurrence pixel by pixel."""
    run, depth = case.run(), latency(case.design)
    read = run["in_beats"]
    beat = run["turns"] * (1 if case.design.depthwise else read)
    work = run["out_beats"] * (max(beat, APART) if run["residual"] else beat)
    pixels = PixelKernel(
        run["in_height"], run["in_width"], run["size"], run["stride"], run["pad_top"], read, work, depth
    )
    last = pixels.last_input()
    lead, flush = int(last[0]) + 1, int((last == last[-1]).sum())
    inputs = run["in_height"] * run["in_width"]
    return int(stream(lead, flush, inputs, len(last), read, work, depth)), fused_cycles([pixels])
