"""What an integer network computes beside its layers: averages, greatest values, shuffles, and tensors that meet.

Tensors that meet in a concatenation, or in an addition or activation that no layer takes in, have a grid each. A
`Join` brings them to one: a concatenation rounds each of them, an addition rounds their sum,

    out = clamp(((sum_i (q_i - zero_i) * multiplier_i + half) >> shift) + zero)

An average is the same `Rescale` as elsewhere of the sum over its window, whose divisor is in the multiplier; so padding
must count (or there is none). The greatest value needs no arithmetic: a tensor and its grid have the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cofront.network import Concat, Node, Pool2d
from cofront.network.reference import windows

if TYPE_CHECKING:
    from cofront.task.integer import Rescale

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Join:
    """Zero points and multipliers of the tensors that meet, and the grid that they meet on."""

    zeros: tuple[int, ...]
    multipliers: tuple[int, ...]
    shift: int
    zero: int
    bits: int

    def __call__(self, node: Node, parts: Sequence[Ints]) -> Ints:
        """Stored integers (..., c) of each input to those of the output, int32."""
        wide = [(q.astype(np.int64) - z) * m for q, z, m in zip(parts, self.zeros, self.multipliers, strict=True)]
        total = np.concatenate(wide, axis=-1) if isinstance(node.op, Concat) else sum(wide[1:], wide[0])
        total = (total + (1 << self.shift >> 1)) >> self.shift
        out: Ints = np.clip(total + self.zero, 0, 2**self.bits - 1).astype(np.int32)
        return out


def averages(op: Pool2d) -> bool:
    """Whether a pooling is an average whose every window has the same divisor."""
    return op.kind == "avg" and not op.ceil_mode and (op.count_include_pad or not any(op.padding))


def window_terms(node: Node, shape: tuple[int, ...]) -> int:
    """How many values of a map (c, h, w) an average sums."""
    op = node.op
    return op.kernel[0] * op.kernel[1] if isinstance(op, Pool2d) else shape[1] * shape[2]


def average(node: Node, scale: Rescale, q: Ints) -> Ints:
    """Averages of stored integers (n, h, w, c): of the whole map (n, 1, 1, c), or of each window."""
    x = q.astype(np.int64) - scale.zero_in
    if isinstance(node.op, Pool2d):
        total = _windows(x, node.op, node.op.padding, 0).sum(axis=(4, 5))
    else:
        total = x.sum((1, 2), keepdims=True)
    wide = (total * scale.multiplier + (1 << scale.shift >> 1)) >> scale.shift
    out: Ints = np.clip(wide + scale.zero, 0, 2**scale.bits - 1).astype(np.int32)
    return out


def _windows(x: Ints, op: Pool2d, sides: tuple[int, int, int, int], fill: int) -> Ints:
    """Windows (n, h, w, c, kernel_h, kernel_w) of integers (n, h, w, c)."""
    maps: Any = x.transpose(0, 3, 1, 2)  # the view is of any type
    found: Ints = windows(maps, op.kernel, op.stride, sides, fill=fill)
    return found.transpose(0, 2, 3, 1, 4, 5)


def greatest(op: Pool2d, q: Ints, out_shape: tuple[int, ...]) -> Ints:
    """The greatest stored integer of each window of (n, h, w, c); padding never is."""
    top, left, bottom, right = op.padding
    rows, columns = out_shape[1:]
    over_h = max(0, (rows - 1) * op.stride[0] + op.kernel[0] - (q.shape[1] + top + bottom))
    over_w = max(0, (columns - 1) * op.stride[1] + op.kernel[1] - (q.shape[2] + left + right))
    sides = (top, left, bottom + over_h, right + over_w)
    return np.asarray(_windows(q, op, sides, -1)[:, :rows, :columns].max(axis=(4, 5)))


def shuffled(groups: int, q: Ints) -> Ints:
    """Stored integers (n, h, w, c) with the channels of `groups` interleaved."""
    n, h, w, c = q.shape
    return q.reshape(n, h, w, groups, c // groups).swapaxes(3, 4).reshape(n, h, w, c)
