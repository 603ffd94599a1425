"""From ranges, rules and bits to a setting; whatever was computed before is kept, by layer and by tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from cofront.errors import UsageError, unknown_name
from cofront.network import Network
from cofront.task.kernels import Grid
from cofront.task.quantise.grids import Rules, act_grid, check_bits, weight_codes, weight_scales
from cofront.task.quantise.inputs import check_weights
from cofront.task.quantise.observe import Ranges
from cofront.task.quantise.setting import LayerSetting, Setting
from cofront.task.quantise.steps import steps_of, stored_of

Bits = Mapping[str, tuple[int, int]]


class Chooser:
    """Settings of one trained network for any bits; grids and integers are computed once for each number of bits."""

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, npt.NDArray[np.float32]],
        ranges: Ranges,
        rules: Rules | None = None,
    ) -> None:
        known = check_weights(network, weights)
        self.network, self.ranges, self.rules = network, ranges, rules or Rules()
        self.steps, self.origin = steps_of(network), stored_of(network)
        self._by_output = {s.output: s for s in self.steps}
        self._float = {n.name: torch.from_numpy(known[f"{n.name}.weight"]) for n in network.layers}
        self._bias = {
            n.name: torch.from_numpy(known.get(f"{n.name}.bias", np.zeros(len(self._float[n.name]), np.float32)))
            for n in network.layers
        }
        self._layers: dict[tuple[str, int], LayerSetting] = {}
        self._grids: dict[tuple[str, int], Grid] = {}

    def layer(self, name: str, bits: int) -> LayerSetting:
        """The integers of a layer's weights at so many bits."""
        if (name, bits) not in self._layers:
            w = self._float[name]
            scale = weight_scales(w, bits, self.rules)
            self._layers[name, bits] = LayerSetting(weight_codes(w, scale, bits), scale, self._bias[name], bits)
        return self._layers[name, bits]

    def grid(self, tensor: str, bits: int) -> Grid:
        """The grid of a tensor at so many bits."""
        origin = self.origin[tensor]
        if (origin, bits) not in self._grids:
            if origin == self.network.input.name:
                p = self.ranges.pixels
                self._grids[origin, bits] = p if bits == 8 else Grid(p.scale * p.high / _high(bits, p), bits, p.signed)
            else:
                step = self._by_output[origin]
                most = 6.0 if step.act == "relu6" else math.inf
                h = self.ranges.histograms[origin]
                self._grids[origin, bits] = act_grid(h, bits, step.signed, self.rules, most)
        return self._grids[origin, bits]

    def setting(self, bits: Bits | None = None, stored: int = 8) -> Setting:
        """The setting for bits {layer: (weight bits, input bits)}; the network's own if None.

        Layers that are left out have 8 and 8. `stored`: bits of what leaves a block, as in `Network.with_bits`.
        """
        network = self._with_bits(bits, stored)
        layers: dict[str, LayerSetting] = {}
        grids = {self.network.input.name: self.ranges.pixels}
        read: dict[str, Grid] = {}
        for step in self.steps:
            node = network.by_name[step.node.name]
            if step.kind == "layer":
                assert node.weight_bits is not None and node.in_bits is not None
                layers[node.name] = self.layer(node.name, node.weight_bits)
                if node.in_bits < grids[step.sources[0]].bits:
                    read[node.name] = self.grid(step.sources[0], node.in_bits)
            if step.kind == "move":
                grids[step.output] = grids[step.sources[0]]
            elif step.output in self.ranges.histograms:
                grids[step.output] = self.grid(step.output, network.by_name[step.output].out_bits or stored)
        return Setting(network, self.steps, layers, grids, read, self.ranges.pixels)

    def _with_bits(self, bits: Bits | None, stored: int) -> Network:
        if bits is None:
            for node in self.network.layers:
                if node.weight_bits is None or node.in_bits is None:
                    raise UsageError(f"layer '{node.name}' has no bits; give every layer its own, as with_bits does")
                check_bits(node.name, node.weight_bits, node.in_bits)
            return self.network
        for name, pair in bits.items():
            if name not in self._float:
                raise unknown_name("layer", name, self._float)
            check_bits(name, *pair)
        check_bits("stored tensors", 8, stored)
        return self.network.with_bits(lambda n: bits.get(n.name, (8, 8)), stored)


def _high(bits: int, grid: Grid) -> int:
    return Grid(1.0, bits, grid.signed).high
