"""The quantised network in float32, quickly: integers minus their zero are held in floats, scales are in the weights.

The gains are those of the integers, halves are rounded up as there: it computes what the integer network computes but
where float32 takes a sum across the middle between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from cofront.errors import UsageError
from cofront.network import Add, Concat, Conv2d, Network
from cofront.network.pytorch import NetworkModule
from cofront.task.kernels import Grid
from cofront.task.quantise.choose import Bits, Chooser
from cofront.task.quantise.fixed import fixed_layer
from cofront.task.quantise.grids import Rules
from cofront.task.quantise.inputs import bare, check_images, check_labels, pixels_of
from cofront.task.quantise.observe import Ranges
from cofront.task.quantise.setting import LayerSetting, Setting
from cofront.task.quantise.steps import Step

_BATCH = 128


class _Prepared(NamedTuple):
    """Weight and bias of a layer for one pair of scales; the real size of a step; the gain of what is added."""

    layer: LayerSetting
    scales: tuple[float, float | None, float | None]
    weight: torch.Tensor
    bias: torch.Tensor
    unit: float
    residual: float


class Simulator(NetworkModule):
    """Runs one setting after another of the same network."""

    def __init__(self, network: Network) -> None:
        super().__init__(bare(network))
        self._prepared: dict[str, _Prepared] = {}
        self._now: Setting | None = None

    @property
    def setting(self) -> Setting:
        """What runs."""
        if self._now is None:
            raise UsageError("no bits are set yet: call set_bits or use a setting first")
        return self._now

    def use(self, setting: Setting) -> None:
        """Run this setting from now on; only layers whose integers or scales changed are prepared anew."""
        self._now = setting
        last: dict[str, str] = {}
        for step in setting.steps:
            for name in (*step.sources, *((step.residual,) if step.residual else ())):
                last[name] = step.output
        self._dead: dict[str, list[str]] = {}
        for name, reader in last.items():
            self._dead.setdefault(reader, []).append(name)

    def _fixed(self, step: Step) -> _Prepared:
        """What takes held integers to steps of the output, and half a step more: to round is then to round down."""
        s, name = self.setting, step.node.name
        layer, read = s.layers[name], s.multiplied(step)
        unit = 1.0 if step.real else None if s.logits(step) else s.grid(step.output).scale
        residual = s.grid(step.residual) if step.residual is not None else None
        kept, scales = self._prepared.get(name), (read.scale, unit, residual.scale if residual else None)
        if kept is None or kept.layer is not layer or kept.scales != scales:
            fixed = fixed_layer(name, layer, read, unit, residual)
            gain = torch.from_numpy(fixed.multiplier * 2.0**-fixed.shift).float()
            w = torch.from_numpy(fixed.codes).float() * gain.view(-1, *[1] * (layer.codes.dim() - 1))
            w = w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w
            half = 0.0 if step.real or unit is None else 0.5
            b = torch.from_numpy(fixed.bias * fixed.multiplier * 2.0**-fixed.shift + half).float()
            kept = _Prepared(layer, scales, w, b, fixed.unit, (fixed.residual or 0) * 2.0**-fixed.shift)
            self._prepared[name] = kept
        return kept

    @torch.inference_mode()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes), real, of pixels (n, c, h, w) as whole numbers 0..255."""
        return self.tensors(x, keep=False)[self.network.output.name]

    @torch.inference_mode()
    def tensors(self, x: torch.Tensor, keep: bool = True) -> dict[str, torch.Tensor]:
        """Stored tensors by name, integers minus their zero (logits are real); the output's alone without `keep`."""
        s = self.setting
        held = {self.network.input.name: (x.float() - s.pixels.zero).contiguous(memory_format=torch.channels_last)}
        for step in s.steps:
            held[step.output] = self._step(step, held)
            for dead in () if keep else self._dead.get(step.output, ()):
                del held[dead]
        return held

    def compute(self, step: Step, held: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The tensor that one step stores, from those it reads."""
        return self._step(step, held)

    def _step(self, step: Step, held: Mapping[str, torch.Tensor]) -> torch.Tensor:
        s, x = self.setting, [held[i] for i in step.sources]
        if step.kind == "move":
            return self._compute(step.node, x)
        if step.kind == "layer":
            return self._layer_step(step, x[0], held)
        out = s.grid(step.output)
        if step.kind == "real":
            real = [v * s.grid(i).scale for v, i in zip(x, step.sources, strict=True)]
            return _rounded(self._compute(step.node, real) / out.scale, out)
        gains = [s.grid(i).scale / out.scale for i in step.sources]
        if isinstance(step.node.op, Add | Concat):
            return _rounded(self._compute(step.node, [v * g for v, g in zip(x, gains, strict=True)]), out)
        if step.kind == "join":  # to clamp is the activation
            return _rounded(x[0] * gains[0], out)
        return _rounded(self._compute(step.node, x) * gains[0], out)

    def _layer_step(self, step: Step, x: torch.Tensor, held: Mapping[str, torch.Tensor]) -> torch.Tensor:
        s, fixed = self.setting, self._fixed(step)
        y = self.product(step, self.read(step, x), fixed.weight, fixed.bias)
        if step.residual is not None:
            y.add_(held[step.residual], alpha=fixed.residual)
        if s.logits(step):
            return y.mul_(fixed.unit)
        out = s.grid(step.output)
        if step.real:
            return _rounded(REAL[step.act or ""](y) / out.scale, out)
        return y.floor_().clamp_(out.low, out.high)

    def read(self, step: Step, x: torch.Tensor) -> torch.Tensor:
        """Held integers as a layer multiplies them: on a coarser grid where it reads fewer bits than are stored."""
        to = self.setting.read.get(step.node.name)
        return x if to is None else _rounded(x * (self.setting.grid(step.sources[0]).scale / to.scale), to)

    @staticmethod
    def product(step: Step, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
        """The layer's convolution or matrix product."""
        op = step.node.op
        if not isinstance(op, Conv2d):
            return F.linear(x, w, b)
        top, left, bottom, right = op.padding
        if (top, left) != (bottom, right):
            return F.conv2d(F.pad(x, [left, right, top, bottom]), w, b, op.stride, 0, op.dilation, op.groups)
        return F.conv2d(x, w, b, op.stride, (top, left), op.dilation, op.groups)

    def logits(self, images: npt.NDArray[np.uint8], batch: int = _BATCH) -> torch.Tensor:
        """Real logits (n, classes) of uint8 images (n, h, w, c)."""
        images = check_images(self.network, images, least=1)
        parts = [self(pixels_of(images[i : i + batch], self.network)) for i in range(0, len(images), batch)]
        return torch.cat(parts).flatten(1)

    def accuracy(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
        """Fraction of the images classified correctly."""
        y = check_labels(self.network, images, labels)
        return float((self.logits(images).argmax(1).numpy() == y).mean())

    def loss(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
        """Mean cross-entropy on the images."""
        y = check_labels(self.network, images, labels)
        return float(F.cross_entropy(self.logits(images), torch.from_numpy(y)))


def _rounded(y: torch.Tensor, grid: Grid) -> torch.Tensor:
    """To the nearest step of a grid, halves up, in place."""
    return y.add_(0.5).floor_().clamp_(grid.low, grid.high)


REAL: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "hswish": F.hardswish,
    "hsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
}


class QuantModule(Simulator):
    """A trained network whose bits can be set again and again; integers and grids are kept, by layer and bits.

    `ranges` are from `observe`.
    """

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, npt.NDArray[np.float32]],
        ranges: Ranges,
        rules: Rules | None = None,
    ) -> None:
        super().__init__(network)
        self.chooser = Chooser(network, weights, ranges, rules)

    def set_bits(self, bits: Bits | None = None, stored: int = 8) -> Setting:
        """Run at {layer: (weight bits, input bits)}, 8 and 8 where left out; None means the network's own bits."""
        setting = self.chooser.setting(bits, stored)
        self.use(setting)
        return setting
