"""Two ways to compute a quantised layer: in floats anywhere, and in 8-bit integers where oneDNN has them.

A kernel says how integers are held: `FloatKernel` holds q - zero in a float tensor, `Int8Kernel` holds q in uint8 and
fuses convolution, addition, rounding and clamping into one call. Both compute the same integers but for ties in
rounding, which they round to even and hardware rounds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from cofront.task.quant import act_range
from cofront.task.supernet import Conv


@dataclass(frozen=True)
class Grid:
    """How a tensor is stored: real = scale * (q - zero), q unsigned in `bits`."""

    scale: float
    bits: int
    signed: bool

    @property
    def low(self) -> int:
        """Least q - zero."""
        return act_range(self.bits, self.signed)[0]

    @property
    def high(self) -> int:
        """Greatest q - zero."""
        return act_range(self.bits, self.signed)[1]

    @property
    def zero(self) -> int:
        return -self.low


@dataclass(frozen=True)
class Layer:
    """A convolution's integers: real output = factor[c] * read.scale * acc[c] + shift[c].

    `weight` (cout, cin or 1, k, k) holds integers as float32; `read` is the grid on which it reads its input.
    """

    conv: Conv
    weight: torch.Tensor
    factor: torch.Tensor
    shift: torch.Tensor
    read: Grid


class FloatKernel:
    """In float32 (exact up to ties) or bfloat16 (fast, each product off by up to 2^-9 of itself)."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def hold(self, q: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Integers q in the form the kernel computes on."""
        return (q.float() - grid.zero).to(self.dtype).contiguous(memory_format=torch.channels_last)

    def real(self, h: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Held integers as real numbers, float32."""
        return h.float() * grid.scale

    def prepare_read(self, channels: int, grid: Grid, to: Grid) -> Any:
        """What `read` needs, computed once."""
        return grid.scale / to.scale, to

    def read(self, h: torch.Tensor, prepared: Any) -> torch.Tensor:
        """Re-quantise to a coarser grid."""
        gain, to = prepared
        out: torch.Tensor = (h * gain).round_().clamp_(to.low, to.high)
        return out

    def raw(self, h: torch.Tensor, layer: Layer) -> torch.Tensor:
        """Real outputs, not rounded."""
        w = (layer.weight * (layer.factor * layer.read.scale).view(-1, 1, 1, 1)).to(self.dtype)
        return self._conv(h, w, layer.shift.to(self.dtype), layer.conv)

    def prepare(self, layer: Layer, out: Grid, residual: Grid | None) -> Any:
        """What `stored` needs, computed once."""
        gain = (layer.factor * layer.read.scale / out.scale).view(-1, 1, 1, 1)
        w = (layer.weight * gain).to(self.dtype).contiguous(memory_format=torch.channels_last)
        return layer.conv, w, (layer.shift / out.scale).to(self.dtype), out, residual

    def stored(self, h: torch.Tensor, prepared: Any, skip: torch.Tensor | None) -> torch.Tensor:
        """Integers on the grid `out`, after ReLU (by clamping) or addition; may overwrite `skip`."""
        conv, w, bias, out, residual = prepared
        y = self._conv(h, w, bias, conv)
        if skip is not None:
            y = y.add_(skip, alpha=residual.scale / out.scale)
        return y.clamp_(out.low, out.high).round_()

    @staticmethod
    def _conv(h: torch.Tensor, w: torch.Tensor, bias: torch.Tensor, c: Conv) -> torch.Tensor:
        return F.conv2d(h, w, bias, c.stride, c.kernel // 2, groups=c.cout if c.depthwise else 1)


class Int8Kernel:
    """oneDNN's 8-bit convolutions: about three times as fast as bfloat16 where the processor multiplies bytes."""

    def hold(self, q: torch.Tensor, grid: Grid) -> torch.Tensor:
        return q.to(torch.uint8).contiguous(memory_format=torch.channels_last)

    def real(self, h: torch.Tensor, grid: Grid) -> torch.Tensor:
        return (h.float() - grid.zero) * grid.scale

    def prepare_read(self, channels: int, grid: Grid, to: Grid) -> Any:
        same = Conv("read", channels, channels, 1, 1, True, False)
        one = torch.ones(channels)
        return self.prepare(Layer(same, one.view(-1, 1, 1, 1), one, one * 0, grid), to, None)

    def read(self, h: torch.Tensor, prepared: Any) -> torch.Tensor:
        return self.stored(h, prepared, None)

    def raw(self, h: torch.Tensor, layer: Layer) -> torch.Tensor:
        """In bfloat16: only means and scales are taken of it."""
        return self._call(h, self._pack(layer), layer, None, None, None)

    def prepare(self, layer: Layer, out: Grid, residual: Grid | None) -> Any:
        return self._pack(layer), layer, out, residual

    def stored(self, h: torch.Tensor, prepared: Any, skip: torch.Tensor | None) -> torch.Tensor:
        packed, layer, out, residual = prepared
        return self._call(h, packed, layer, out, residual, skip)

    @staticmethod
    def _pack(layer: Layer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Packed weights, their positive scales, and zero points of zero."""
        c = layer.conv
        sign = torch.where(layer.factor < 0, -1.0, 1.0)
        w = (layer.weight * sign.view(-1, 1, 1, 1)).to(torch.int8)
        scale = layer.factor.abs().clamp_min(1e-20).float()
        ops = torch.ops.onednn
        pads, groups = [c.kernel // 2] * 2, c.cout if c.depthwise else 1
        packed = ops.qconv_prepack(
            w, scale, layer.read.scale, layer.read.zero, [c.stride] * 2, pads, [1, 1], groups, None
        )
        return packed, scale, torch.zeros(c.cout, dtype=torch.int8)

    @staticmethod
    def _call(
        h: torch.Tensor, packed: Any, layer: Layer, out: Grid | None, residual: Grid | None, skip: torch.Tensor | None
    ) -> torch.Tensor:
        c, read = layer.conv, layer.read
        w, scale, zeros = packed
        where = ([c.stride] * 2, [c.kernel // 2] * 2, [1, 1], c.cout if c.depthwise else 1)
        to = (out.scale, out.zero, torch.uint8) if out is not None else (1.0, 0, torch.bfloat16)
        op = torch.ops.onednn.qconv2d_pointwise
        if skip is not None and residual is not None:
            add: tuple[Any, ...] = (residual.scale, residual.zero, "sum", 1.0, "none", [], "")
            y: torch.Tensor = op.binary(h, read.scale, read.zero, w, scale, zeros, skip, layer.shift, *where, *to, *add)
            return y
        clamp: tuple[Any, ...] = ("none", [], "")
        if out is not None and out.bits < 8:
            clamp = ("hardtanh", [out.low * out.scale, out.high * out.scale], "")
        y = op.default(h, read.scale, read.zero, w, scale, zeros, layer.shift, *where, *to, *clamp)
        return y


Kernel = FloatKernel | Int8Kernel


@lru_cache
def best_kernel() -> Kernel:
    """The 8-bit kernel if this PyTorch and processor run it correctly, else float32."""
    one = torch.ones(16)
    layer = Layer(Conv("t", 16, 16, 3, 1, False, True), torch.ones(16, 16, 3, 3), one, one, Grid(1, 8, True))
    q = torch.arange(16.0 * 25).view(1, 16, 5, 5) % 7 + 120
    try:
        fast, slow = Int8Kernel(), FloatKernel()
        grid = Grid(2.5, 8, True)
        a = fast.stored(fast.hold(q, layer.read), fast.prepare(layer, grid, None), None)
        b = slow.stored(slow.hold(q, layer.read), slow.prepare(layer, grid, None), None)
        if torch.equal(fast.real(a, grid), slow.real(b, grid)):
            return fast
    except (RuntimeError, AttributeError, TypeError):
        pass
    return FloatKernel()
