"""A kernel without hardware: the ports of a kernel, driven by a Python process. For tests of the engine around it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring

from cofront.rtl.config import KERNEL_RUN, KernelDesign, kernel_ports
from cofront.rtl.images import KernelFormat
from cofront.rtl.layout import to_planes


class ModelKernel(wiring.Component):
    """Reads a whole map, computes it, sends it; loads its memories meanwhile."""

    def __init__(self, design: KernelDesign) -> None:
        self.design = design
        self.random = random.Random(design.name)
        self.memory: dict[tuple[str, int], tuple[np.ndarray, bool]] = {}
        super().__init__(kernel_ports(design))

    def elaborate(self, platform: Any) -> Module:
        return Module()

    def attach(self, sim: Any) -> None:
        for process in (self.compute, self.loader("weights"), self.loader("params")):
            sim.add_testbench(process, background=True)

    def form(self, double: bool, expand: bool) -> KernelFormat:
        d = self.design
        return KernelFormat(d.name, d.kernel, d.kind, d.bus_bits // 8, double, expand)

    def loader(self, what: str) -> Any:
        port = getattr(self, what)

        async def process(ctx: Any) -> None:
            while True:
                _, _, go, half, words, expand = await ctx.tick().sample(port.go, port.half, port.words, port.expand)
                if not go:
                    continue
                ctx.set(port.busy, 1)
                size = self.design.bus_bits // 8
                # Which precision the weights have is only known with the run, so bus words are counted by `expand`.
                form = self.form(False, bool(expand))
                memory = form.weight_format if what == "weights" else form.param_format
                data = b""
                while len(data) < memory.bus_words(words) * size:
                    ctx.set(port.data.ready, self.random.random() < 0.8)
                    _, _, valid, ready, payload = await ctx.tick().sample(
                        port.data.valid, port.data.ready, port.data.payload
                    )
                    if valid and ready:
                        data += payload.to_bytes(size, "little")
                ctx.set(port.data.ready, 0)
                ctx.set(port.busy, 0)
                self.memory[what, half] = (np.frombuffer(data, np.uint8), bool(expand))

        return process

    async def take(self, ctx: Any, port: Any, count: int) -> np.ndarray:
        got: list[list[int]] = []
        while len(got) < count:
            ready = self.random.random() < 0.8
            ctx.set(port.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
            if valid and ready:
                got.append(list(payload))
        ctx.set(port.ready, 0)
        return np.array(got, np.int64)

    async def compute(self, ctx: Any) -> None:
        d = self.design
        while True:
            _, _, start, run, half = await ctx.tick().sample(self.start, self.run, self.half)
            if not start:
                continue
            r = {key: getattr(run, key) for key in KERNEL_RUN.members}
            data, expand = self.memory["weights", half]
            form = self.form(bool(r["double"]), expand)
            cout = r["out_beats"] * form.lanes
            cin = cout if d.depthwise else r["in_beats"] * d.kernel.pi
            weight = form.unpack_weights(data, cin, cout, r["size"])
            stored = form.param_words(cout) * d.out_lanes
            bias, multiplier = form.unpack_params(self.memory["params", half][0], stored)
            bias, multiplier = bias[:cout], multiplier[:cout]
            per_pixel = -(-cin // d.in_lanes)
            x = await self.take(ctx, self.input, r["in_height"] * r["in_width"] * per_pixel)
            x = x.reshape(r["in_height"], r["in_width"], -1)[:, :, :cin]
            bottom = (r["out_height"] - 1) * r["stride"] + r["size"] - r["pad_top"] - r["in_height"]
            right = (r["out_width"] - 1) * r["stride"] + r["size"] - r["pad_left"] - r["in_width"]
            sides = ((r["pad_top"], max(bottom, 0)), (r["pad_left"], max(right, 0)), (0, 0))
            x = np.pad(x, sides, constant_values=r["zero_in"])
            acc = np.zeros((r["out_height"], r["out_width"], cout), np.int64) + bias
            for ky, kx in np.ndindex(r["size"], r["size"]):
                tap = x[ky :: r["stride"], kx :: r["stride"]][: r["out_height"], : r["out_width"]]
                acc += tap * weight[:, 0, ky, kx] if d.depthwise else tap @ weight[:, :, ky, kx].T
            wide = acc * multiplier
            beats_out = -(-cout // d.out_lanes)
            if r["residual"]:
                got = await self.take(ctx, self.residual, r["out_height"] * r["out_width"] * beats_out)
                other = got.reshape(*wide.shape[:2], -1)[:, :, :cout]
                wide += (other - r["residual_zero"]) * r["residual_multiplier"]
            wide = (wide + (1 << r["shift"] >> 1)) >> r["shift"]
            if r["logits"]:
                out = to_planes(wide.reshape(-1, cout), d.out_lanes).reshape(-1, d.out_lanes)
            else:
                out = np.zeros((r["out_height"] * r["out_width"], beats_out * d.out_lanes), np.int64)
                out[:, :cout] = np.clip(wide + r["zero_out"], 0, r["top"]).reshape(-1, cout)
                out = out.reshape(-1, d.out_lanes)
            for beat in out:
                while self.random.random() < 0.2:
                    await ctx.tick()
                ctx.set(self.output.payload, [int(v) for v in beat])
                ctx.set(self.output.valid, 1)
                while not (await ctx.tick().sample(self.output.ready))[2]:
                    pass
                ctx.set(self.output.valid, 0)
            ctx.set(self.done, 1)
            await ctx.tick()
            ctx.set(self.done, 0)
