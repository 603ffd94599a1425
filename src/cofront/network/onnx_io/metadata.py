"""What an ONNX graph cannot say of a Network (blocks, bit-widths, folded norms), kept as JSON in the model's metadata.

The graph stays the authority: a stored operator is used only where it computes what the graph's node computes, so
that a file edited by another tool is read as it now is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cofront.errors import InputError
from cofront.network import ops
from cofront.network.graph import Network, Node
from cofront.network.onnx_io.pooling import explicit
from cofront.network.ops import Conv2d, Linear, Op, Pool2d, Shape

KEY = "cofront.network"
VERSION = 1

_OPS: dict[str, type[Op]] = {
    cls.__name__: cls
    for cls in (
        ops.Input,
        ops.Conv2d,
        ops.Linear,
        ops.Pool2d,
        ops.GlobalPool,
        ops.Activation,
        ops.Add,
        ops.Mul,
        ops.Concat,
        ops.ChannelShuffle,
        ops.Flatten,
    )
}


@dataclass(frozen=True)
class Note:
    """What is kept of one node."""

    op: Op
    weight_bits: int | None
    in_bits: int | None
    out_bits: int | None
    block: str | None


@dataclass(frozen=True)
class Metadata:
    """What is kept of a Network; empty for a file that cofront did not write."""

    name: str | None = None
    nodes: Mapping[str, Note] = field(default_factory=dict)


def dump(network: Network) -> str:
    """The network's metadata as JSON."""
    nodes = {
        n.name: {
            "op": type(n.op).__name__,
            "fields": asdict(n.op),  # type: ignore[call-overload]
            "bits": [n.weight_bits, n.in_bits, n.out_bits],
            "block": n.block,
        }
        for n in network.nodes
    }
    return json.dumps({"version": VERSION, "name": network.name, "nodes": nodes}, separators=(",", ":"))


def parse(text: str) -> Metadata:
    """The metadata in `text`; whatever is not as `dump` writes it is ignored, because the graph says enough."""
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            return Metadata()
        return Metadata(str(data["name"]), {str(k): _note(v) for k, v in data["nodes"].items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Metadata()


def _note(entry: Any) -> Note:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in entry["fields"].items()}
    if any(not isinstance(fields.get(k, False), bool) for k in ("bias", "norm", "ceil_mode", "count_include_pad")):
        raise TypeError("a flag is not a truth value")
    bits = [_bits(b) for b in entry["bits"]]
    block = entry["block"]
    if not (block is None or isinstance(block, str)):
        raise TypeError("block is not a string")
    return Note(_OPS[entry["op"]](**fields), bits[0], bits[1], bits[2], block)


def _bits(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64):
        return value
    raise TypeError("bits are small integers")


def same_function(a: Op, b: Op, inputs: tuple[Shape, ...]) -> bool:
    """Whether two operators compute the same on inputs of these shapes.

    What they say of folded norms, absent biases, and padding that no window reaches does not matter.
    """
    try:
        return repr(_functional(a, inputs)) == repr(_functional(b, inputs))  # repr tells 1 from 1.0 and True
    except (InputError, ArithmeticError, ValueError, TypeError, LookupError):
        return False  # the fields are not what the operator has


def _functional(op: Op, inputs: tuple[Shape, ...]) -> Op:
    if isinstance(op, Conv2d):
        return replace(op, bias=True, norm=False)
    if isinstance(op, Linear):
        return replace(op, bias=True)
    if isinstance(op, Pool2d):
        return explicit(op, inputs[0])
    return op


def annotate(node: Node, note: Note | None, inputs: tuple[Shape, ...]) -> Node:
    """`node` as read from the graph, completed by its note; bit-widths found in the graph win."""
    if note is None or not same_function(node.op, note.op, inputs):
        return node
    return replace(
        node,
        op=note.op,
        block=note.block,
        weight_bits=note.weight_bits if node.weight_bits is None else node.weight_bits,
        in_bits=note.in_bits if node.in_bits is None else node.in_bits,
        out_bits=note.out_bits if node.out_bits is None else node.out_bits,
    )
