"""Network -> calls.

Consecutive layers of one `block` label that feed only each other are matched greedily to one call conv -> dw -> pw;
activations, residual additions and pooling are folded into the call that produces their operand. Our reconstruction of
the subgraph template of [HAO21] and [CoDeNet21].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from cofront.errors import UnsupportedError
from cofront.hardware.subgraph.calls import KERNELS, PARAM_BITS, Call, KernelName, Stage, bits_to_bytes
from cofront.hardware.subgraph.late import late_rows
from cofront.network import (
    Activation,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    Flatten,
    GlobalPool,
    Linear,
    Mul,
    Network,
    Node,
    Pool2d,
)

#: A convolution that reads the network's input with at most this many channels (an image) is unfolded by the host
#: (im2col), so that it becomes a 1 x 1 convolution: three channels would leave most input lanes idle.
UNFOLD_CHANNELS = 4

#: Cycles between output beats that add a residual: their lanes multiply twice (`rtl/requantise.py`).
RESIDUAL_APART = 2

#: Widest multiplier operand of the template.
MAX_BITS = 8


@dataclass
class _Open:
    """A call under construction. `output` is the tensor it leaves behind; a closed call takes no more layers."""

    index: int
    block: str | None
    stages: list[tuple[KernelName, Node, str]] = field(default_factory=list)
    output: str = ""
    extra_bytes: int = 0
    moved_bytes: int = 0
    averaged: int = 0
    adds: bool = False
    closed: bool = False
    layers: list[str] = field(default_factory=list)


class _Lowering:
    def __init__(self, network: Network, word: int = 1) -> None:
        self.net, self.word = network, word
        self.calls: list[_Open] = []
        self.maker: dict[str, _Open] = {}  # tensor -> the call whose output it is
        self.ready: dict[str, int] = {network.input.name: -1}  # tensor -> index of the last call it needs
        self.bad: list[str] = []

    def bytes_of(self, tensor: str) -> int:
        """Bytes of a tensor in memory: elements take whole bytes, the channels of a pixel whole words."""
        channels, *pixels = self.net.shapes[tensor]
        return math.prod(pixels) * self.pixel_bytes(tensor, channels)

    def pixel_bytes(self, tensor: str, channels: int) -> int:
        size = channels * bits_to_bytes(self.net.by_name[tensor].out_bits or 8)
        return -(-size // self.word) * self.word

    def alone(self, tensor: str) -> bool:
        """Whether at most one layer reads the tensor."""
        return len(self.net.consumers[tensor]) <= 1

    def set_output(self, call: _Open, node: Node) -> None:
        call.output = node.name
        call.layers.append(node.name)
        self.maker[node.name] = call
        self.ready[node.name] = call.index

    def foldable(self, node: Node, tensor: str) -> _Open | None:
        """The call into which `node` can be folded after `tensor`."""
        call = self.maker.get(tensor)
        return call if call and call.output == tensor and call.block == node.block else None

    def new_call(self, node: Node) -> _Open:
        call = _Open(len(self.calls), node.block)
        self.calls.append(call)
        return call

    def move(self, node: Node) -> None:
        """A call that only streams its operands through the element-wise unit."""
        call = self.new_call(node)
        call.moved_bytes = sum(self.bytes_of(i) for i in node.inputs) + self.bytes_of(node.name)
        call.closed = True
        self.average(call, node)
        self.set_output(call, node)

    def average(self, call: _Open, node: Node) -> None:
        if isinstance(node.op, GlobalPool):
            call.averaged += self.net.shapes[node.name][0]

    def layer(self, node: Node) -> None:
        src = node.inputs[0]
        kinds = self.kinds(node)
        last = self.calls[-1] if self.calls else None
        if last and not last.closed and last.block == node.block and last.output == src and self.alone(src):
            used = KERNELS.index(last.stages[-1][0])
            free = [k for k in kinds if KERNELS.index(k) > used]
            if free:
                last.stages.append((free[0], node, src))
                self.set_output(last, node)
                return
        call = self.new_call(node)
        call.stages.append((kinds[0], node, src))
        call.closed = self.is_vector(node)
        self.set_output(call, node)

    def is_vector(self, node: Node) -> bool:
        """A matrix-vector product: its own call, as there are no pixels to stream."""
        return isinstance(node.op, Linear) or math.prod(self.net.shapes[node.inputs[0]][1:]) == 1

    def kinds(self, node: Node) -> tuple[KernelName, ...]:
        """Kernels that can execute the layer, in pipeline order."""
        op = node.op
        if not isinstance(op, Conv2d):
            return ("conv",)
        if op.is_depthwise(self.net.shapes[node.inputs[0]][0]):
            return ("dw",)
        if self.is_vector(node) or op.groups > 1:
            return ("conv",)
        return ("conv", "pw") if self.pointwise(node) else ("conv",)

    def unfolds(self, node: Node) -> bool:
        src = node.inputs[0]
        return (
            isinstance(node.op, Conv2d)
            and node.op.groups == 1
            and src == self.net.input.name
            and self.net.shapes[src][0] <= UNFOLD_CHANNELS
            and node.op.kernel != (1, 1)
        )

    def visit(self, node: Node) -> None:
        op = node.op
        match op:
            case Conv2d() | Linear():
                self.check_bits(node)
                self.layer(node)
            case Activation():
                call = self.foldable(node, node.inputs[0])
                if call and self.alone(node.inputs[0]):
                    self.set_output(call, node)
                else:
                    self.move(node)
            case GlobalPool() | Pool2d():
                call = self.foldable(node, node.inputs[0])
                if call and self.alone(node.inputs[0]):
                    call.closed = True
                    self.average(call, node)
                    self.set_output(call, node)
                elif call and isinstance(op, GlobalPool):
                    call.closed = True
                    self.average(call, node)
                    call.extra_bytes += self.bytes_of(node.name)
                    call.layers.append(node.name)
                    self.ready[node.name] = call.index
                else:
                    self.move(node)
            case Add():
                self.add(node)
            case Mul():
                self.move(node)
            case Concat() | ChannelShuffle() | Flatten():  # only addresses change
                self.ready[node.name] = max(self.ready[i] for i in node.inputs)
            case _:
                self.bad.append(f"'{node.name}' ({type(op).__name__})")
                self.ready[node.name] = len(self.calls)

    def add(self, node: Node) -> None:
        """Into the call that computes the last operand; the others are read from memory."""
        last = max(node.inputs, key=lambda i: self.ready[i])
        others = list(node.inputs)
        others.remove(last)
        call = self.foldable(node, last)
        if call and self.alone(last) and all(self.ready[i] < call.index for i in others):
            call.extra_bytes += sum(self.bytes_of(i) for i in others)
            call.adds = call.closed = True
            self.set_output(call, node)
        else:
            self.move(node)

    def check_bits(self, node: Node) -> None:
        w, a = node.weight_bits, node.in_bits
        if w is None or a is None:
            self.bad.append(f"'{node.name}' (no bit-widths: use network.uniform_bits(8, 8))")
        elif not (1 <= w <= MAX_BITS and 1 <= a <= MAX_BITS):
            self.bad.append(f"'{node.name}' (W{w}A{a}: at most {MAX_BITS} bits)")

    def stage(self, kernel: KernelName, node: Node, src: str, out: str) -> Stage:
        w_bits, a_bits = node.weight_bits or MAX_BITS, node.in_bits or MAX_BITS
        weights = node.op.weight_shape(self.net.in_shapes(node))
        assert weights is not None
        w_bytes = bits_to_bytes(math.prod(weights) * w_bits + weights[0] * PARAM_BITS)
        in_bytes, out_bytes = self.bytes_of(src), self.bytes_of(out)
        in_shape, out_shape = self.net.shapes[src], self.net.shapes[node.name]
        tail = (w_bits, a_bits, in_bytes, out_bytes, w_bytes)
        if not isinstance(node.op, Conv2d):
            return Stage(kernel, in_shape[0], out_shape[0], 1, 1, 1, 1, 1, 1, 1, 1, 0, *tail)
        op = node.op
        channels, height, width = in_shape
        pixels = out_shape[1] * out_shape[2]
        if self.unfolds(node):
            channels *= math.prod(op.kernel)
            in_bytes = pixels * self.pixel_bytes(src, channels)
            tail = (w_bits, a_bits, in_bytes, out_bytes, w_bytes)
            return Stage(kernel, channels, op.out_channels, 1, 1, 1, out_shape[2], pixels, pixels, 1, 1, 0, *tail)
        top, left, _, _ = op.padding
        span_h = op.dilation[0] * (op.kernel[0] - 1) + 1
        span_w = op.dilation[1] * (op.kernel[1] - 1) + 1
        lead = _clip(span_h - 1 - top, height) * width + _clip(span_w - 1 - left, width) + 1
        # The first output pixel whose window, clipped to the map, ends at the last input pixel.
        row = min(max(-(-(height - span_h + top) // op.stride[0]), 0), out_shape[1] - 1)
        col = min(max(-(-(width - span_w + left) // op.stride[1]), 0), out_shape[2] - 1)
        flush = pixels - (row * out_shape[2] + col)
        overlap = max(span_w - op.stride[1], 0)
        # Window registers are square and as many rows deep: 1 x k, too, needs a window that moves along a row.
        window = max(span_h, span_w)
        # Where no more rows are held than that, the first columns that every further row of outputs needs are read only
        # when the row before it is done.
        late = late_rows(out_shape[1], height, span_h, op.stride[0], top, window)
        stalls = sum(late) * _clip(span_w - left, width) if window > 1 else 0
        return Stage(
            kernel,
            channels,
            op.out_channels,
            op.groups if kernel != "dw" else 1,
            math.prod(op.kernel),
            window,
            width,
            height * width,
            pixels,
            lead,
            flush,
            overlap,
            *tail,
            stride=max(op.stride),
            stalls=stalls,
        )

    def finish(self, call: _Open) -> Call:
        name = call.layers[0] if call.layers else ""
        if not call.stages:
            return Call((), 0, call.moved_bytes, call.averaged, name=name, layers=tuple(call.layers))
        parts = list(call.stages)
        if len(parts) == 1 and self.pointwise(parts[0][1]):
            parts = [("pw", *parts[0][1:])]
        outs = [src for _, _, src in parts[1:]] + [call.output]
        stages = tuple(self.stage(k, n, s, o) for (k, n, s), o in zip(parts, outs, strict=True))
        leads = [s.lead for s in stages[1:]] + [1]
        stages = tuple(replace(s, fed=int(i > 0), next_lead=leads[i]) for i, s in enumerate(stages))
        if call.adds:
            stages = (*stages[:-1], replace(stages[-1], apart=RESIDUAL_APART))
        if isinstance(parts[-1][1].op, Linear) and not self.net.consumers[call.output]:
            stages = (*stages[:-1], replace(stages[-1], logits=1))
        opens = self.unfolds(parts[0][1])
        return Call(stages, call.extra_bytes, 0, call.averaged, opens, name, tuple(call.layers))

    def pointwise(self, node: Node) -> bool:
        op = node.op
        if not isinstance(op, Conv2d):
            return True
        return op.groups == 1 and (op.kernel == op.stride == (1, 1) or self.unfolds(node))


def _clip(index: int, size: int) -> int:
    return min(max(index, 0), size - 1)


def lower(network: Network, word_bytes: int = 1) -> tuple[Call, ...]:
    """The calls of a network, in execution order. UnsupportedError names every layer that cannot be executed.

    The layers need bit-widths (`network.uniform_bits(8, 8)` where the space has set none). `word_bytes` of the memory
    port (`Coefficients.word_bytes`): what a pixel's channels are padded to.
    """
    work = _Lowering(network, word_bytes)
    for node in network.nodes[1:]:
        work.visit(node)
    if work.bad:
        more = f" and {len(work.bad) - 8} more" if len(work.bad) > 8 else ""
        raise UnsupportedError(
            f"network '{network.name}': the subgraph accelerator cannot run {', '.join(work.bad[:8])}{more}"
        )
    return tuple(work.finish(c) for c in work.calls)


def unfolded_by_host(network: Network) -> tuple[str, ...]:
    """The layers that read the image unfolded (im2col): work of the host, which no cost here includes."""
    work = _Lowering(network)
    return tuple(n.name for n in network.layers if work.unfolds(n))


def overlapping_pools(network: Network) -> tuple[str, ...]:
    """Pools whose windows overlap: they hold rows on chip, in memory and at cycles that no cost here includes."""
    return tuple(
        n.name
        for n in network.nodes
        if isinstance(n.op, Pool2d)
        and any(k > s for k, s in zip(n.op.kernel, n.op.stride, strict=True))
        and network.shapes[n.name][1:] != (1, 1)
    )
