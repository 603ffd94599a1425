"""The integer network: the definition of what hardware computes, in plain NumPy on integers only.

Tensors are unsigned integers q of 2 to 8 bits that stand for scale * (q - zero); zero is 0 after a ReLU, else
2^(bits - 1); zero padding is q = zero. For each convolution

    a      = read(q)                              only where a layer reads fewer bits than are stored
    acc[c] = bias[c] + sum w[c] * (a - zero_in)   int32
    out    = clamp(((acc[c] * multiplier[c] + (r - zero_r) * residual_multiplier + half) >> shift) + zero_out)

with half = 2^(shift - 1), an arithmetic shift, and the residual r only where an addition follows. Weights are
symmetric, w in [-(2^(b-1) - 1), 2^(b-1) - 1], and -1 or 1 at one bit (0 throughout in a channel that is a constant);
multipliers fit in 16 bits, the residual's in 32, the sum in 48. Hardware here has widths of 4 and 8 bits alone.
Reading fewer bits: a = clamp((((q - zero) * multiplier + half) >> shift) + zero_a). The average pool is the same with
the sum over the map in the place of acc; the linear layer leaves out clamp and zero, so that its logits share a scale.
Shift and adder convolutions have sums of their own (`cofront.task.shift_adder`) and the same rounding; so have
windows, concatenations and additions that no layer takes in (`cofront.task.integer_ops`). A flattened map is in the
order height, width, channel, in which maps are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.network import ChannelShuffle, Conv2d, Flatten, Input, Linear, Network, Node, Pool2d
from cofront.task import integer_ops, shift_adder
from cofront.task.integer_check import check
from cofront.task.integer_ops import Join
from cofront.task.resize import resize_images

if TYPE_CHECKING:
    from pathlib import Path

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Rescale:
    """q -> clamp((((q - zero_in) * multiplier + half) >> shift) + zero, 0, 2^bits - 1)."""

    multiplier: int
    shift: int
    zero_in: int
    zero: int
    bits: int

    def __call__(self, q: Ints) -> Ints:
        """Apply to integers of any shape; returns int32."""
        wide = (q.astype(np.int64) - self.zero_in) * self.multiplier + (1 << self.shift >> 1)
        out: Ints = np.clip((wide >> self.shift) + self.zero, 0, 2**self.bits - 1).astype(np.int32)
        return out


@dataclass(frozen=True)
class Residual:
    """The tensor (by node name) that is added before rounding, its zero point and its multiplier."""

    tensor: str
    zero: int
    multiplier: int


@dataclass(frozen=True)
class QuantizedLayer:
    """Integers of one convolution or linear layer; `output` names the node whose tensor it produces.

    weight int8 (cout, cin / groups, k, k) or (cout, cin); bias int32 (cout,) in units of input times weight scale;
    multiplier int32 (cout,) in 0..32767. `zero_in` is that of what is multiplied, after `read`. `out_bits` 0 means
    that the result is neither clamped nor shifted by a zero point (logits). `align` is of shift and adder layers.
    """

    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    multiplier: npt.NDArray[np.int32]
    shift: int
    zero_in: int
    zero_out: int
    out_bits: int
    weight_bits: int
    output: str
    read: Rescale | None = None
    residual: Residual | None = None
    align: int = 0

    def requantise(self, acc: Ints, residual: Ints | None) -> Ints:
        """Accumulators (..., cout) to the stored output (..., cout), int32 (int64 for logits)."""
        wide = acc.astype(np.int64) * self.multiplier
        if self.residual is not None and residual is not None:
            wide += (residual.astype(np.int64) - self.residual.zero) * self.residual.multiplier
        wide = (wide + (1 << self.shift >> 1)) >> self.shift
        if not self.out_bits:
            return wide
        out: Ints = np.clip(wide + self.zero_out, 0, 2**self.out_bits - 1).astype(np.int32)
        return out


@dataclass(frozen=True)
class QuantizedNetwork:
    """A Network with its integers: `layers` by node name, `pools` the rescaling of each average, `joins` where
    tensors meet outside of a layer.

    `input_zero` and `input_scale` say what a pixel means: real = input_scale * (pixel - input_zero). `scales` (the
    real scale of each tensor) and `meta` are for people; nothing is computed from them.
    """

    network: Network
    layers: Mapping[str, QuantizedLayer]
    pools: Mapping[str, Rescale]
    input_zero: int = 128
    input_scale: float = 1 / 64
    scales: Mapping[str, float] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    joins: Mapping[str, Join] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)

    def run(self, images: npt.NDArray[np.uint8], batch: int = 250) -> npt.NDArray[np.int64]:
        """Integer logits (n, classes) of uint8 images (n, h, w, 3), resized to the network's resolution if need be."""
        if images.dtype != np.uint8 or images.ndim != 4:
            raise InputError(f"expected uint8 images (n, h, w, channels), given {images.dtype} {images.shape}")
        parts = [self.tensors(images[i : i + batch])[self.network.output.name] for i in range(0, len(images), batch)]
        return np.concatenate(parts).astype(np.int64)

    def accuracy(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
        """Fraction of images whose greatest logit is that of their label."""
        return float((self.run(images).argmax(1) == labels).mean())

    def tensors(self, images: npt.NDArray[np.uint8]) -> dict[str, Ints]:
        """Every stored tensor by node name: maps (n, h, w, c), vectors (n, c); for bit-exact comparison."""
        out: dict[str, Ints] = {}
        for node in self.network.nodes:
            op = node.op
            if isinstance(op, Input):
                c, h, w = op.shape
                if images.shape[-1] != c:
                    raise InputError(f"expected images of {c} channels, given {images.shape}")
                out[node.name] = resize_images(images, h).astype(np.int32) if h == w else images.astype(np.int32)
            elif node.name in self.layers:
                self._layer(node, out)
            elif node.name in self.pools:
                q = integer_ops.average(node, self.pools[node.name], out[node.inputs[0]])
                out[node.name] = q if isinstance(op, Pool2d) else q[:, 0, 0]
            elif node.name in self.joins:
                parts = [out[i] for i in node.inputs]
                if len({p.ndim for p in parts}) > 1:  # maps of one pixel and global averages
                    parts = [p[:, None, None] if p.ndim == 2 else p for p in parts]
                out[node.name] = self.joins[node.name](node, parts)
            elif isinstance(op, Pool2d):
                out[node.name] = integer_ops.greatest(op, out[node.inputs[0]], self.network.shapes[node.name])
            elif isinstance(op, ChannelShuffle):
                out[node.name] = integer_ops.shuffled(op.groups, out[node.inputs[0]])
            elif isinstance(op, Flatten):
                q = out[node.inputs[0]]
                out[node.name] = q.reshape(len(q), -1)
        return out

    def _layer(self, node: Node, out: dict[str, Ints]) -> None:
        layer = self.layers[node.name]
        a = out[node.inputs[0]]
        if a.ndim == 2 and isinstance(node.op, Conv2d):  # of a global average
            a = a[:, None, None]
        if layer.read is not None:
            a = layer.read(a)
        acc = accumulate(node, layer, a)
        residual = out[layer.residual.tensor] if layer.residual else None
        if residual is not None and residual.ndim == 2 and acc.ndim == 4:  # a global average
            residual = residual[:, None, None]
        out[layer.output] = layer.requantise(acc, residual)

    def save(self, path: str | Path) -> None:
        """Write to one safetensors file: integers as tensors, everything else as JSON in its header."""
        from cofront.task.integer_io import save

        save(self, path)

    @staticmethod
    def load(path: str | Path) -> QuantizedNetwork:
        """Read what `save` wrote; anything else is an InputError."""
        from cofront.task.integer_io import load

        return load(path)


def accumulate(node: Node, layer: QuantizedLayer, a: Ints) -> Ints:
    """int32 accumulators (n, ..., cout) of inputs a, bias included. Matrix products in floats that are exact.

    The bound sum |w| * max |a - zero| says whether float32 (2^24) suffices; float64 (2^53) always does.
    """
    if shift_adder.is_shift_or_adder(node):
        return shift_adder.accumulate(node, layer, a)
    x = a - layer.zero_in
    w = layer.weight.astype(np.int32)
    reach = int(np.abs(w).reshape(len(w), -1).sum(1).max(initial=0)) * int(np.abs(x).max(initial=0))
    dtype = np.float32 if reach < 2**24 else np.float64
    op = node.op
    if isinstance(op, Linear):
        flat: Ints = (x.astype(dtype) @ w.T.astype(dtype)).astype(np.int32) + layer.bias
        return flat
    assert isinstance(op, Conv2d)
    top, left, bottom, right = op.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    (kh, kw), (sh, sw), (dh, dw) = op.kernel, op.stride, op.dilation
    h, width = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1, (x.shape[2] - dw * (kw - 1) - 1) // sw + 1
    x = x.astype(dtype)
    total = np.zeros((len(x), h, width, len(w)), dtype)
    for i in range(kh):
        for j in range(kw):
            rows, columns = (
                slice(i * dh, i * dh + sh * (h - 1) + 1, sh),
                slice(j * dw, j * dw + sw * (width - 1) + 1, sw),
            )
            total += _tap(x[:, rows, columns], w[:, :, i, j].astype(dtype), op.groups)
    acc: Ints = total.astype(np.int32) + layer.bias
    return acc


def _tap(x: Ints, w: Ints, groups: int) -> Ints:
    """Products (n, h, w, cout) of inputs (n, h, w, cin) with one tap's weights (cout, cin / groups)."""
    if groups == 1:
        return np.asarray(x @ w.T)
    if groups == len(w) == x.shape[-1]:
        return x * w[:, 0]
    parts = zip(np.split(x, groups, axis=-1), np.split(w, groups), strict=True)
    return np.concatenate([part @ own.T for part, own in parts], axis=-1)
