"""What the integer definition makes of a graph: which operators it has, and which it fuses into the layer before."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from cofront.network import Activation, Add, Conv2d, Flatten, GlobalPool, Input, Linear, Network, Node

#: Activations that a clamp computes.
CLAMPS = ("relu", "relu6")


@dataclass(frozen=True)
class End:
    """Where a layer ends: the node whose tensor it produces, behind an addition of `residual` and a clamp if any."""

    output: str
    clamped: bool
    residual: str | None
    fused: tuple[str, ...]


def end_of(network: Network, node: Node, stored: Container[str]) -> End:
    """What is fused behind a layer: an addition of a tensor that is `stored` by then, then a clamp."""
    output, clamped, residual, fused = node.name, False, None, []
    while len(network.consumers[output]) == 1 and not clamped:
        user = network.consumers[output][0]
        if isinstance(user.op, Activation) and user.op.kind in CLAMPS:
            clamped = True
        elif isinstance(user.op, Add) and residual is None and all(i == output or i in stored for i in user.inputs):
            residual = next(i for i in user.inputs if i != output)
        else:
            break
        output = user.name
        fused.append(output)
    return End(output, clamped, residual, tuple(fused))


#: What a network may consist of.
DEFINED = "convolutions, linear layers, ReLU, one addition behind a convolution, global average pools"


def listed(bad: Sequence[str]) -> str:
    """The first few of `without_integers`."""
    return ", ".join(bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else "")


def without_integers(network: Network) -> tuple[str, ...]:
    """The operators, as "'name' (what)", that the integer definition does not have: the network cannot be built."""
    stored, fused, bad = {network.input.name}, set[str](), []
    for node in network.nodes:
        if isinstance(node.op, Conv2d | Linear):
            end = end_of(network, node, stored)
            stored.add(end.output)
            fused |= set(end.fused)
        elif node.name not in fused:
            stored.add(node.name)
            if isinstance(node.op, Activation):
                bad.append(f"'{node.name}' ({node.op.kind})")
            elif not isinstance(node.op, Input | GlobalPool | Flatten):
                bad.append(f"'{node.name}' ({type(node.op).__name__})")
    return tuple(bad)
