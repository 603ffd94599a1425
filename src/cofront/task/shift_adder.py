"""Shift and adder convolutions on integers: what their arrays of processing elements compute, in every bit.

A shift weight is one integer, sign * (places + 1); the input is widened by `align` fraction bits before it is shifted:

    acc[c] = bias[c] + sum sign * (((a - zero_in) << align) >> places)        arithmetic shifts: they round down
    acc[c] = bias[c] - sum |(a - zero_in) - (w << align)|                     adder: w in steps of 2^align of the input

Both end in the common rounding of `cofront.task.integer`; an adder layer's multipliers may be negative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cofront.network import AdderConv2d, Convolution, Node, ShiftConv2d

if TYPE_CHECKING:
    from cofront.task.integer import QuantizedLayer

Ints = npt.NDArray[Any]

#: Most fraction bits that a shift layer adds, and most places that an adder layer's weights are shifted.
MAX_ALIGN = 16


def is_shift_or_adder(node: Node) -> bool:
    return isinstance(node.op, ShiftConv2d | AdderConv2d)


def places_of(codes: Ints) -> Ints:
    """Places that a shift layer's integers say."""
    return np.abs(codes.astype(np.int64)) - 1


def greatest_code(node: Node, bits: int) -> int:
    """The greatest magnitude of an integer weight of so many bits."""
    return int(2 ** (bits - 1) - (not isinstance(node.op, ShiftConv2d)))


def reach(node: Node, weight: Ints, align: int, most: int) -> Ints:
    """(cout,) bound of the sums' magnitude, biases aside, for inputs of magnitude up to `most`."""
    flat = weight.astype(np.int64).reshape(len(weight), -1)
    if isinstance(node.op, ShiftConv2d):
        each = np.maximum((most << align) >> np.minimum(places_of(flat), 62), 1)  # a negative one stays at -1
        return np.asarray(each.sum(1))
    return np.asarray((most + (np.abs(flat) << align)).sum(1))


def accumulate(node: Node, layer: QuantizedLayer, a: Ints) -> Ints:
    """int32 accumulators (n, h, w, cout) of inputs a (n, h, w, cin), bias included."""
    op, x = node.op, a.astype(np.int64) - layer.zero_in
    assert isinstance(op, Convolution)
    w = layer.weight.astype(np.int64)
    if isinstance(op, ShiftConv2d):
        total = _shifted(op, x, w, layer.align)
    else:
        total = -_taps(op, x, w << layer.align, _differences if op.groups == 1 else _channel_differences)
    acc: Ints = (total + layer.bias).astype(np.int32)
    return acc


def _taps(op: Convolution, x: Ints, w: Ints, each: Callable[[Ints, Ints], Ints]) -> Ints:
    """Sum over the kernel of each(inputs (n, h, w, cin), weights (cout, cin))."""
    top, left, bottom, right = op.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    (kh, kw), (sh, sw) = op.kernel, op.stride
    h, width = (x.shape[1] - kh) // sh + 1, (x.shape[2] - kw) // sw + 1
    total = np.zeros((len(x), h, width, len(w)), np.int64)
    for i in range(kh):
        for j in range(kw):
            total += each(x[:, i : i + sh * (h - 1) + 1 : sh, j : j + sw * (width - 1) + 1 : sw], w[:, :, i, j])
    return total


def _shifted(op: ShiftConv2d, x: Ints, codes: Ints, align: int) -> Ints:
    """One product per number of places to the right; those to the left are products with integers."""
    sign, places = np.sign(codes), places_of(codes)
    product = _products if op.groups == 1 else _channel_products
    left = places <= align
    total = _taps(op, x, np.where(left, sign << np.where(left, align - places, 0), 0), product)
    for p in np.unique(places[~left]):
        total += _taps(op, x >> int(p - align), np.where(places == p, sign, 0), product)
    return total


def _products(tap: Ints, w: Ints) -> Ints:
    # float64 holds the sums exactly: they stay below 2^53 because the check keeps them below 2^31
    exact: Ints = (tap.astype(np.float64) @ w.T.astype(np.float64)).astype(np.int64)
    return exact


def _channel_products(tap: Ints, w: Ints) -> Ints:
    return np.asarray(tap * w[:, 0])


def _differences(tap: Ints, w: Ints) -> Ints:
    return np.stack([np.abs(tap - row).sum(-1) for row in w], axis=-1)


def _channel_differences(tap: Ints, w: Ints) -> Ints:
    return np.asarray(np.abs(tap - w[:, 0]))
