"""A unit with fewer inner channels: its own layers, those between its first and last convolution narrowed."""

from __future__ import annotations

from dataclasses import replace

from cofront.network import Activation, Conv2d, Network
from cofront.network.zoo.units import make_divisible


def inner_groups(unit: Network) -> list[tuple[str, ...]]:
    """Convolutions whose output channels nothing outside the unit sees, in order, each with the depthwise ones behind.

    The channels of a group end in convolutions over all channels; what lies between is activations.
    """
    found = []
    for node in unit.layers:
        op = node.op
        if not isinstance(op, Conv2d) or op.groups != 1 or node.name == unit.output.name:
            continue
        group, here = [node.name], node.name
        while True:
            users = unit.consumers[here]
            if len(users) != 1:
                break
            user = users[0]
            if isinstance(user.op, Activation):
                here = user.name
            elif isinstance(user.op, Conv2d) and user.op.is_depthwise(unit.shapes[here][0]):
                group.append(user.name)
                here = user.name
            else:
                if isinstance(user.op, Conv2d) and user.op.groups == 1:
                    found.append(tuple(group))
                break
    return found


def narrowed(unit: Network, share: float) -> Network | None:
    """The unit with that share of each group's channels, in whole eights; None when nothing becomes narrower."""
    width: dict[str, int] = {}
    for group in inner_groups(unit):
        channels = unit.shapes[group[0]][0]
        new = min(make_divisible(share * channels), channels)
        width |= dict.fromkeys(group, new)
    if all(unit.shapes[name][0] == new for name, new in width.items()):
        return None
    nodes = []
    for node in unit.nodes:
        op = node.op
        if node.name in width:
            assert isinstance(op, Conv2d)
            op = replace(op, out_channels=width[node.name], groups=1 if op.groups == 1 else width[node.name])
        nodes.append(replace(node, op=op))
    return Network(unit.name, tuple(nodes))
