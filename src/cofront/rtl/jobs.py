"""Calls -> jobs: what each run of the engine computes, in tensors, channels and columns; no addresses yet.

A fused call is one job. A kernel by itself is one job per tile of output channels and vertical stripe, as the cost
model counts them: tiles of whole units when weights exceed half the weight memory (depthwise also when rows exceed
the line buffer), stripes when a row of a k x k convolution exceeds it. Line buffers are counted in words of `pi`
(depthwise `po`) elements here, as the hardware has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cofront.device import Device
from cofront.errors import InputError, UnsupportedError
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.calls import Call, KernelName, Stage
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.lowering import UNFOLD_CHANNELS
from cofront.hardware.subgraph.scalar import call_cost
from cofront.network import Conv2d, GlobalPool, Linear, Network, Node
from cofront.rtl.images import KernelFormat
from cofront.task.integer import QuantizedLayer, QuantizedNetwork

#: Rows and columns are counted in 16 bits.
MAX_ROWS = (1 << 16) - 1

ModeChoice = Literal["auto", "fused", "split"]


@dataclass(frozen=True)
class Geometry:
    """A window: sizes of one layer as the kernel sees it, of a stripe if it is one."""

    size: int
    stride: int
    pad_top: int
    pad_left: int
    in_height: int
    in_width: int
    out_height: int
    out_width: int


@dataclass(frozen=True)
class Step:
    """One layer on one kernel: output channels `first` to `last`; `load` says that its weights are fetched for it."""

    node: Node
    layer: QuantizedLayer
    format: KernelFormat
    geometry: Geometry
    in_channels: int
    first: int
    last: int
    load: bool = True

    @property
    def out_channels(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class Job:
    """One run. `source` and `target` are tensor names; channels and columns are those read and written.

    `pooled` names the tensor of the average over the map, `store` says that the map itself is written.
    """

    call: str
    steps: tuple[Step, ...]
    source: str
    target: str
    channel: int
    channels: int
    column: int
    columns: int
    out_column: int
    out_columns: int
    store: bool = True
    pooled: str | None = None


class Planner:
    """Jobs of a quantised network on a configuration. The mode of each call is the cost model's unless forced."""

    def __init__(
        self,
        quantized: QuantizedNetwork,
        config: Config,
        device: Device,
        bus_bytes: int,
        mode: ModeChoice = "auto",
        co: Coefficients | None = None,
    ) -> None:
        self.quantized, self.net, self.config, self.device = quantized, quantized.network, config, device
        self.bus_bytes, self.mode, self.co = bus_bytes, mode, co or coefficients.load()
        self.kind = ENGINES[config.engine]

    def jobs(self, calls: Sequence[Call]) -> Iterator[Job]:
        """The jobs of all calls in order."""
        for call in calls:
            yield from self.call(call)

    def call(self, call: Call) -> Iterator[Job]:
        """The jobs of one call."""
        nodes = [n for n in (self.net.by_name[name] for name in call.layers) if isinstance(n.op, Conv2d | Linear)]
        pool = next((n for n in call.layers if isinstance(self.net.by_name[n].op, GlobalPool)), None)
        if not nodes:
            yield from self._moved(call, pool)
            return
        plan = call_cost(call, self.config, self.device, self.co)
        if plan.mode == "infeasible":
            raise InputError(f"call '{call.name}' cannot run on this accelerator: {self.config}")
        names: list[KernelName] = [s.kernel for s in call.stages]
        if call.is_pointwise:
            names = [k for k in ("conv", "pw") if k in plan.kernels]
        formats = [self.format(k, s) for k, s in zip(names, call.stages, strict=True)]
        works = list(zip(nodes, call.stages, formats, strict=True))
        fits = len(works) > 1 and all(self._fits(s, f) for _, s, f in works)
        fused = fits and (self.mode == "fused" or (self.mode == "auto" and plan.mode == "fused"))
        if self.mode == "fused" and len(works) > 1 and not fits:
            raise InputError(f"call '{call.name}' does not fit the buffers fused: raise them or split the call")
        if fused:
            steps = tuple(self._step(n, f) for n, _, f in works)
            yield from self._finish(call, [self._whole(call, steps)], pool)
            return
        for i, (node, stage, form) in enumerate(works):
            own = list(self._by_itself(call, node, stage, form))
            yield from self._finish(call, own, pool if i == len(works) - 1 else None)

    def format(self, name: KernelName, stage: Stage) -> KernelFormat:
        """How the kernel counts in this call."""
        kind = self.kind
        double = kind.factor(stage.weight_bits, stage.act_bits) > 1
        expand = kind.weight_bits > 4 and stage.weight_bits <= 4 and not double
        return KernelFormat(name, self.config.kernel(name), kind, self.bus_bytes, double, expand, self.device.dsp_kind)

    def _moved(self, call: Call, pool: str | None) -> Iterator[Job]:
        if pool is None:
            raise UnsupportedError(f"call '{call.name}' only moves data: the engine has no unit for {call.layers}")
        source = self.net.by_name[pool].inputs[0]
        c, _, w = self.net.shapes[source]
        yield Job(call.name, (), source, source, 0, c, 0, w, 0, w, store=False, pooled=pool)

    def _finish(self, call: Call, jobs: list[Job], pool: str | None) -> Iterator[Job]:
        """Pooling belongs to the last run, unless that writes only a stripe: then it is a run of its own."""
        if pool is None:
            yield from jobs
            return
        keep = len(self.net.consumers[self.net.by_name[pool].inputs[0]]) > 1
        if len({j.out_column for j in jobs}) == 1:
            yield from (_pooled(j, pool, keep) for j in jobs)
            return
        yield from jobs
        yield from self._moved(call, pool)

    def _geometry(self, node: Node) -> Geometry:
        shape, out = self.net.in_shapes(node)[0], self.net.shapes[node.name]
        if isinstance(node.op, Linear) or self.unfolded(node):
            rows, columns = (1, 1) if isinstance(node.op, Linear) else out[1:]
            return _pixels(rows, columns)
        op = node.op
        assert isinstance(op, Conv2d)
        if op.kernel[0] != op.kernel[1] or op.stride[0] != op.stride[1]:
            raise UnsupportedError(f"layer '{node.name}': the engine has square kernels and strides only")
        if op.kernel == op.stride == (1, 1) and not any(op.padding):
            return _pixels(*out[1:])
        return Geometry(op.kernel[0], op.stride[0], op.padding[0], op.padding[1], *shape[1:], *out[1:])

    def unfolded(self, node: Node) -> bool:
        """Whether the host unfolds the windows of this layer (im2col of the image), as lowering decides."""
        return unfolded(self.net, node)

    def channels(self, node: Node) -> tuple[int, int]:
        """Input and output channels as the kernel sees them."""
        weight = self.quantized.layers[node.name].weight
        if self.unfolded(node):
            return weight[0].size, len(weight)
        return self.net.in_shapes(node)[0][0], len(weight)

    def _step(self, node: Node, form: KernelFormat) -> Step:
        cin, cout = self.channels(node)
        layer = self.quantized.layers[node.name]
        return Step(node, layer, form, self._geometry(node), cin, 0, cout)

    def _whole(self, call: Call, steps: tuple[Step, ...]) -> Job:
        first, last = steps[0], steps[-1]
        source, target = first.node.inputs[0], last.layer.output
        shape, out = self.net.shapes[source], self.net.shapes[last.node.name]
        if self.unfolded(first.node):
            source, shape = unfolded_name(first.node), self.net.shapes[first.node.name]
        widths = [x[2] if len(x) == 3 else 1 for x in (shape, out)]
        if isinstance(first.node.op, Linear):
            widths[0] = 1
        return Job(call.name, steps, source, target, 0, first.in_channels, 0, widths[0], 0, widths[1])

    def _fits(self, stage: Stage, form: KernelFormat) -> bool:
        size = round(stage.taps**0.5)
        words = form.weight_words(stage.in_channels, stage.out_channels, size)
        row = stage.in_width * form.in_beats(stage.in_channels)
        lines = not stage.windowed or row <= form.design.line_words
        return words <= form.design.weight_half and lines

    def _by_itself(self, call: Call, node: Node, stage: Stage, form: KernelFormat) -> Iterator[Job]:
        whole = self._whole(call, (self._step(node, form),))
        step, geometry = whole.steps[0], whole.steps[0].geometry
        inputs = 1 if form.depthwise else form.in_beats(step.in_channels)
        cap = form.design.weight_half // (inputs * form.turns(geometry.size))
        if not step.layer.out_bits and cap < form.out_beats(step.out_channels):
            # Logits stand in groups of all output lanes (see `layout`): every tile but the last has whole groups.
            group = form.design.out_lanes // form.lanes
            cap = cap // group * group
        stripes = [(0, whole.columns, 0, whole.out_columns)]
        if form.depthwise:
            cap = min(cap, form.design.line_words // geometry.in_width)
        elif form.name == "conv":
            columns = form.design.line_words // form.in_beats(step.in_channels)
            if columns < geometry.in_width:
                if geometry.size == geometry.stride == 1:  # stripes are of the map itself
                    rows = geometry.in_height * geometry.in_width // whole.columns
                    geometry = replace(
                        geometry, in_height=rows, out_height=rows, in_width=whole.columns, out_width=whole.columns
                    )
                stripes = _stripes(geometry, columns)
        if cap < 1 or not stripes:
            raise InputError(f"layer '{node.name}' does not fit the buffers of kernel '{form.name}' in any tiling")
        for first in range(0, step.out_channels, cap * form.lanes):
            last = min(first + cap * form.lanes, step.out_channels)
            for i, (column, columns, out_column, out_columns) in enumerate(stripes):
                window = geometry
                if len(stripes) > 1:
                    pad_left = max(geometry.pad_left - out_column * geometry.stride, 0)
                    window = replace(geometry, pad_left=pad_left, in_width=columns, out_width=out_columns)
                cin = last - first if form.depthwise else step.in_channels
                part = Step(node, step.layer, form, window, cin, first, last, load=i == 0)
                channel = first if form.depthwise else 0
                yield Job(
                    call.name,
                    (part,),
                    whole.source,
                    whole.target,
                    channel,
                    cin,
                    column,
                    columns,
                    out_column,
                    out_columns,
                )


def _pixels(height: int, width: int) -> Geometry:
    """A map whose shape does not matter, as narrow as rows can be counted: they take least of a line buffer."""
    pixels, narrow = height * width, 1
    while narrow < width and (pixels % narrow or pixels // narrow > MAX_ROWS):
        narrow += 1
    return Geometry(1, 1, 0, 0, pixels // narrow, narrow, pixels // narrow, narrow)


def _pooled(job: Job, pool: str, keep: bool) -> Job:
    return replace(job, pooled=pool, store=keep)


def _stripes(g: Geometry, columns: int) -> list[tuple[int, int, int, int]]:
    """(column, columns, out column, out columns) of stripes that read at most `columns` columns; none if impossible."""
    done = 0
    out: list[tuple[int, int, int, int]] = []
    while done < g.out_width:
        start = max(done * g.stride - g.pad_left, 0)
        count = 0
        while done + count < g.out_width:
            end = min((done + count) * g.stride - g.pad_left + g.size, g.in_width)
            if end - start > columns:
                break
            count += 1
        if count == 0:
            return []
        end = min((done + count - 1) * g.stride - g.pad_left + g.size, g.in_width)
        out.append((start, max(end - start, 1), done, count))
        done += count
    return out


def unfolded(net: Network, node: Node) -> bool:
    """Whether the host unfolds this layer's windows: a k x k convolution on the image, as `lowering` has it."""
    op, source = node.op, node.inputs[0]
    few = source == net.input.name and net.shapes[source][0] <= UNFOLD_CHANNELS
    return isinstance(op, Conv2d) and op.groups == 1 and few and op.kernel != (1, 1)


def unfolded_name(node: Node) -> str:
    """Name of the unfolded image of a layer; no node has it."""
    return f"{node.name}:unfolded"
