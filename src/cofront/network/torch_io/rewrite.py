"""Tidying of an imported graph: matrices on pooled vectors that return to maps, dead nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.network.graph import Node
from cofront.network.ops import Activation, Conv2d, Flatten, Linear, Op, Shape

Arrays = dict[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Unflatten(Op):
    """(c,) -> (c, 1, 1). Exists only during import: squeeze-excites are often written with linear layers."""

    def out_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs[0]) != 1:
            raise InputError(f"only a vector becomes a (c, 1, 1) map, got {inputs[0]}")
        return (inputs[0][0], 1, 1)


def live(nodes: list[Node], output: str) -> list[Node]:
    """The input and the nodes that `output` depends on, in order."""
    needed = {output, nodes[0].name}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return [n for n in nodes if n.name in needed]


def remove_unflatten(
    nodes: list[Node], shapes: dict[str, Shape], weights: Arrays, output: str
) -> tuple[list[Node], str]:
    """Flatten, linear layers, unflatten -> 1 x 1 convolutions on the (c, 1, 1) map; weights are reshaped in place.

    Returns the nodes and the name of the output. An Unflatten that does not end such a chain stays.
    """
    for name in [n.name for n in nodes if isinstance(n.op, Unflatten)]:
        nodes = live(nodes, output)
        by_name = {n.name: n for n in nodes}
        if name not in by_name:
            continue
        readers: dict[str, int] = {}
        for node in nodes:
            for i in node.inputs:
                readers[i] = readers.get(i, 0) + 1
        chain: list[Node] = []
        at = by_name[by_name[name].inputs[0]]
        while isinstance(at.op, Linear | Activation) and readers[at.name] == 1:
            chain.append(at)
            at = by_name[at.inputs[0]]
        if not isinstance(at.op, Flatten) or shapes[at.inputs[0]][1:] != (1, 1):
            continue
        source = at.inputs[0]
        renamed = {name: chain[0].name if chain else source}
        converted: dict[str, Node] = {}
        for node in chain:
            op = node.op
            if isinstance(op, Linear):
                key = f"{node.name}.weight"
                weights[key] = weights[key][:, :, None, None]
                op = Conv2d(op.out_features, (1, 1), bias=op.bias, norm=False)
            inputs = tuple(source if i == at.name else i for i in node.inputs)
            converted[node.name] = replace(node, op=op, inputs=inputs)
            shapes[node.name] = (shapes[node.name][0], 1, 1)
        nodes = [
            replace(n, inputs=tuple(renamed.get(i, i) for i in n.inputs))
            for n in (converted.get(m.name, m) for m in nodes)
            if n.name != name
        ]
        output = renamed.get(output, output)
    return live(nodes, output), output
