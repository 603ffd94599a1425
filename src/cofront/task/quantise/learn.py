"""A setting with gradients: weights, biases and all step sizes are learned through the rounding [LSQ20].

With batch norms folded, channels differ in size by orders of magnitude. So weights are learned in units of their
channel's range, biases in units of about its deviation, and steps as their logarithms, all with Adam, whose updates do
not depend on a gradient's size (LSQ scales gradients instead): this parametrisation is ours. Each float weight starts
within the cell of its integer, so that what a refinement chose is what training starts with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cofront.network.pytorch import NetworkModule
from cofront.task.kernels import Grid
from cofront.task.quantise.grids import top_of, weight_codes
from cofront.task.quantise.inputs import bare
from cofront.task.quantise.setting import LayerSetting, Setting
from cofront.task.quantise.simulate import REAL, Simulator
from cofront.task.quantise.steps import Step, stored_of
from cofront.task.quantise.straight import rounded, signs


class Learner(NetworkModule):
    """A setting in real numbers with gradients; parameters beside weights and biases are logarithms of steps."""

    def __init__(self, setting: Setting, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        super().__init__(bare(setting.network))
        self.start = setting
        for p in self.parameters():
            p.requires_grad_(False)  # the layers' own: what is learned is below
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        self.of_weights, self.of_reads, self.of_stored = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        self._own = {s.output: s for s in setting.steps if s.kind != "move"}
        self._origin = stored_of(setting.network)
        self._units: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for step in setting.steps:
            name = step.node.name
            if step.kind == "layer":
                self._begin(step, setting.layers[name], torch.from_numpy(weights[f"{name}.weight"]))
                if name in setting.read:
                    self.of_reads[_key(name)] = _log(setting.read[name].scale)
            if step.kind != "move" and not setting.logits(step):
                self.of_stored[_key(step.output)] = _log(setting.grid(step.output).scale)

    def _begin(self, step: Step, layer: LayerSetting, weight: torch.Tensor) -> None:
        cell = layer.scale.view(-1, *[1] * (weight.dim() - 1))
        if layer.bits > 1:
            weight = torch.clamp(weight, (layer.codes - 0.49) * cell, (layer.codes + 0.49) * cell)
            # The outermost cells have no end: a weight that is clipped stays where it was.
        else:
            weight = torch.where(weight.sign() == layer.codes.sign(), weight, 0.01 * layer.codes * cell)
        name, read = step.node.name, self.start.multiplied(step)
        reach = layer.real().flatten(1).norm(dim=1) * (read.high * read.scale / 8)
        self._units[name] = cell * top_of(layer.bits), reach.clamp_min(1e-6)
        self.weights[_key(name)] = nn.Parameter(weight / self._units[name][0])
        self.biases[_key(name)] = nn.Parameter(layer.bias / self._units[name][1])
        self.of_weights[_key(name)] = nn.Parameter(layer.scale.log())

    def _stored_step(self, step: Step) -> torch.Tensor:
        s: torch.Tensor = self.of_stored[_key(step.output)].exp()
        return s.clamp_max(6 / self.start.grid(step.output).high) if step.act == "relu6" else s

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of pixels (n, c, h, w) as whole numbers."""
        setting = self.start
        real = {self.network.input.name: (x - setting.pixels.zero) * setting.pixels.scale}
        for step in setting.steps:
            inputs = [real[i] for i in step.sources]
            y = self._layer_output(step, inputs[0]) if step.kind == "layer" else self._compute(step.node, inputs)
            if step.residual is not None:
                y = y + real[step.residual]
            if step.kind == "layer" and step.real:
                y = REAL[step.act or ""](y)
            if step.kind != "move" and not setting.logits(step):
                grid = setting.grid(step.output)
                y = rounded(y, self._stored_step(step), grid.low, grid.high)
            real[step.output] = y
        return real[self.network.output.name]

    def _layer_output(self, step: Step, x: torch.Tensor) -> torch.Tensor:
        name = step.node.name
        if name in self.start.read:
            grid = self.start.read[name]
            x = rounded(x, self.of_reads[_key(name)].exp(), grid.low, grid.high)
        b = self._bias(name)
        with torch.no_grad():  # an integer of the accumulator, which is coarse where bits are few
            unit = self.of_weights[_key(name)].exp() * self._read_step(step)
            off = torch.where(b.abs() < unit * 2**30, (b / unit).round() * unit - b, torch.zeros_like(b))
        return Simulator.product(step, x, self._weight(name), b + off)

    def _read_step(self, step: Step) -> torch.Tensor | float:
        """The step of what a layer multiplies."""
        if step.node.name in self.start.read:
            read: torch.Tensor = self.of_reads[_key(step.node.name)].exp()
            return read
        own = self._own.get(self._origin[step.sources[0]])
        return self.start.pixels.scale if own is None else self._stored_step(own)

    def _float(self, name: str) -> torch.Tensor:
        w: torch.Tensor = self.weights[_key(name)] * self._units[name][0]
        return w

    def _bias(self, name: str) -> torch.Tensor:
        b: torch.Tensor = self.biases[_key(name)] * self._units[name][1]
        return b

    def _weight(self, name: str) -> torch.Tensor:
        w, bits = self._float(name), self.start.layers[name].bits
        scale = self.of_weights[_key(name)].exp().view(-1, *[1] * (w.dim() - 1))
        return signs(w, scale) if bits == 1 else rounded(w, scale, -top_of(bits), top_of(bits))

    @torch.no_grad()
    def learned(self) -> Setting:
        """The setting as it is now."""
        start = self.start
        layers, read = {}, {}
        stored = {self.network.input.name: start.pixels}
        for step in start.steps:
            name = step.node.name
            if step.kind == "layer":
                bits, scale = start.layers[name].bits, self.of_weights[_key(name)].exp()
                layers[name] = LayerSetting(weight_codes(self._float(name), scale, bits), scale, self._bias(name), bits)
                if name in start.read:
                    read[name] = _moved(start.read[name], float(self.of_reads[_key(name)].exp()))
            if step.kind == "move":
                stored[step.output] = stored[step.sources[0]]
            elif not start.logits(step):
                stored[step.output] = _moved(start.grid(step.output), float(self._stored_step(step)))
        return replace(start, layers=layers, stored=stored, read=read)


def _key(name: str) -> str:
    """A name without dots, which parameters may not have."""
    return name.replace(".", "/")


def _log(scale: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(math.log(scale)))


def _moved(grid: Grid, scale: float) -> Grid:
    return Grid(scale, grid.bits, grid.signed)
