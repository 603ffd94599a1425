"""Network + integers + configuration -> Program.

The zero point of what a layer reads is folded into its bias (sum w (q - z) = sum w q - z sum w), padding is fed as
q = z. Accumulators are proven to fit their width, layer by layer.
"""

from __future__ import annotations

import numpy as np

from cofront.device import Device
from cofront.errors import InputError, UnsupportedError
from cofront.hardware.subgraph import lower
from cofront.hardware.subgraph.coefficients import Coefficients, check_bus_bits
from cofront.hardware.subgraph.config import Config
from cofront.network import Conv2d, Flatten, Linear
from cofront.rtl.admitted import check_admitted
from cofront.rtl.average import MAX_PIXELS
from cofront.rtl.average import MAX_SHIFT as MAX_AVERAGE_SHIFT
from cofront.rtl.config import acc_bits as accumulator_bits
from cofront.rtl.config import check_run, up
from cofront.rtl.descriptor import RUN_BITS, SIZE_BYTES, encode
from cofront.rtl.jobs import Job, ModeChoice, Planner, Step, unfolded, unfolded_name
from cofront.rtl.layout import Ints, TensorLayout
from cofront.rtl.program import HostImage, JobInfo, Program
from cofront.task.integer import QuantizedNetwork

#: Tensors start at multiples of this, so that bursts seldom meet a 4 KB boundary.
ALIGN = 64
#: Descriptors of a program: the engine counts them in 16 bits.
MAX_DESCRIPTORS = (1 << 16) - 1


