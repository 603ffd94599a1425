"""A network as a chain of its blocks, each a Network of its own: the operators of a table, the parts of a space."""

from __future__ import annotations

from dataclasses import replace

from cofront.network import Network, Node
from cofront.network.blocks import label_blocks
from cofront.network.ops import Input


def split(network: Network) -> list[Network]:
    """The network's blocks in order; where several tensors pass between two of them, they stay together."""
    labelled = label_blocks(network)
    groups: list[list[Node]] = []
    for node in labelled.nodes[1:]:
        if groups and groups[-1][-1].block == node.block:
            groups[-1].append(node)
        else:
            groups.append([node])
    return [_fragment(labelled, group) for group in _joined(labelled, groups)]


def _joined(network: Network, groups: list[list[Node]]) -> list[list[Node]]:
    """Groups that read nothing but the output of the group before; others are joined to those before them."""
    out: list[list[Node]] = []
    for group in groups:
        while True:
            before = out[-1][-1].name if out else network.input.name
            own = {n.name for n in group}
            if all(i in own or i == before for n in group for i in n.inputs) or not out:
                break
            group = [*out.pop(), *group]
        out.append(group)
    return out


def _fragment(network: Network, group: list[Node]) -> Network:
    own = {n.name for n in group}
    source = next(i for n in group for i in n.inputs if i not in own)
    first = Node("input", Input(network.shapes[source]))
    nodes = [replace(n, inputs=tuple("input" if i == source else i for i in n.inputs)) for n in group]
    return Network(group[0].block or group[0].name, (first, *nodes))
