"""The sub-networks of the space `subgraph32` as plain records: what the supernet slices of its shared weights.

The options are the space's own; only the reading of a point is written again, because training decodes one per step.

A point is a vector of 25 small integers: resolution, then (width, depth - 1) of three stages, then the operator of
nine blocks, then the precision of nine blocks. A block is one HAO subgraph: expand, filter, project.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cofront.errors import UsageError
from cofront.space.base import PRECISIONS as BITS_OF
from cofront.space.subgraph32 import CHOICES, CLASSES, DEPTHS, PRECISION_NAMES, RESOLUTIONS, STAGE_WIDTHS, STEM_WIDTH
from cofront.space.subgraph32 import OPS as BLOCK_OPS

STEM, WIDTHS = STEM_WIDTH, STAGE_WIDTHS
# (kind, kernel, expansion); a `dw` block expands its input, a `full` block its output
OPS = tuple(("dw" if o.depthwise else "full", o.kernel, o.expand) for o in BLOCK_OPS)
PRECISIONS = tuple(BITS_OF[name] for name in PRECISION_NAMES)  # (weight bits, activation bits)
STAGES = len(STAGE_WIDTHS)
BLOCKS = STAGES * len(DEPTHS)
DIMS = len(CHOICES)
NAMES = tuple(c.name for c in CHOICES)
SIZES = np.array([len(c.options) for c in CHOICES])

Point = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """One block of a sub-network: slot 0..8 in the supernet, channels, stride, operator and bits."""

    slot: int
    cin: int
    cout: int
    stride: int
    kind: str
    kernel: int
    hidden: int
    weight_bits: int
    act_bits: int

    @property
    def residual(self) -> bool:
        return self.stride == 1 and self.cin == self.cout


@dataclass(frozen=True)
class Subnet:
    """A sub-network: input resolution (pixels) and its active blocks in order."""

    resolution: int
    blocks: tuple[Block, ...]

    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        side = self.resolution
        total = side * side * 27 * STEM
        for b in self.blocks:
            inner = side * side * b.cin * b.hidden if b.kind == "dw" else 0
            side = -(-side // b.stride)
            taps = b.kernel**2 * b.hidden * (1 if b.kind == "dw" else b.cin)
            total += inner + side * side * (taps + b.hidden * b.cout)
        return total + self.blocks[-1].cout * CLASSES


def as_point(point: npt.ArrayLike) -> Point:
    """Check one point and return it canonical: choices of blocks beyond the depth are 0."""
    p = np.asarray(point)
    if p.shape != (DIMS,) or not np.issubdtype(p.dtype, np.integer):
        raise UsageError(f"a point of subgraph32 is {DIMS} integers, given shape {p.shape} of {p.dtype}")
    out: Point = p.astype(np.int64)
    bad = np.flatnonzero((out < 0) | (out >= SIZES))
    if bad.size:
        i = int(bad[0])
        raise UsageError(f"choice '{NAMES[i]}' is an index 0..{SIZES[i] - 1}, given {out[i]}")
    for slot in range(BLOCKS):
        if slot % 3 > out[2 + 2 * (slot // 3)]:
            out[7 + slot] = out[16 + slot] = 0
    return out


def decode(point: npt.ArrayLike) -> Subnet:
    """The sub-network of a point."""
    p = as_point(point)
    blocks = []
    cin = STEM
    for stage in range(STAGES):
        cout = WIDTHS[stage][p[1 + 2 * stage]]
        for i in range(DEPTHS[p[2 + 2 * stage]]):
            slot = 3 * stage + i
            kind, kernel, expand = OPS[p[7 + slot]]
            hidden = int(expand * (cin if kind == "dw" else cout))
            w_bits, a_bits = PRECISIONS[p[16 + slot]]
            blocks.append(Block(slot, cin, cout, 2 if i == 0 else 1, kind, kernel, hidden, w_bits, a_bits))
            cin = cout
    return Subnet(RESOLUTIONS[p[0]], tuple(blocks))


def largest(precision: int = 0) -> Point:
    """The point of most MACs: highest resolution, widest, deepest, full convolutions."""
    return as_point([2] + [2, 2] * STAGES + [5] * BLOCKS + [precision] * BLOCKS)


def smallest(precision: int = 0) -> Point:
    """The point of fewest choices: lowest resolution, narrowest, one block a stage, dw k3 e2."""
    return as_point(np.array([0] + [0, 0] * STAGES + [0] * BLOCKS + [precision] * BLOCKS))


def middle(precision: int = 0) -> Point:
    """A point in the middle of every range, mixed operators."""
    return as_point([1] + [1, 1] * STAGES + [2, 4, 0, 4, 3, 0, 5, 2, 0] + [precision] * BLOCKS)


def sample(rng: np.random.Generator, uniform_precision: bool = False) -> Point:
    """A random point. Half of them use one operator throughout, so that the extremes of the space are trained too."""
    p = rng.integers(0, SIZES)
    if rng.random() < 0.5:
        p[7:16] = rng.integers(0, len(OPS))
    if rng.random() < 0.25:
        p[[1, 3, 5]] = rng.integers(0, 3)
        p[[2, 4, 6]] = rng.integers(0, 3)
    if uniform_precision or rng.random() < 0.33:
        p[16:25] = rng.integers(0, len(PRECISIONS))
    return as_point(p)


def as_points(points: Iterable[npt.ArrayLike]) -> npt.NDArray[np.int64]:
    """Points (n, 25), each checked and canonical."""
    rows = [as_point(p) for p in points]
    return np.stack(rows) if rows else np.zeros((0, DIMS), np.int64)
