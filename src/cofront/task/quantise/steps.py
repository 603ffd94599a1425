"""A network as the tensors that are stored while it runs: what each is computed from, and what is taken in on the way.

A layer takes in the addition and the activation behind it where nobody else reads what lies between, as the integer
network does. Windows, concatenations, and additions and activations that no layer takes in store a tensor of their
own. Flattening, shuffles and greatest values move integers as they are. What has no integers (hard swish, products,
sigmoids) is a step in floating point, which only a network that stays simulated may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cofront.errors import UnsupportedError
from cofront.network import (
    Activation,
    Add,
    AdderConv2d,
    ChannelShuffle,
    Concat,
    Conv2d,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Network,
    Node,
    Pool2d,
    ShiftConv2d,
)
from cofront.network.ops import ActivationKind
from cofront.task.integer_ops import averages

Kind = Literal["layer", "average", "join", "move", "real"]

#: Activations that are a clamp of the integers.
CLAMPS = ("relu", "relu6")
_NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "hsigmoid")


@dataclass(frozen=True)
class Step:
    """One stored tensor, named `output`: computed by `node` of the tensors `sources`, then `residual` and `act`.

    `signed`: whether it may be negative, and so lies on a grid with its zero in the middle.
    """

    node: Node
    kind: Kind
    output: str
    sources: tuple[str, ...]
    signed: bool
    residual: str | None = None
    act: ActivationKind | None = None

    @property
    def real(self) -> bool:
        """Whether it has no integers."""
        return self.kind == "real" or (self.act is not None and self.act not in CLAMPS)


def steps_of(network: Network) -> tuple[Step, ...]:
    """The steps in order, without the input's; UnsupportedError for shift and adder layers, which `hybrid` converts."""
    order = {n.name: i for i, n in enumerate(network.nodes)}
    taken: set[str] = set()
    signed = {network.input.name: True}
    steps = []
    for node in network.nodes[1:]:
        if node.name in taken:
            continue
        if isinstance(node.op, ShiftConv2d | AdderConv2d):
            raise UnsupportedError(f"'{node.name}': shift and adder layers are quantised by cofront.task.hybrid")
        step = _layer(network, node, order, taken) if isinstance(node.op, Conv2d | Linear) else _other(node, signed)
        steps.append(step)
        signed[step.output] = step.signed
    return tuple(steps)


def without_integers(network: Network) -> list[str]:
    """What has no integers, as "'node' (operator)"."""
    found = []
    for step in steps_of(network):
        op = step.node.op
        if step.kind == "real":
            found.append(_named(step.node))
        elif isinstance(op, Add) and step.kind == "join" and len({network.shapes[i] for i in step.sources}) > 1:
            found.append(f"'{step.node.name}' (Add that broadcasts)")
        elif isinstance(op, Flatten) and _mixed(network, step.node):
            found.append(f"'{step.node.name}' (Flatten of a map that something else than a linear layer reads)")
        elif step.real:
            found.append(_named(network.by_name[step.output]))
    return found


def _mixed(network: Network, node: Node) -> bool:
    """Whether a flattened map is read by what does not know that integers store it pixel by pixel."""
    shape = network.shapes[node.inputs[0]]
    readers = network.consumers[node.name]
    return len(shape) == 3 and shape[1:] != (1, 1) and any(not isinstance(n.op, Linear) for n in readers)


def _named(node: Node) -> str:
    return f"'{node.name}' ({node.op.kind if isinstance(node.op, Activation) else type(node.op).__name__})"


def _layer(network: Network, node: Node, order: dict[str, int], taken: set[str]) -> Step:
    at, residual, act = node, None, None
    users = network.consumers[at.name]
    if len(users) == 1 and isinstance(users[0].op, Add) and len(users[0].inputs) == 2:
        other = next((i for i in users[0].inputs if i != node.name), node.name)
        same = network.shapes[other] == network.shapes[node.name]
        if order[other] < order[node.name] and same and isinstance(node.op, Conv2d):
            at, residual = users[0], other
            users = network.consumers[at.name]
    if len(users) == 1 and isinstance(users[0].op, Activation):
        at, act = users[0], users[0].op.kind
    taken |= {at.name} | ({network.consumers[node.name][0].name} if residual else set())
    return Step(node, "layer", at.name, node.inputs, act not in _NOT_NEGATIVE, residual, act)


def _other(node: Node, signed: dict[str, bool]) -> Step:
    op, any_signed = node.op, any(signed[i] for i in node.inputs)
    kind: Kind = "real"
    if isinstance(op, Flatten | ChannelShuffle) or (isinstance(op, Pool2d) and op.kind == "max"):
        kind = "move"
    elif isinstance(op, GlobalPool) or (isinstance(op, Pool2d) and averages(op)):
        kind = "average"
    elif isinstance(op, Activation):
        any_signed = op.kind not in _NOT_NEGATIVE
        kind = "join" if op.kind in CLAMPS else "real"
        return Step(node, kind, node.name, node.inputs, any_signed, None, op.kind)
    elif isinstance(op, Add | Concat):
        kind = "join"
    assert not isinstance(op, Input)
    return Step(node, kind, node.name, node.inputs, any_signed)


def stored_of(network: Network) -> dict[str, str]:
    """Of every stored tensor the one whose grid it has: its own, or that of what a step only moves."""
    origin = {network.input.name: network.input.name}
    for step in steps_of(network):
        origin[step.output] = origin[step.sources[0]] if step.kind == "move" else step.output
    return origin