def compile_program(
    quantized: QuantizedNetwork,
    config: Config,
    device: Device,
    *,
    bus_bits: int = 128,
    mode: ModeChoice = "auto",
    acc_bits: int | None = None,
    co: Coefficients | None = None,
) -> Program:
    """The program of a network. `mode` "auto" takes each call as the cost model does, else all are forced.

    Sums must fit `acc_bits`, by the device's slices if not given.
    """
    check_bus_bits(bus_bits)
    check_admitted(quantized)
    planner = Planner(quantized, config, device, bus_bits // 8, mode, co)
    jobs = list(planner.jobs(lower(quantized.network, bus_bits // 8)))
    if len(jobs) > MAX_DESCRIPTORS:
        raise InputError(
            f"the program has {len(jobs)} runs, the engine counts {MAX_DESCRIPTORS}: take larger weight memories"
        )
    return _Compiler(quantized, bus_bits // 8, acc_bits or accumulator_bits(device.dsp_kind), jobs).program()


class _Compiler:
    def __init__(self, quantized: QuantizedNetwork, bus_bytes: int, acc_bits: int, jobs: list[Job]) -> None:
        self.quantized, self.net, self.bus, self.acc_bits, self.jobs = (
            quantized,
            quantized.network,
            bus_bytes,
            acc_bits,
            jobs,
        )
        self.constants = bytearray(up(len(jobs) * SIZE_BYTES, ALIGN) * ALIGN)
        self.loads: list[tuple[int, int]] = []
        self.tensors: dict[str, TensorLayout] = {}
        self.hosts: list[HostImage] = []
        self.top = 0

    def program(self) -> Program:
        for job in self.jobs:
            data = b"".join(self.image(step) for step in job.steps if step.load)
            self.loads.append((self.append(data), len(data) // self.bus))
        self.top = up(len(self.constants), ALIGN) * ALIGN
        self.place_inputs()
        fields = [
            self.values(job) | {"load_base": base, "load_words": words}
            for job, (base, words) in zip(self.jobs, self.loads, strict=True)
        ]
        if self.top >= 1 << 32:
            raise InputError(f"the program needs {self.top} bytes of memory; addresses have 32 bits")
        infos = [_info(job, values) for job, values in zip(self.jobs, fields, strict=True)]
        blob = b"".join(encode(values) for values in fields)
        self.constants[: len(blob)] = blob
        output = self.net.output.name
        while output not in self.tensors:
            output = self.net.by_name[output].inputs[0]
        return Program(
            self.bus,
            bytes(self.constants),
            self.top,
            len(self.jobs),
            tuple(self.hosts),
            output,
            self.tensors,
            tuple(infos),
        )

    def append(self, data: bytes) -> int:
        base = up(len(self.constants), ALIGN) * ALIGN
        self.constants.extend(bytes(base - len(self.constants)))
        self.constants.extend(data)
        return base

    def image(self, step: Step) -> bytes:
        """Weights, then requantisation constants."""
        layer, part = step.layer, slice(step.first, step.last)
        weight = _kernel_weight(step, unfolded(self.net, step.node))
        bias = layer.bias[part].astype(np.int64) - layer.zero_in * weight.reshape(len(weight), -1).sum(1)
        self.prove(step, weight, bias)
        return step.format.pack_weights(weight) + step.format.pack_params(bias, layer.multiplier[part])

    def prove(self, step: Step, weight: Ints, bias: Ints) -> None:
        highest = 2 ** self.read_bits(step) - 1
        reach = int((np.abs(weight).reshape(len(weight), -1).sum(1) * highest + np.abs(bias)).max())
        if reach >= 1 << (self.acc_bits - 1):
            raise InputError(
                f"layer '{step.node.name}': sums may reach {reach}, accumulators of {self.acc_bits} bits end at "
                f"{(1 << (self.acc_bits - 1)) - 1}; build the engine with wider ones"
            )

    def read_bits(self, step: Step) -> int:
        """Bits of what the layer multiplies."""
        if step.layer.read is not None:
            return step.layer.read.bits
        return self.stored_bits(step.node.inputs[0])

    def stored_bits(self, tensor: str) -> int:
        node = self.net.by_name[tensor]
        if isinstance(node.op, Flatten):
            return self.stored_bits(node.inputs[0])
        if tensor in self.quantized.pools:
            return self.quantized.pools[tensor].bits
        return next((x.out_bits for x in self.quantized.layers.values() if x.output == tensor), 8)

    # Tensors

    def place(self, name: str, channels: int, height: int, width: int, logits: int = 0) -> TensorLayout:
        layout = TensorLayout(name, self.top, height, width, channels, self.bus, logits)
        self.tensors[name] = layout
        self.top += up(layout.total_bytes, ALIGN) * ALIGN
        return layout

    def place_inputs(self) -> None:
        source = self.net.input.name
        c, h, w = self.net.shapes[source]
        side = h if h == w else 0
        plain = False
        for node in self.net.consumers[source]:
            if not unfolded(self.net, node):
                plain = True
                continue
            op, layer = node.op, self.quantized.layers[node.name]
            assert isinstance(op, Conv2d)
            fill = layer.read.zero_in if layer.read else layer.zero_in
            if op.kernel[0] != op.kernel[1] or op.stride[0] != op.stride[1]:
                raise UnsupportedError(f"layer '{node.name}': the engine has square kernels and strides only")
            name = unfolded_name(node)
            self.place(name, c * op.kernel[0] ** 2, *self.net.shapes[node.name][1:])
            self.hosts.append(HostImage(name, side, op.kernel[0], op.stride[0], op.padding, fill))
        if plain:
            self.place(source, c, h, w)
            self.hosts.append(HostImage(source, side, 1, 1, (0, 0, 0, 0), 0))

    def tensor(self, name: str, logits: int = 0) -> TensorLayout:
        """The layout of a tensor, placed when it is first met; `logits` as in TensorLayout."""
        if name in self.tensors:
            return self.tensors[name]
        node = self.net.by_name[name]
        shape = self.net.shapes[name]
        if isinstance(node.op, Flatten):
            below = self.tensor(node.inputs[0])
            if below.height * below.width > 1 and below.pixel_bytes != below.channels:
                raise UnsupportedError(f"'{name}' flattens a map whose {below.channels} channels are padded in memory")
            return TensorLayout(name, below.base, 1, 1, shape[0], self.bus)
        channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
        return self.place(name, channels, height, width, logits)

    # Descriptors

    def values(self, job: Job) -> dict[str, int]:
        out: dict[str, int] = {"map_on": int(job.store)}
        source = self.tensor(job.source)
        out |= self.pattern("in", source, job.channel, job.channels, job.column, job.columns)
        out |= {"in_channels": job.channels, "in_pixels": job.columns * source.height}
        first, count = job.channel, job.channels
        out_pixels = job.columns * source.height
        if job.steps:
            last = job.steps[-1]
            first, count = last.first, last.out_channels
            geometry = last.geometry
            out_pixels = geometry.out_width * geometry.out_height
            if job.store:
                lanes = 0 if last.layer.out_bits else last.format.design.out_lanes
                target = self.tensor(job.target, lanes)
                out |= self.pattern("out", target, first, count, job.out_column, job.out_columns)
                out["logits"] = int(lanes > 0)
                count = target.stream_bytes(count)
            out |= self.residual(job)
            for i, step in enumerate(job.steps):
                out |= self.step(step, i == 0, i == len(job.steps) - 1)
        if job.pooled is not None:
            out |= self.pool(job, first, out_pixels)
        return out | {"out_channels": count, "out_pixels": out_pixels}

    def pattern(
        self, name: str, layout: TensorLayout, channel: int, channels: int, column: int, columns: int
    ) -> dict[str, int]:
        """Fields of a stream of part of a tensor: contiguous pixels and rows are taken as one run."""
        start = layout.stream_bytes(channel)
        skip = start % self.bus
        run, rows = up(skip + layout.stream_bytes(channels), self.bus), layout.height
        base = layout.base + column * layout.pixel_bytes + start - skip
        column_pitch, row_pitch = layout.pixel_bytes, layout.row_bytes
        if run * self.bus == column_pitch and run * columns < 1 << RUN_BITS:
            run, columns = run * columns, 1
            if run * self.bus == row_pitch and run * rows < 1 << RUN_BITS:
                run, rows = run * rows, 1
        return {
            f"{name}_skip": skip,
            f"{name}_base": base,
            f"{name}_run": run,
            f"{name}_columns": columns,
            f"{name}_rows": rows,
            f"{name}_column_pitch": column_pitch,
            f"{name}_row_pitch": row_pitch,
        }

    def residual(self, job: Job) -> dict[str, int]:
        last = job.steps[-1]
        inner = [s.node.name for s in job.steps[:-1] if s.layer.residual] + [
            s.node.name for s in job.steps[1:] if s.layer.read
        ]
        if inner:
            raise UnsupportedError(f"layer '{inner[0]}' adds or rescales inside a call, which the engine cannot")
        if last.layer.residual is None:
            return {}
        if last.format.depthwise:
            raise UnsupportedError(f"layer '{last.node.name}': the depthwise kernel adds no residual")
        layout = self.tensor(last.layer.residual.tensor)
        part = (last.first, last.out_channels, job.out_column, job.out_columns)
        return {"residual_on": 1, **self.pattern("residual", layout, *part)}

    def pool(self, job: Job, first: int, pixels: int) -> dict[str, int]:
        assert job.pooled is not None
        scale = self.quantized.pools[job.pooled]
        if pixels > MAX_PIXELS:
            raise InputError(f"'{job.pooled}' averages {pixels} pixels; sums of the engine hold {MAX_PIXELS}")
        if scale.shift > MAX_AVERAGE_SHIFT:
            raise InputError(
                f"'{job.pooled}' shifts its average by {scale.shift}; the engine shifts by at most {MAX_AVERAGE_SHIFT}"
            )
        layout = self.tensor(job.pooled)
        skip = first % self.bus
        return {
            "pool_on": 1,
            "out_skip": skip,
            "pool_base": layout.base + first - skip,
            "pool_multiplier": scale.multiplier,
            "pool_shift": scale.shift,
            "pool_zero": scale.zero,
            "pool_offset": pixels * scale.zero_in,
            "pool_top": 2**scale.bits - 1,
        }

    def step(self, step: Step, first: bool, last: bool) -> dict[str, int]:
        form, layer, g = step.format, step.layer, step.geometry
        fields = {
            "in_channels": step.in_channels,
            "out_channels": step.out_channels,
            "in_width": g.in_width,
            "in_height": g.in_height,
            "out_width": g.out_width,
            "out_height": g.out_height,
            "in_beats": form.in_beats(step.in_channels),
            "out_beats": form.out_beats(step.out_channels),
            "size": g.size,
            "stride": g.stride,
            "pad_top": g.pad_top,
            "pad_left": g.pad_left,
            "turns": form.turns(g.size),
            "shift": layer.shift,
            "top": 2**layer.out_bits - 1 if layer.out_bits else 0,
            "zero_in": layer.zero_in,
            "zero_out": layer.zero_out,
            "double": int(form.double),
            "expand": int(form.expand),
        }
        if step.load:
            fields["weight_words"] = form.weight_words(step.in_channels, step.out_channels, g.size)
            fields["param_words"] = form.param_words(step.out_channels)
        if layer.residual is not None:
            fields |= {
                "residual": 1,
                "residual_zero": layer.residual.zero,
                "residual_multiplier": layer.residual.multiplier,
            }
        check_run(form.design, {**fields, "logits": int(not layer.out_bits)}, step.node.name)
        out = {f"{form.name}_{key}": value for key, value in fields.items()}
        out[f"{form.name}_on"] = 1
        if first and layer.read is not None:
            read = layer.read
            if read.shift > 31 or read.bits > 4:
                given = f"shift {read.shift} to {read.bits} bits"
                raise UnsupportedError(
                    f"layer '{step.node.name}': reading takes a shift up to 31 to 4 bits, not {given}"
                )
            out |= {
                "table_on": 1,
                "table_start": (1 << read.shift >> 1) - read.zero_in * read.multiplier,
                "table_step": read.multiplier,
                "table_shift": read.shift,
                "table_zero": read.zero,
                "table_top": 2**read.bits - 1,
            }
        return out


def _kernel_weight(step: Step, unfold: bool) -> Ints:
    """Weights (cout, cin / groups, k, k) as the kernel counts them."""
    weight = step.layer.weight[step.first : step.last].astype(np.int64)
    if isinstance(step.node.op, Linear):
        return weight[:, :, None, None]
    if unfold:
        return weight.transpose(0, 2, 3, 1).reshape(len(weight), -1, 1, 1)
    return weight


def _info(job: Job, values: dict[str, int]) -> JobInfo:
    words = [
        values.get(f"{name}_run", 0) * values.get(f"{name}_columns", 0) * values.get(f"{name}_rows", 0)
        for name in ("in", "residual", "out")
    ]
    last = job.steps[-1] if job.steps else None
    return JobInfo(
        job.call,
        tuple(s.node.name for s in job.steps),
        tuple(s.format.name for s in job.steps),
        job.target if job.store or job.pooled is None else job.pooled,
        (last.first, last.last) if last else (job.channel, job.channel + job.channels),
        (job.out_column, job.out_column + job.out_columns),
        words[0] + words[1],
        words[2] if job.store else 0,
        values["load_words"],
    )
