"""Designs of a space costed by the scalar path block by block: each block once per accelerator, however many designs.

A design's Network is the stack of its path's blocks, and its calls are theirs, so nothing is lost but the time to do
the same again; `checking.py` rebuilds some designs as whole Networks all the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cofront.api.accuracy import Measured
from cofront.api.costing import Costed, costed, family, kernels_of
from cofront.api.networks import block_precisions
from cofront.study.documents import Cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cofront.device import Device
    from cofront.hardware.base import Configuration
    from cofront.study.documents import Design


@dataclass(frozen=True)
class Rebuilt:
    """A design's cost, whether it can be had on the device, and the sizes of its network."""

    cost: Cost
    fits: bool
    macs: int
    params: int
    weight_bytes: int
    activation_bytes: int
    precisions: dict[str, int]


class Blocks:
    """The blocks of a space and what they cost on the accelerators asked for so far."""

    def __init__(self, measured: Measured, device: Device, accelerator: str) -> None:
        self.space, self.layered = measured.space, measured.layered
        self.device = device
        self.accelerator = accelerator
        self._configs: dict[str, Configuration] = {}
        self._sizes: dict[int, tuple[int, int, int, int]] = {}
        self._costed: dict[tuple[int, str], Costed] = {}

    def networks(self, points: Sequence[Sequence[int]]) -> list[list[int]]:
        """The fragments of each point's network, in order."""
        import numpy as np

        from cofront.search.walk import Paths

        of_edge = self.layered.edge_fragment
        canonical = self.space.canonical(np.array([list(p) for p in points], dtype=np.int64))
        paths = Paths(self.layered.trellis).many(canonical)
        return [[int(f) for f in of_edge[path[path >= 0]] if f >= 0] for path in paths]

    def rebuild(self, fragments: Sequence[int], design: Design) -> Rebuilt:
        """The network of these fragments on the design's accelerator."""
        key = json.dumps(design.config, sort_keys=True)
        parts = [self._cost(f, key, design.config) for f in fragments]
        calls = [c for p in parts for c in p.calls]
        first = parts[0].cost
        energies = [p.cost.energy_j for p in parts]
        known = [e for e in energies if e is not None]
        roofs = [p.roof for p in parts if p.roof is not None]
        cycles = sum(p.cost.cycles for p in parts)
        cost = Cost(
            latency_s=cycles / first.clock_hz, cycles=cycles, clock_hz=first.clock_hz,
            resources=dict(first.resources), budget=dict(first.budget), config=parts[0].config,
            macs=sum(p.cost.macs for p in parts), energy_j=sum(known) if len(known) == len(energies) else None,
            calls=calls, roof=max(roofs, key=lambda r: r.peak_macs_per_s, default=None),
            notes=list(dict.fromkeys(n for p in parts for n in p.cost.notes)),
            kernels=kernels_of([r for p in parts for r in p.rows], calls, first.clock_hz),
        )  # fmt: skip
        sizes = [self._size(f) for f in fragments]
        macs, params, weights, activations = (sum(column) for column in zip(*sizes, strict=True))
        precisions = block_precisions(*(self.layered.fragments[f] for f in fragments))
        return Rebuilt(cost, all(p.cost.feasible for p in parts), macs, params, weights, activations, precisions)

    def _size(self, fragment: int) -> tuple[int, int, int, int]:
        found = self._sizes.get(fragment)
        if found is None:
            n = self.layered.fragments[fragment]
            found = self._sizes[fragment] = (n.macs, n.params, n.weight_bytes, n.activation_bytes)
        return found

    def _cost(self, fragment: int, key: str, config: dict[str, Any]) -> Costed:
        found = self._costed.get((fragment, key))
        if found is None:
            if key not in self._configs:
                self._configs[key] = family(self.accelerator).config(config)
            network = self.layered.fragments[fragment]
            found = costed(network, self.device, self._configs[key], self.accelerator)
            self._costed[fragment, key] = found
        return found
