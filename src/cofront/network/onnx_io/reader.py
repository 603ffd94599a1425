"""Walks an ONNX graph: folds constants, hands every other node to its handler, collects what cannot be read."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from cofront.errors import InputError, UnsupportedError
from cofront.network.onnx_io import constants
from cofront.network.onnx_io.draft import NCHW, Draft, Refusal, Value
from cofront.network.onnx_io.load import MALFORMED, RawGraph, RawNode
from cofront.network.ops import Input

Array = NDArray[Any]
Handler = Callable[["Reader", RawNode], Value]

# A symbolic batch is given a prime that no real dimension has, so that a reshape which mixes it shows.
SYMBOLIC_BATCH = 1_000_003

# What may stand between a dropped softmax and the output.
_TAIL = {"Identity", "Cast", "Softmax", "LogSoftmax", "ArgMax", "QuantizeLinear", "DequantizeLinear", "Dropout"}


class Reader:
    """State of reading one graph. Handlers use `value`, `map`, `vector`, `const` and the draft."""

    def __init__(self, graph: RawGraph, handlers: Mapping[str, Handler]) -> None:
        self.graph = graph
        self.handlers = handlers
        self.draft = Draft()
        self.notes: list[str] = []
        #: quantisers whose range clips what no activation of ours does, in words
        self.clipping: list[str] = []
        #: tensor of weights -> the first layer that has them
        self.weight_of: dict[str, str] = {}
        #: integers of a quantiser -> its scale and zero point
        self.grids: dict[str, tuple[Array, Array]] = {}
        #: whether a quantiser says that the input is not negative
        self.input_from_zero = False
        self.consts: dict[str, Array] = dict(graph.constants)
        self.bits: dict[str, int] = dict(graph.narrow)
        self.values: dict[str, Value] = {}
        self.uses = Counter(i for n in graph.nodes for i in n.inputs)
        self.uses[graph.output] += 1
        self._problems: list[str] = []
        #: operators that have no handler
        self._foreign: list[str] = []
        self._poisoned: set[str] = set()
        self._readers: dict[str, list[RawNode]] = {}
        for n in graph.nodes:
            for i in n.inputs:
                self._readers.setdefault(i, []).append(n)

    # What handlers ask ------------------------------------------------------------------------------------------

    def const(self, name: str) -> Array | None:
        """The constant of this name, or None."""
        return self.consts.get(name)

    def value(self, name: str) -> Value:
        """A tensor that depends on the input, whole: neither split into groups nor waiting for its padding."""
        v = self.pending(name)
        if v.split or any(v.pad):
            raise Refusal("reads a tensor that is padded or split into channel groups")
        return v

    def pending(self, name: str) -> Value:
        """A tensor that depends on the input."""
        if name in self.consts:
            raise Refusal("reads a constant where a tensor is expected")
        return self.values[name]

    def map(self, name: str) -> Value:
        """A (n, c, h, w) tensor; it may still wait for padding."""
        v = self.pending(name)
        if v.split or len(v.dims) != 4 or len(self.shape(v)) != 3:
            raise Refusal(f"reads a tensor of shape {self.show(v.dims)} where images are expected")
        if v.perm != NCHW and not v.pixel:
            raise Refusal("reads a tensor whose channels are not its second dimension")
        return v

    def vector(self, name: str) -> Value:
        """A (n, features) tensor."""
        v = self.value(name)
        if len(v.dims) != 2 or len(self.shape(v)) != 1:
            raise Refusal(f"reads a tensor of shape {self.show(v.dims)} where vectors are expected")
        return v

    def shape(self, v: Value) -> tuple[int, ...]:
        """The shape of the layer behind a value, without batch."""
        return self.draft.layers[v.node].shape

    def sole(self, name: str) -> bool:
        """Whether the tensor is a layer's own output and read once only."""
        v = self.values[name]
        return self.uses[name] == 1 and v.bits is None and self.draft.layers[v.node].tensor == name

    def show(self, dims: tuple[int, ...]) -> str:
        """Dimensions for people: the symbolic batch is N."""
        return "(" + ", ".join("N" if d == SYMBOLIC_BATCH else str(d) for d in dims) + ")"

    def is_tail(self, name: str) -> bool:
        """Whether only the graph's output, or what does not change the predicted class, reads the tensor."""
        return all(n.op in _TAIL and self.is_tail(n.outputs[0]) for n in self._readers.get(name, []))

    # The walk ---------------------------------------------------------------------------------------------------

    def run(self) -> Value:
        """Reads the whole graph; the output's value."""
        self._input()
        for n in self._sorted():
            self._node(n)
        if self._problems:
            advice = ""
            if self._foreign:
                advice = (
                    f"; cofront has no {', '.join(dict.fromkeys(self._foreign))}: docs/network.md lists what it reads; "
                    "export the network with other layers in their place"
                )
            raise UnsupportedError(f"cannot read {len(self._problems)} node(s): {'; '.join(self._problems)}{advice}")
        if self.graph.output in self.consts:
            raise UnsupportedError(f"the output '{self.graph.output}' does not depend on the input")
        if self.graph.output in self._poisoned:
            raise UnsupportedError(f"output '{self.graph.output}' cannot be read: it is not its node's first output")
        try:
            out = self.value(self.graph.output)
        except KeyError:
            raise InputError(f"no node computes the output '{self.graph.output}'") from None
        except Refusal as refusal:
            raise UnsupportedError(f"output '{self.graph.output}': {refusal}") from None
        if (len(out.dims) == 4 and out.perm != NCHW and not out.pixel) or out.flat:
            raise UnsupportedError(f"output '{self.graph.output}' is not in the order (batch, channels, height, width)")
        if self.clipping:
            self.notes.append(
                f"{len(self.clipping)} quantiser(s) clip at the ends of their range, such as {self.clipping[0]}: "
                "only their widths are kept"
            )
        return out

    def _input(self) -> None:
        batch, *rest = self.graph.dims
        dims = (batch if isinstance(batch, int) else SYMBOLIC_BATCH, *(int(d) for d in rest))
        if len(dims) not in (2, 4):
            raise UnsupportedError(
                f"input '{self.graph.input}' has {len(dims)} dimensions; expected images (batch, channels, height, "
                f"width) or vectors (batch, features)"
            )
        perm, shape = NCHW, dims[1:]
        readers = self._readers.get(self.graph.input, [])
        if len(dims) == 4 and readers and all(_to_nchw(n) for n in readers):
            perm, shape = (0, 2, 3, 1), (dims[3], dims[1], dims[2])
            self.notes.append(f"input '{self.graph.input}' is (height, width, channels); read as channels first")
        v = self.draft.emit(self.graph.input, Input(shape), [], self.graph.input, dims)
        self.values[self.graph.input] = replace(v, perm=perm)

    def _node(self, n: RawNode) -> None:
        if not n.outputs:
            return
        ins = [i for i in n.inputs if i]
        if any(i in self._poisoned for i in ins):
            if n.op not in self.handlers and not constants.foldable(n) and n.op != "Shape":
                self._problem(n, "")
            self._poisoned.update(n.outputs)
        elif constants.foldable(n) and all(i in self.consts for i in ins):
            self._fold(n)
        elif n.op == "Shape" and not n.domain:
            self._shape(n)
        elif n.op not in self.handlers or (n.domain and n.op not in constants.QUANT_OPS):
            self._problem(n, "")
        else:
            try:
                self._compute(n)
                self._poisoned.update(o for o in n.outputs[1:] if o)
            except Refusal as refusal:
                self._problem(n, str(refusal))
            except MALFORMED as error:
                text = " ".join(str(error).split()).replace(str(SYMBOLIC_BATCH), "N") or type(error).__name__
                raise InputError(f"node '{n.name}' ({n}) is damaged or not as ONNX defines it: {text}") from None

    def _compute(self, n: RawNode) -> None:
        out = self.values[n.outputs[0]] = self.handlers[n.op](self, n)
        layer, first = self.draft.layers[out.node], n.input(0)
        if layer.tensor == first and self.uses[first] == 1:  # the same numbers, and this is now their only name
            layer.tensor = n.outputs[0]

    def _problem(self, n: RawNode, reason: str) -> None:
        self._problems.append(f"'{n.name}' ({n})" + (f" {reason}" if reason else ""))
        if not reason:
            self._foreign.append(str(n))
        self._poisoned.update(n.outputs)

    def _fold(self, n: RawNode) -> None:
        first = n.input(0)
        bits = self.bits.get(first)
        if n.op == "QuantizeLinear":
            bits = self.bits.get(n.input(2))
            n = replace(n, attributes={**n.attributes, "_bits": bits})
        out = constants.fold(n, [self.consts[i] if i else None for i in n.inputs])
        if n.op in ("Quant", "IntQuant"):
            bits = constants.quant_bits(self.consts[n.input(3)])
        elif n.op == "BipolarQuant":
            bits = 1
        elif n.op == "DequantizeLinear" and bits is None:
            bits = 8 * self.consts[first].dtype.itemsize
        self.consts[n.outputs[0]] = out
        if bits is not None and n.op != "Constant":
            self.bits[n.outputs[0]] = bits

    def _shape(self, n: RawNode) -> None:
        dims = self.values[n.input(0)].dims
        if any(self.values[n.input(0)].pad):
            self._problem(n, "reads a padded tensor")
            return
        self.consts[n.outputs[0]] = constants.shape_of(n, dims)

    def _sorted(self) -> list[RawNode]:
        """The nodes in an order that computes before it reads: the file's own when that does."""
        nodes = self.graph.nodes
        producer: dict[str, int] = {}
        for k, n in enumerate(nodes):
            for o in n.outputs:
                if o and (o in producer or o in self.consts or o == self.graph.input):
                    raise InputError(f"tensor '{o}' is computed twice; the model is damaged")
                producer[o] = k
        known = set(self.consts) | {self.graph.input, ""}
        waiting, ready = [0] * len(nodes), []
        followers: list[list[int]] = [[] for _ in nodes]
        for k, n in enumerate(nodes):
            for i in set(n.inputs) - known:
                if i not in producer:
                    raise InputError(f"node '{n.name}' reads '{i}', which nothing computes; the model is damaged")
                waiting[k] += 1
                followers[producer[i]].append(k)
            if not waiting[k]:
                ready.append(k)
        heapq.heapify(ready)
        order: list[RawNode] = []
        while ready:
            k = heapq.heappop(ready)
            order.append(nodes[k])
            for f in followers[k]:
                waiting[f] -= 1
                if not waiting[f]:
                    heapq.heappush(ready, f)
        if len(order) < len(nodes):
            raise InputError("the graph has a cycle; the model is damaged")
        return order


def _to_nchw(n: RawNode) -> bool:
    return n.op == "Transpose" and list(n.attributes.get("perm", [])) == [0, 3, 1, 2]


def positive(values: Any, count: int, what: str, least: int = 1) -> tuple[int, ...]:
    """`count` integers of at least `least` from an attribute; InputError otherwise."""
    out = tuple(int(v) for v in values)
    if len(out) != count or min(out) < least:
        raise InputError(f"{what} is {list(out)}; expected {count} numbers of at least {least}")
    return out


def size(shape: tuple[int, ...]) -> int:
    """Elements of a shape."""
    return math.prod(shape)
