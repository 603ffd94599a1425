"""Work: what each call of a network asks of an array of multipliers, and of memory.

A call is a convolution, a linear layer or a pool, or a sum that reads another tensor. Activations and concatenations
are done on the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cofront.hardware.calls import Call, not_run, on_the_way
from cofront.network import Add, Conv2d, GlobalPool, Linear, Mul, Network, Node, Pool2d
from cofront.problem import IntArray


@dataclass(frozen=True)
class Work:
    """`repeats` times `steps` steps, in each of which `lanes_in` operands of each of `lanes_out` outputs are due.

    Lanes of inputs are channels, or, where every output has a channel of its own (depthwise layers, pools), taps.
    `multiplies`: operations are multiply-accumulates; a pool's are not. `weight_bytes` and `moved_bytes` (tensors read
    and written) pass through memory once.
    """

    repeats: int
    steps: int
    lanes_in: int
    lanes_out: int
    multiplies: bool
    weight_bytes: int
    moved_bytes: int

    @property
    def macs(self) -> int:
        return self.repeats * self.steps * self.lanes_in * self.lanes_out if self.multiplies else 0

    @property
    def bytes(self) -> int:
        return self.weight_bytes + self.moved_bytes


def _bytes(elements: int, bits: int) -> int:
    return -(-elements * bits // 8)


def _lanes(network: Network, node: Node) -> tuple[int, int, int, int] | None:
    """(repeats, steps, lanes of inputs, lanes of outputs); None where nothing is computed."""
    op = node.op
    shape, out = network.in_shapes(node)[0], network.shapes[node.name]
    if isinstance(op, Linear):
        return 1, 1, shape[0], op.out_features
    if isinstance(op, Pool2d):
        return 1, out[1] * out[2], math.prod(op.kernel), out[0]
    if isinstance(op, GlobalPool):
        return 1, 1, shape[1] * shape[2], shape[0]
    if not isinstance(op, Conv2d):
        return None
    pixels, taps = out[1] * out[2], math.prod(op.kernel)
    if op.is_depthwise(shape[0]):
        return 1, pixels, taps, out[0]
    return op.groups, taps * pixels, shape[0] // op.groups, out[0] // op.groups


def stored_bytes(network: Network, node: Node) -> int:
    """Of a node's output; what no bits are said of has 8."""
    return _bytes(math.prod(network.shapes[node.name]), node.out_bits or 8)


def calls_of(network: Network, accelerator: str = "e2e_generic") -> tuple[Call[Work], ...]:
    """The calls in order. UnsupportedError names what the family `accelerator` does not run."""
    calls = []
    for node in network.nodes[1:]:
        lanes = _lanes(network, node)
        if on_the_way(node):
            continue
        read = [stored_bytes(network, network.by_name[i]) for i in node.inputs]
        if lanes is None:
            if not isinstance(node.op, Add | Mul):
                raise not_run(node, accelerator)
            # Where its last operand is written, the others are read.
            calls.append(Call(node.name, Work(0, 0, 0, 0, False, 0, sum(read[:-1]))))
            continue
        shape = node.op.weight_shape(network.in_shapes(node))
        weights = _bytes(math.prod(shape), node.weight_bits or 8) if shape else 0
        calls.append(Call(node.name, Work(*lanes, shape is not None, weights, sum(read) + stored_bytes(network, node))))
    return tuple(calls)


def cycles(works: Iterable[Work], t_in: IntArray, t_out: IntArray) -> IntArray:
    """(j, r) cycles of r works on j arrays of t_in (j,) by t_out (j,) multipliers, memory aside."""
    table = np.array([(w.repeats * w.steps, w.lanes_in, w.lanes_out) for w in works], np.int64).reshape(-1, 3)
    turns, lanes_in, lanes_out = table.T
    return np.asarray(turns * -(-lanes_in // t_in[:, None]) * -(-lanes_out // t_out[:, None]), np.int64)
