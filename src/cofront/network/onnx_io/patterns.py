"""Activations that exporters write in pieces, put together again: hard swish, hard sigmoid, SiLU, clipping.

Rewrites plain ONNX nodes into plain ONNX nodes: x * clip(x + 3, 0, 6) / 6 and its variants become HardSwish,
clip(x + 3, 0, 6) / 6 becomes HardSigmoid, x * sigmoid(x) becomes Swish, minima and maxima with constants become Clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.network.onnx_io import constants
from cofront.network.onnx_io.load import RawGraph, RawNode

Array = NDArray[Any]


def _close(a: float | None, b: float) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6)


def clip_bounds(node: RawNode, consts: Mapping[str, Array]) -> tuple[float, float] | None:
    """The bounds of a Clip node, in either of its forms; None when they are not constant."""
    bounds = [-math.inf, math.inf]
    for i, key in enumerate(("min", "max")):
        name = node.input(i + 1)
        if name:
            if name not in consts or consts[name].size != 1:
                return None
            bounds[i] = float(consts[name].ravel()[0])
        elif key in node.attributes:
            bounds[i] = float(node.attributes[key])
    # Old exporters write the largest floats where they mean no bound.
    return (-math.inf if bounds[0] < -1e30 else bounds[0], math.inf if bounds[1] > 1e30 else bounds[1])


def is_hard_sigmoid(node: RawNode) -> bool:
    """Whether the node computes relu6(x + 3) / 6, the one hard sigmoid that cofront has."""
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return node.op == "HardSigmoid" and _close(alpha, 1 / 6) and _close(beta, 0.5)


class _Matcher:
    def __init__(self, graph: RawGraph) -> None:
        self.graph = graph
        self.made: dict[str, RawNode] = {}
        self.consts: dict[str, Array] = dict(graph.constants)

    def known(self, node: RawNode) -> bool:
        """Whether cofront wrote this node as a layer of its own, which must stay one."""
        return node.name in self.graph.metadata.nodes

    def scalar(self, name: str) -> float | None:
        array = self.consts.get(name)
        if array is None or array.size == 0 or array.dtype.kind not in "iuf" or array.size > 1 << 16:
            return None
        first = float(array.ravel()[0])
        return first if np.all(array == array.ravel()[0]) else None

    def by(self, name: str, *ops: str) -> RawNode | None:
        """The node that computes tensor `name`, if it is one of `ops`."""
        node = self.made.get(name)
        return node if node is not None and node.op in ops and not node.domain else None

    def with_scalar(self, node: RawNode | None, wanted: float) -> str | None:
        """The other input of a commutative node one of whose inputs is the constant `wanted`."""
        if node is not None and len(node.inputs) == 2:
            for i in (0, 1):
                if _close(self.scalar(node.inputs[i]), wanted):
                    return node.inputs[1 - i]
        return None

    def sixth(self, name: str) -> str | None:
        """t when `name` is t / 6."""
        node = self.by(name, "Div")
        if node is not None and len(node.inputs) == 2 and _close(self.scalar(node.inputs[1]), 6):
            return node.inputs[0]
        return self.with_scalar(self.by(name, "Mul"), 1 / 6)

    def shifted(self, name: str) -> str | None:
        """x when `name` is clip(x + 3, 0, 6)."""
        clip = self.by(name, "Clip")
        if clip is None or clip_bounds(clip, self.consts) != (0, 6):
            return None
        return self.with_scalar(self.by(clip.inputs[0], "Add"), 3)

    def pairs(self, node: RawNode) -> list[tuple[str, str]]:
        return [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] if len(node.inputs) == 2 else []

    def rewrite(self, node: RawNode) -> RawNode:
        if node.domain:
            return node
        if node.op in ("Min", "Max") and len(node.inputs) == 2:
            node = self._bound(node)
        if node.op == "Clip":
            return self._merge(node)
        if node.op in ("Div", "Mul"):
            return self._sixth_of(node) or (self._product(node) if node.op == "Mul" else node)
        return node

    def _bound(self, node: RawNode) -> RawNode:
        for x, c in self.pairs(node):
            bound = self.scalar(c)
            if bound is not None and x not in self.consts:
                return replace(node, op="Clip", inputs=(x,), attributes={"max" if node.op == "Min" else "min": bound})
        return node

    def _merge(self, node: RawNode) -> RawNode:
        """Clip of a Clip or Relu becomes one Clip."""
        inner = self.by(node.input(0), "Clip", "Relu")
        bounds = clip_bounds(node, self.consts)
        if inner is None or bounds is None or self.known(inner):
            return node
        first = (0.0, math.inf) if inner.op == "Relu" else clip_bounds(inner, self.consts)
        if first is None or max(first[0], bounds[0]) > min(first[1], bounds[1]):
            return node
        merged = {"min": max(first[0], bounds[0]), "max": min(first[1], bounds[1])}
        return replace(node, inputs=(inner.inputs[0],), attributes=merged)

    def _sixth_of(self, node: RawNode) -> RawNode | None:
        """t / 6 with t = clip(x + 3, 0, 6) or x * clip(x + 3, 0, 6)."""
        self.made[node.outputs[0]] = node
        t = self.sixth(node.outputs[0]) if node.outputs else None
        if t is None:
            return None
        x = self.shifted(t)
        if x is not None:
            return replace(node, op="HardSigmoid", inputs=(x,), attributes={"alpha": 1 / 6, "beta": 0.5})
        product = self.by(t, "Mul")
        for x, gate in self.pairs(product) if product else []:
            if self.shifted(gate) == x:
                return replace(node, op="HardSwish", inputs=(x,), attributes={})
        return None

    def _product(self, node: RawNode) -> RawNode:
        for x, gate in self.pairs(node):
            hard = self.by(gate, "HardSigmoid")
            if hard is not None and hard.input(0) == x and is_hard_sigmoid(hard) and not self.known(hard):
                return replace(node, op="HardSwish", inputs=(x,), attributes={})
            soft = self.by(gate, "Sigmoid")
            if soft is not None and soft.input(0) == x and not self.known(soft):
                return replace(node, op="Swish", inputs=(x,), attributes={})
            third = self.shifted(gate)
            if third is not None and self.sixth(x) == third:  # (x / 6) * clip(x + 3, 0, 6)
                return replace(node, op="HardSwish", inputs=(third,), attributes={})
        return node


def rewrite(graph: RawGraph) -> RawGraph:
    """The graph with decomposed activations put together, without the nodes that nothing reads any more."""
    matcher = _Matcher(graph)
    nodes: list[RawNode] = []
    for node in graph.nodes:
        if constants.foldable(node) and all(i in matcher.consts for i in node.inputs if i) and node.outputs:
            small = sum(matcher.consts[i].size for i in node.inputs if i) <= 1 << 16
            if node.op == "Constant" or (small and node.op in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape")):
                matcher.consts[node.outputs[0]] = constants.fold(node, [matcher.consts.get(i) for i in node.inputs])
        elif node.outputs:
            node = matcher.rewrite(node)
            matcher.made[node.outputs[0]] = node
        nodes.append(node)
    return replace(graph, nodes=_live(graph, nodes))


def _live(graph: RawGraph, nodes: list[RawNode]) -> tuple[RawNode, ...]:
    """The nodes that the output needs, and those that cofront wrote as layers; a file in no order is left whole."""
    needed = {graph.output}
    keep: list[RawNode] = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs) or node.name in graph.metadata.nodes:
            needed.update(node.inputs)
            keep.append(node)
    made = {o for n in keep for o in n.outputs}
    if any(o in needed and o not in made for n in nodes for o in n.outputs):
        return tuple(nodes)
    return tuple(reversed(keep))
