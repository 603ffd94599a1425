"""Work: a layer as matrix products of bit matrices, and what of it passes through memory.

A convolution is lowered to `groups` products of (m x k) weights by (k x n) inputs: m output channels, k taps times
input channels, n pixels. That an input map is read once, whatever the window, is ours ([BISMO18] reads matrices that
are lowered before).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cofront.hardware.calls import Call, not_run, on_the_way
from cofront.network import Add, Conv2d, GlobalPool, Linear, Mul, Network, Node, Pool2d
from cofront.problem import IntArray

#: Bits of what is written: a tensor is kept at 8, and a layer reads as many of its bit planes as it needs (ours).
STORED_BITS = 8


@dataclass(frozen=True)
class Work:
    """`groups` products (m x k) by (k x n) at `weight_bits` and `in_bits`; without them only data is moved.

    `weights`, `read` and `written`: elements of weights, of tensors read at `in_bits` and of what is written or read
    at `STORED_BITS`.
    """

    groups: int
    m: int
    k: int
    n: int
    weight_bits: int
    in_bits: int
    weights: int
    read: int
    written: int

    @property
    def macs(self) -> int:
        return self.groups * self.m * self.k * self.n


def call_of(network: Network, node: Node, accelerator: str) -> Call[Work] | None:
    """The call of a node; None for what is done on the way. UnsupportedError names what the family does not run."""
    op = node.op
    shapes = network.in_shapes(node)
    out = math.prod(network.shapes[node.name])
    read = sum(math.prod(s) for s in shapes)
    if on_the_way(node):
        return None
    if isinstance(op, Add | Mul | Pool2d | GlobalPool):
        other = sum(math.prod(s) for s in shapes[:-1]) if isinstance(op, Add | Mul) else read + out
        return Call(node.name, Work(0, 0, 0, 0, 0, 0, 0, 0, other))
    weight_bits, in_bits = node.weight_bits or 8, node.in_bits or 8
    if isinstance(op, Linear):
        size = (1, op.out_features, shapes[0][0], 1)
    elif isinstance(op, Conv2d):
        of = network.shapes[node.name]
        channels = shapes[0][0] // op.groups
        size = (op.groups, of[0] // op.groups, channels * math.prod(op.kernel), of[1] * of[2])
    else:
        raise not_run(node, accelerator)
    groups, m, k, _ = size
    return Call(node.name, Work(*size, weight_bits, in_bits, groups * m * k, read, out))


def calls_of(network: Network, accelerator: str) -> tuple[Call[Work], ...]:
    """The calls in order."""
    found = (call_of(network, node, accelerator) for node in network.nodes[1:])
    return tuple(c for c in found if c is not None)


@dataclass(frozen=True)
class Columns:
    """Works as arrays (r,): `groups`, `m`, `k`, `n`, and elements. Bits are given apart."""

    groups: IntArray
    m: IntArray
    k: IntArray
    n: IntArray
    weights: IntArray
    read: IntArray
    written: IntArray

    @classmethod
    def of(cls, works: Sequence[Work]) -> Columns:
        names = ("groups", "m", "k", "n", "weights", "read", "written")
        return cls(*(np.array([getattr(w, name) for w in works], np.int64) for name in names))


def bits_of(works: Sequence[Work]) -> tuple[IntArray, IntArray]:
    """(r,) weight bits and (r,) input bits."""
    return np.array([w.weight_bits for w in works], np.int64), np.array([w.in_bits for w in works], np.int64)


def moved_bits(c: Columns, w: IntArray, a: IntArray) -> IntArray:
    """Bits through memory at weight bits `w` and input bits `a`, any shapes that broadcast with (r,)."""
    return np.asarray(c.weights * w + c.read * a + c.written * STORED_BITS, np.int64)
