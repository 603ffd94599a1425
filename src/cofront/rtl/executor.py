"""Execution of a program in NumPy, from the memory image alone: the definition of what the engine does with it.

Descriptors, weights, constants and tensors are all read from memory, so that the compiler is tested before any RTL is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.hardware.subgraph.calls import KERNELS
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.engines import ENGINES
from cofront.rtl.config import up
from cofront.rtl.descriptor import SIZE_BYTES, decode
from cofront.rtl.images import KernelFormat
from cofront.rtl.layout import to_planes
from cofront.rtl.program import Program

Ints = npt.NDArray[Any]


def execute(program: Program, config: Config, memory: npt.NDArray[np.uint8]) -> None:
    """Run all descriptors on a memory image (bytes,), in place."""
    machine = _Machine(config, memory, program.bus_bytes)
    for i in range(program.descriptors):
        machine.run(decode(memory[i * SIZE_BYTES : (i + 1) * SIZE_BYTES].tobytes()))


class _Machine:
    def __init__(self, config: Config, memory: npt.NDArray[np.uint8], bus: int) -> None:
        self.config, self.memory, self.bus = config, memory, bus
        self.kind = ENGINES[config.engine]
        self.loaded: dict[str, tuple[Ints, Ints, Ints]] = {}

    def run(self, d: dict[str, int]) -> None:
        """One descriptor."""
        x = self.read("in", d, d["in_channels"], d["in_skip"])
        if d["table_on"]:
            table = (d["table_start"] + np.arange(256) * d["table_step"]) >> d["table_shift"]
            x = np.clip(table + d["table_zero"], 0, d["table_top"])[x]
        self.fill(d)
        active = [k for k in KERNELS if d[f"{k}_on"]]
        for name in active:
            last = name == active[-1]
            step = {key[len(name) + 1 :]: value for key, value in d.items() if key.startswith(f"{name}_")}
            residual = None
            if last and d["residual_on"]:
                residual = self.read("residual", d, d[f"{name}_out_channels"], d["residual_skip"])
            x = self.kernel(name, step, x, residual, last and bool(d["logits"]))
        if d["logits"]:
            x = to_planes(x, self.form(active[-1], d).design.out_lanes)
        x = x.reshape(-1, d["out_channels"])
        if len(x) != d["out_pixels"]:
            raise InputError(f"descriptor: {len(x)} pixels come out, {d['out_pixels']} are expected")
        if d["map_on"]:
            self.write(d, x.astype(np.uint8))
        if d["pool_on"]:
            total = (x.sum(0) - d["pool_offset"]) * d["pool_multiplier"] + (1 << d["pool_shift"] >> 1)
            pooled = np.clip((total >> d["pool_shift"]) + d["pool_zero"], 0, d["pool_top"])
            at = d["pool_base"] + d["out_skip"]
            self.memory[at : at + len(pooled)] = pooled.astype(np.uint8)

    def addresses(self, name: str, d: dict[str, int]) -> Ints:
        """Byte address of every bus word of a stream, in order."""
        rows = np.arange(d[f"{name}_rows"])[:, None, None] * d[f"{name}_row_pitch"]
        columns = np.arange(d[f"{name}_columns"])[:, None] * d[f"{name}_column_pitch"]
        run = np.arange(d[f"{name}_run"]) * self.bus
        return (d[f"{name}_base"] + rows + columns + run).reshape(-1)

    def read(self, name: str, d: dict[str, int], channels: int, skip: int) -> Ints:
        """(pixels, channels) of a stream."""
        at = self.addresses(name, d)
        words = self.memory[at[:, None] + np.arange(self.bus)]
        return words.reshape(-1, up(skip + channels, self.bus) * self.bus)[:, skip : skip + channels].astype(np.int64)

    def write(self, d: dict[str, int], raw: npt.NDArray[np.uint8]) -> None:
        """Write a stream (pixels, bytes); bytes beside it stay as they are."""
        at, skip = self.addresses("out", d), d["out_skip"]
        per_pixel = up(skip + raw.shape[1], self.bus)
        bytes_at = (at[:, None] + np.arange(self.bus)).reshape(len(raw), per_pixel * self.bus)
        self.memory[bytes_at[:, skip : skip + raw.shape[1]]] = raw

    def kernel(self, name: str, s: dict[str, int], x: Ints, residual: Ints | None, logits: bool) -> Ints:
        """(pixels, cout) from (pixels, cin) through one kernel."""
        cin, cout, size, stride = s["in_channels"], s["out_channels"], s["size"], s["stride"]
        weight, bias, multiplier = self.loaded[name]
        x = x.reshape(s["in_height"], s["in_width"], cin)
        bottom = (s["out_height"] - 1) * stride + size - s["pad_top"] - s["in_height"]
        right = (s["out_width"] - 1) * stride + size - s["pad_left"] - s["in_width"]
        sides = ((s["pad_top"], max(bottom, 0)), (s["pad_left"], max(right, 0)), (0, 0))
        x = np.pad(x, sides, constant_values=s["zero_in"]).astype(np.float64)  # exact: sums are below 2^53
        acc = np.zeros((s["out_height"], s["out_width"], cout))
        for ky in range(size):
            for kx in range(size):
                tap = x[ky : ky + stride * (s["out_height"] - 1) + 1 : stride]
                tap = tap[:, kx : kx + stride * (s["out_width"] - 1) + 1 : stride]
                part = weight[:, :, ky, kx].astype(np.float64)
                acc += tap * part[:, 0] if name == "dw" else tap @ part.T
        wide = (acc.astype(np.int64) + bias) * multiplier
        if residual is not None and s["residual"]:
            wide += ((residual - s["residual_zero"]) * s["residual_multiplier"]).reshape(wide.shape)
        wide = (wide + (1 << s["shift"] >> 1)) >> s["shift"]
        out: Ints = (wide if logits else np.clip(wide + s["zero_out"], 0, s["top"])).reshape(-1, cout)
        return out

    def form(self, name: str, d: dict[str, int]) -> KernelFormat:
        double, expand = bool(d[f"{name}_double"]), bool(d[f"{name}_expand"])
        return KernelFormat(name, self.config.kernel(name), self.kind, self.bus, double, expand)

    def fill(self, d: dict[str, int]) -> None:
        """Weights, biases and multipliers from the load, within the kernels' memories."""
        at = d["load_base"]
        for name in KERNELS:
            words, constants = d[f"{name}_weight_words"], d[f"{name}_param_words"]
            if not words:
                continue
            form, cin, cout, size = self.form(name, d), *(d[f"{name}_{k}"] for k in _SHAPE)
            if words != form.weight_words(cin, cout, size) or constants != form.param_words(cout):
                raise InputError(f"descriptor: {words} and {constants} words are not what kernel '{name}' needs")
            if words > form.design.weight_half or constants > form.design.param_half:
                raise InputError(f"descriptor: {words} weight or {constants} constant words exceed kernel '{name}'")
            row = d[f"{name}_in_width"] * d[f"{name}_in_beats"]
            if name != "pw" and row > form.design.line_words:
                raise InputError(f"descriptor: a row of {row} words exceeds the line buffer's {form.design.line_words}")
            end = at + form.weight_format.bus_words(words) * self.bus
            weight = form.unpack_weights(self.memory[at:end], cin, cout, size)
            at = end + form.param_format.bus_words(constants) * self.bus
            self.loaded[name] = (weight, *form.unpack_params(self.memory[end:at], cout))
        if at != d["load_base"] + d["load_words"] * self.bus:
            raise InputError(f"descriptor: {d['load_words']} words to load, {at - d['load_base']} bytes are used")


_SHAPE = ("in_channels", "out_channels", "size")
