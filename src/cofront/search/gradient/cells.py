"""A supernet of DARTS's cells [DARTS19]: every operation on every edge of every cell, cells of a kind sharing a choice.

Each operation is a module of the one Network description, with weights of its own in every cell; "none" is zero. The
published supernet differs: its batch norms have no scale and offset, and its pools have one behind them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cofront.network import Network
from cofront.network.pytorch import to_torch
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.supernet import first_not_finite, options_run
from cofront.space.darts import EDGES, NODES, NONE, OPS, Darts


class CellSupernet(nn.Module):
    """Logits of images by the 28 x 8 weights of operations. `layers` are one for each digit of a code of `space`."""

    def __init__(self, space: Darts, layers: Layers, seed: int = 0) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)

        def module(network: Network | None) -> nn.Module:
            return nn.Identity() if network is None else to_torch(network, rng=rng)

        self.layers, self.places = layers, space.places
        self.stem, self.head = module(space.stem()), module(space.head())
        self.fits = nn.ModuleList(nn.ModuleList(module(space.fit(p, i)) for i in range(2)) for p in space.places)
        #: by cell, edge and operation
        self.operations = nn.ModuleList(
            nn.ModuleList(
                nn.ModuleList(module(space.operation(p, e, o)) for o in range(len(OPS))) for e in range(len(EDGES))
            )
            for p in space.places
        )

    def forward(self, x: Tensor, relaxed: Relaxed) -> Tensor:
        return self._run(x, relaxed, None)

    def _run(self, x: Tensor, relaxed: Relaxed, bad: list[str] | None) -> Tensor:
        """The logits; names of operators whose output is not finite go to `bad`."""
        before = last = self.stem(x)
        for place, fits, edges in zip(self.places, self.fits, self.operations, strict=True):
            assert isinstance(fits, nn.ModuleList) and isinstance(edges, nn.ModuleList)
            tensors = [fits[0](before), fits[1](last)]
            first = len(EDGES) * place.reduces  # the reduction cell's digits follow the normal cell's
            for node in range(NODES):
                total = torch.zeros(())
                for edge, (to, source) in enumerate(EDGES):
                    if to == node:
                        total = total + self._edge(edges[edge], tensors[source], relaxed, first + edge, bad)
                tensors.append(total)
            before, last = last, torch.cat(tensors[2:], 1)
        out: Tensor = self.head(last)
        return out

    def _edge(self, operations: nn.Module, x: Tensor, relaxed: Relaxed, layer: int, bad: list[str] | None) -> Tensor:
        assert isinstance(operations, nn.ModuleList)
        weights, total = relaxed.weights[layer].to(x.dtype), torch.zeros(())
        for option in options_run(self.layers, relaxed, layer):
            if option == NONE:
                continue
            y = operations[option](x)
            if bad is not None and not bool(torch.isfinite(y).all()):
                bad.append(self.layers.name(layer, option))
            total = total + weights[option] * y
        return total

    def first_bad(self, x: Tensor, relaxed: Relaxed) -> str:
        """The first operator whose output is not finite, in the order of the cells."""
        return first_not_finite(lambda bad: self._run(x, relaxed, bad), x)
