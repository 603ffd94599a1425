"""Network: the immutable graph from which cost, PyTorch module, ONNX file and RTL all come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral

from cofront.errors import InputError
from cofront.network.ops import (
    Activation,
    ActivationKind,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    Convolution,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Mul,
    Op,
    Padding,
    Pool2d,
    Shape,
)

FLOAT_BITS = 32


@dataclass(frozen=True, slots=True)
class Node:
    """One layer.

    `weight_bits` and `in_bits` are the operand widths of a convolution or linear layer's multipliers; `out_bits` is
    the width in which the output tensor is stored. None means 32-bit floating point. `in_bits` may be narrower than
    the stored width of the tensor it reads: the layer then re-quantises on reading. `block` names the search block
    or repeated unit a layer belongs to; an accelerator fuses layers only inside one block.
    """

    name: str
    op: Op
    inputs: tuple[str, ...] = ()
    weight_bits: int | None = None
    in_bits: int | None = None
    out_bits: int | None = None
    block: str | None = None

    def __post_init__(self) -> None:
        for bits in (self.weight_bits, self.in_bits, self.out_bits):
            if bits is not None and not (isinstance(bits, Integral) and 1 <= bits <= FLOAT_BITS):
                raise InputError(f"node '{self.name}': bits are whole numbers of 1 to {FLOAT_BITS}, got {bits!r}")


@dataclass(frozen=True)
class Network:
    """A single-input, single-output graph; `nodes` are in topological order, the first is the input.

    Raises InputError at construction for duplicate names, unknown or later inputs, and shapes that do not fit.
    """

    name: str
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not self.nodes or not isinstance(self.nodes[0].op, Input):
            raise InputError(f"network '{self.name}': the first node must be the input")
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise InputError(f"network '{self.name}': two nodes are named '{node.name}'")
            missing = [i for i in node.inputs if i not in seen]
            if missing:
                raise InputError(f"network '{self.name}': node '{node.name}' reads {missing} before they are computed")
            arity = node.op.arity
            if (arity is not None and len(node.inputs) != arity) or (arity is None and len(node.inputs) < 2):
                raise InputError(f"network '{self.name}': node '{node.name}' has {len(node.inputs)} inputs")
            if isinstance(node.op, Input) and seen:
                raise InputError(f"network '{self.name}': '{node.name}' is a second input; a network has one")
            seen.add(node.name)
        _ = self.shapes  # checks every shape now rather than at first use

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {n.name: n for n in self.nodes}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of each node, without batch."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            try:
                shapes[node.name] = node.op.out_shape(tuple(shapes[i] for i in node.inputs))
            except InputError as error:
                raise InputError(f"network '{self.name}', node '{node.name}': {error}") from None
        return shapes

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        out: dict[str, list[Node]] = {n.name: [] for n in self.nodes}
        for node in self.nodes:
            for i in node.inputs:
                out[i].append(node)
        return {k: tuple(v) for k, v in out.items()}

    @property
    def input(self) -> Node:
        return self.nodes[0]

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    def in_shapes(self, node: Node) -> tuple[Shape, ...]:
        return tuple(self.shapes[i] for i in node.inputs)

    def node_macs(self, node: Node) -> int:
        return node.op.macs(self.in_shapes(node))

    def node_params(self, node: Node) -> int:
        """Weights, biases and batch-norm scale and offset."""
        shape = node.op.weight_shape(self.in_shapes(node))
        if shape is None:
            return 0
        extra = 0
        if isinstance(node.op, Convolution):
            extra = shape[0] * (int(node.op.bias) + 2 * int(node.op.norm))
        elif isinstance(node.op, Linear):
            extra = shape[0] * int(node.op.bias)
        return math.prod(shape) + extra

    def tensor_bits(self, name: str) -> int:
        """Bits per element in which the output of node `name` is stored."""
        return self.by_name[name].out_bits or FLOAT_BITS

    @cached_property
    def layers(self) -> tuple[Node, ...]:
        """The convolution and linear layers, in order."""
        return tuple(n for n in self.nodes if isinstance(n.op, Convolution | Linear))

    @cached_property
    def macs(self) -> int:
        return sum(self.node_macs(n) for n in self.nodes)

    @cached_property
    def params(self) -> int:
        return sum(self.node_params(n) for n in self.nodes)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all weights at their bit-widths; biases, and folded batch norms, which leave one, at 32 bits.

        So are the scales that a batch norm leaves where it cannot be folded.
        """
        bits = 0
        for node in self.layers:
            shape = node.op.weight_shape(self.in_shapes(node))
            assert shape is not None
            bits += math.prod(shape) * (node.weight_bits or FLOAT_BITS)
            op = node.op
            if isinstance(op, Convolution | Linear) and (op.bias or (isinstance(op, Convolution) and op.norm)):
                bits += shape[0] * 32
            if isinstance(op, Convolution) and op.norm and not isinstance(op, Conv2d):
                bits += shape[0] * 32
        return -(-bits // 8)

    @cached_property
    def activation_bytes(self) -> int:
        """Bytes read and written if every layer's inputs and output went through memory once."""
        bits = 0
        for node in self.nodes[1:]:
            bits += sum(math.prod(self.shapes[i]) * self.tensor_bits(i) for i in node.inputs)
            bits += math.prod(self.shapes[node.name]) * self.tensor_bits(node.name)
        return -(-bits // 8)

    def with_bits(self, choose: Callable[[Node], tuple[int | None, int | None] | None], stored: int = 8) -> Network:
        """A copy whose layers use `choose(node)` -> (weight bits, input bits).

        Between two layers of one block a tensor is stored at its consumers' input width; everything that leaves a
        block, feeds an element-wise operator or is the output is stored at `stored` bits. Flattening, concatenation and
        shuffles move numbers as they are.
        """
        bits = {n.name: choose(n) for n in self.layers}
        out: list[Node] = []
        for node in self.nodes:
            w, a = bits.get(node.name) or (None, None)
            out.append(replace(node, weight_bits=w, in_bits=a, out_bits=self._stored_bits(node, bits, stored)))
        return Network(self.name, tuple(out))

    def _stored_bits(self, node: Node, bits: Mapping[str, tuple[int | None, int | None] | None], stored: int) -> int:
        users = self.consumers[node.name]
        # What reads a tensor only to move it is no layer, so that its input is at `stored` bits, and so is its output.
        if not users or isinstance(node.op, Input | Flatten | Concat | ChannelShuffle):
            return stored
        widths = []
        for user in users:
            inside = user.block is not None and user.block == node.block
            if isinstance(user.op, Activation) and len(users) == 1 and inside:
                widths.append(self._stored_bits(user, bits, stored))
            elif user.name in bits and inside:
                widths.append((bits[user.name] or (None, None))[1] or stored)
            else:
                widths.append(stored)
        return max(widths)

    def uniform_bits(self, weight_bits: int, act_bits: int) -> Network:
        """Every layer at the same precision; stored tensors at 8 bits or `act_bits` if wider."""
        return self.with_bits(lambda _: (weight_bits, act_bits), stored=max(8, act_bits))


class Builder:
    """Builds a Network node by node; every method returns the name of the node it added.

    `block` (settable) is attached to the nodes added while it is set.
    """

    def __init__(self, name: str, input_shape: Shape, input_name: str = "input") -> None:
        self.name = name
        self.block: str | None = None
        self._nodes: list[Node] = [Node(input_name, Input(input_shape))]
        self._shapes: dict[str, Shape] = {input_name: input_shape}
        self._count = 0

    @property
    def last(self) -> str:
        return self._nodes[-1].name

    def shape(self, name: str | None = None) -> Shape:
        return self._shapes[name or self.last]

    def add(self, op: Op, *inputs: str, name: str | None = None) -> str:
        if name is None:
            name = f"{type(op).__name__.lower()}_{self._count}"
            self._count += 1
        ins = inputs or (self.last,)
        self._shapes[name] = op.out_shape(tuple(self._shapes[i] for i in ins))
        self._nodes.append(Node(name, op, ins, block=self.block))
        return name

    def conv(
        self,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        src: str | None = None,
        groups: int = 1,
        dilation: int = 1,
        act: ActivationKind | None = None,
        padding: int | Padding | None = None,
        bias: bool = False,
        norm: bool = True,
        name: str | None = None,
        op: type[Convolution] = Conv2d,
    ) -> str:
        """Convolution with "same" padding for odd kernels unless `padding` is given, and an optional activation."""
        src = src or self.last
        pad = dilation * (kernel // 2) if padding is None else padding
        sides = (pad, pad, pad, pad) if isinstance(pad, int) else pad
        out = self.add(
            op(out_channels, (kernel, kernel), (stride, stride), sides, groups, (dilation, dilation), bias, norm),
            src,
            name=name,
        )
        return self.act(act, out, name=f"{out}.act") if act else out

    def depthwise(self, kernel: int, stride: int = 1, **kw: object) -> str:
        src = kw.get("src") or self.last
        channels = self._shapes[str(src)][0]
        return self.conv(channels, kernel, stride, groups=channels, **kw)  # type: ignore[arg-type]

    def act(self, kind: ActivationKind, src: str | None = None, name: str | None = None) -> str:
        return self.add(Activation(kind), src or self.last, name=name)

    def sum(self, *inputs: str, name: str | None = None) -> str:
        return self.add(Add(), *inputs, name=name)

    def concat(self, *inputs: str, name: str | None = None) -> str:
        return self.add(Concat(), *inputs, name=name)

    def pool(
        self,
        kind: str,
        kernel: int,
        stride: int,
        padding: int = 0,
        *,
        src: str | None = None,
        name: str | None = None,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> str:
        sides = (padding, padding, padding, padding)
        op = Pool2d(kind, (kernel, kernel), (stride, stride), sides, ceil_mode, count_include_pad)  # type: ignore[arg-type]
        return self.add(op, src or self.last, name=name)

    def squeeze_excite(
        self, reduced: int, gate: ActivationKind = "hsigmoid", act: ActivationKind = "relu", prefix: str | None = None
    ) -> str:
        """x * gate(W2 act(W1 mean(x))): the two matrices are 1 x 1 convolutions with bias, without norm."""
        x = self.last
        prefix = prefix or f"{x}.se"
        self.add(GlobalPool(), x, name=f"{prefix}.pool")
        self.conv(reduced, 1, bias=True, norm=False, act=act, name=f"{prefix}.reduce")
        g = self.conv(self._shapes[x][0], 1, bias=True, norm=False, act=gate, name=f"{prefix}.expand")
        return self.add(Mul(), x, g, name=f"{prefix}.scale")

    def shuffle(self, groups: int, name: str | None = None) -> str:
        return self.add(ChannelShuffle(groups), name=name)

    def classifier(self, classes: int, name: str = "classifier") -> str:
        """Global average pool, flatten, linear."""
        self.add(GlobalPool(), name=f"{name}.pool")
        self.add(Flatten(), name=f"{name}.flatten")
        return self.add(Linear(classes), name=name)

    def build(self) -> Network:
        return Network(self.name, tuple(self._nodes))


def stack(name: str, parts: Iterable[Network]) -> Network:
    """The parts one after the other: each part's input is the previous part's output. Names must be distinct."""
    nodes: list[Node] = []
    last = ""
    tail_shape: Shape = ()
    for i, part in enumerate(parts):
        if i == 0:
            nodes.extend(part.nodes)
        else:
            if part.input.op.out_shape(()) != tail_shape:
                raise InputError(f"cannot stack: '{part.name}' expects {part.input.op.out_shape(())}, got {tail_shape}")
            rename = {part.input.name: last}
            nodes.extend(replace(n, inputs=tuple(rename.get(j, j) for j in n.inputs)) for n in part.nodes[1:])
        last = nodes[-1].name
        tail_shape = part.shapes[part.output.name]
    return Network(name, tuple(nodes))
