"""Runs a kernel on a test case: loads its memories, streams its input, collects its output."""

from __future__ import annotations

from typing import Any

import numpy as np
from rtl_bench import Bench, to_beats
from rtl_reference import Case, planes

from cofront.hardware.subgraph.formulas import stream
from cofront.hardware.subgraph.recurrence import PixelKernel, fused_cycles
from cofront.rtl.config import up
from cofront.rtl.kernel import Kernel, latency


def words(image: bytes, bus_bits: int) -> list[int]:
    size = bus_bits // 8
    return [int.from_bytes(image[i : i + size], "little") for i in range(0, len(image), size)]


def simulate(case: Case, stall: float = 0.0, seed: int = 0, half: int = 0) -> tuple[Any, int]:
    """Output (h, w, c) (of logits: beats) and the cycles from the first input beat to the last output beat."""
    d, form = case.design, case.format
    kernel = Kernel(d)
    bench = Bench(kernel, seed, stall)
    weight, bias = case.layer.weight, case.bias()
    cin, cout, size = case.inputs.shape[2], len(weight), weight.shape[2]
    images = {
        "weights": (form.pack_weights(weight), form.weight_words(cin, cout, size), int(form.expand), int(form.double)),
        "params": (form.pack_params(bias, case.layer.multiplier), up(cout, d.out_lanes), 0, 0),
    }
    for name, (image, *_) in images.items():
        bench.send(getattr(kernel, name).data, words(image, d.bus_bits))
    lanes = d.out_lanes
    channels = case.expected.shape[2]
    if case.layer.out_bits:
        expected = to_beats(case.expected.reshape(-1, channels), lanes)
    else:
        expected = [b for pixel in case.expected.reshape(-1, channels) for b in planes(pixel, lanes)]
    got: list[Any] = []
    ready = [False]

    async def control(ctx: Any) -> None:
        ctx.set(kernel.run, case.run())
        ctx.set(kernel.half, half)
        for name, (_, count, expand, double) in images.items():
            port = getattr(kernel, name)
            for field, value in (("half", half), ("words", count), ("expand", expand), ("double", double), ("go", 1)):
                ctx.set(getattr(port, field), value)
        await ctx.tick()
        for name in images:
            ctx.set(getattr(kernel, name).go, 0)
        await ctx.tick().until(~kernel.weights.busy & ~kernel.params.busy)
        ctx.set(kernel.start, 1)
        await ctx.tick()
        ctx.set(kernel.start, 0)
        ready[0] = True

    bench.sim.add_testbench(control)
    pixels = case.inputs.reshape(-1, case.inputs.shape[2])
    bench.send(kernel.input, to_beats(pixels, d.in_lanes), after=ready)
    if case.residual is not None:
        bench.send(kernel.residual, to_beats(case.residual.reshape(-1, channels), lanes))
    bench.take(kernel.output, len(expected), got, limit=20000)
    bench.run()
    cycles = bench.stamps[id(got)][-1] - bench.first[id(kernel.input)]
    if not case.layer.out_bits:
        return (got == expected), cycles
    per = up(channels, lanes)
    flat = np.array(got).reshape(-1, per * lanes)[:, :channels]
    return flat.reshape(case.expected.shape), cycles


def kernel_cycles(case: Case) -> tuple[int, int]:
    """Cycles of the cost model: its closed form `stream`, and its recurrence pixel by pixel."""
    run, depth = case.run(), latency(case.design)
    read = run["in_beats"]
    work = run["out_beats"] * run["turns"] * (1 if case.design.depthwise else read)
    pixels = PixelKernel(
        run["in_height"], run["in_width"], run["size"], run["stride"], run["pad_top"], read=read, work=work
    )
    last = pixels.last_input()
    lead, flush = int(last[0]) + 1, int((last == last[-1]).sum())
    inputs = run["in_height"] * run["in_width"]
    return int(stream(lead, flush, inputs, len(last), read, work, depth)), fused_cycles([pixels], depth)
