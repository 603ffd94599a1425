"""What a network costs on the three arrays: each layer mapped by itself, images following one another.

An image's layers run one after the other, each on the array of its kind. The arrays work on successive images, so that
in the steady state one image leaves per `interval`: as long as the busiest array needs for one, and no shorter than
memory needs for everything. Layers are timed as if memory were theirs alone: ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from cofront.front import Infeasible
from cofront.hardware.base import CallCost, Cost
from cofront.hardware.nasa.chunks import Config, Silicon, allocate, operations
from cofront.hardware.nasa.mapper import Goal, best_mapping
from cofront.hardware.nasa.mapping import DATAFLOWS, Chunk, Dataflow, Mapped, tile_bytes
from cofront.hardware.nasa.units import CHUNKS, KINDS, Kind, Units, load_units
from cofront.hardware.nasa.work import Layer, layers_of
from cofront.network import Network

_UNITS = {"elements_um2": "um2", "buffer_bytes": "bytes"}


@dataclass(frozen=True)
class Run:
    """One layer on its array. `extra_*` are of operands that sums read besides."""

    layer: Layer
    mapped: Mapped
    extra_cycles: int
    extra_pj: float

    @property
    def cycles(self) -> int:
        return max(self.mapped.cycles, self.dram_cycles)

    @property
    def dram_cycles(self) -> int:
        return self.mapped.dram_cycles + self.extra_cycles

    @property
    def energy_pj(self) -> float:
        return self.mapped.energy_pj + self.extra_pj

    @property
    def bound(self) -> str:
        parts = {
            CHUNKS[self.layer.kind]: self.mapped.operation_cycles,
            "memory": self.dram_cycles,
            "buffer": self.mapped.buffer_cycles,
        }
        return max(parts, key=lambda k: parts[k])


@dataclass(frozen=True)
class Evaluation:
    """A network on a configuration. `runs` are empty where it cannot run; then `infeasible` says why."""

    network: str
    config: Config
    silicon: Silicon
    runs: tuple[Run, ...]
    resources: dict[str, int]
    infeasible: tuple[Infeasible, ...] = ()

    @property
    def cycles(self) -> int:
        """Of one image alone."""
        return sum(r.cycles for r in self.runs)

    @cached_property
    def busy(self) -> dict[Kind, int]:
        """Cycles that each array works on an image."""
        return {k: sum(r.cycles for r in self.runs if r.layer.kind == k) for k in KINDS}

    @property
    def interval_cycles(self) -> int:
        """Between two images that follow one another."""
        return max(*self.busy.values(), sum(r.dram_cycles for r in self.runs))

    @property
    def latency_s(self) -> float:
        return self.cycles / self.config.clock_hz

    @property
    def interval_s(self) -> float:
        return self.interval_cycles / self.config.clock_hz

    @property
    def energy_j(self) -> float:
        return 1e-12 * sum(r.energy_pj for r in self.runs)

    @property
    def energy_parts_j(self) -> dict[str, float]:
        """Where it goes: operations with their registers, buffer, memory."""
        return {
            "operations": 1e-12 * sum(r.mapped.operation_pj for r in self.runs),
            "buffer": 1e-12 * sum(r.mapped.buffer_pj for r in self.runs),
            "memory": 1e-12 * sum(r.mapped.dram_pj + r.extra_pj for r in self.runs),
        }

    @property
    def edp_pipelined(self) -> float:
        """Joule seconds: an image's energy times the interval."""
        return self.energy_j * self.interval_s

    @property
    def edp_single(self) -> float:
        """Joule seconds: an image's energy times its latency alone."""
        return self.energy_j * self.latency_s

    def cost(self) -> Cost:
        """In the words of every accelerator: one call a layer, an image alone."""
        calls = tuple(
            CallCost(
                r.layer.name, r.layer.nodes, "split", r.cycles, {CHUNKS[r.layer.kind]: r.mapped.operation_cycles},
                r.dram_cycles, 0, int(r.mapped.dram_bytes) + r.layer.extra_bytes, r.layer.work.operations, r.bound,
                {CHUNKS[r.layer.kind]: r.layer.work.operations},
            )
            for r in self.runs
        )  # fmt: skip
        return Cost(
            latency_s=self.latency_s,
            cycles=self.cycles,
            clock_hz=self.config.clock_hz,
            energy_j=self.energy_j,
            resources=self.resources,
            budget=self.silicon.budget,
            calls=calls,
            config=self.config.to_dict(),
            network=self.network,
            device=self.silicon.name,
            infeasible=self.infeasible,
            notes=(f"one image every {1e3 * self.interval_s:.4g} ms where they follow one another",),
        )


def run_layer(
    layer: Layer, chunk: Chunk, units: Units, goal: Goal = "edp", dataflows: tuple[Dataflow, ...] = DATAFLOWS
) -> Run | None:
    """One layer at its best mapping on an array of its kind, or None when not even the smallest tile fits."""
    mapped = best_mapping(layer.work, chunk, units, goal, dataflows) if chunk.elements else None
    if mapped is None:
        return None
    extra = math.ceil(layer.extra_bytes / chunk.dram_bytes_per_cycle)
    return Run(layer, mapped, extra, layer.extra_bytes * units.dram_pj_per_byte)


def evaluate_network(
    network: Network,
    config: Config | None = None,
    silicon: Silicon | None = None,
    units: Units | None = None,
    *,
    goal: Goal = "edp",
    dataflows: tuple[Dataflow, ...] = DATAFLOWS,
) -> Evaluation:
    """The network with every layer at its best mapping; without a configuration the area is shared by operations."""
    silicon, units = silicon or Silicon(), units or load_units()
    layers = layers_of(network)
    config = config or allocate(operations(layers), silicon, units)
    used = config.resources(units)
    bad = [
        Infeasible(r, used[r], have, _UNITS[r], f"take less of {r}, or a chip with more")
        for r, have in silicon.budget.items()
        if used[r] > have
    ]
    runs = []
    for layer in layers:
        chunk = config.chunk(layer.kind, silicon, units)
        run = run_layer(layer, chunk, units, goal, dataflows)
        if run is not None:
            runs.append(run)
        elif not chunk.elements:
            bad.append(Infeasible(f"{CHUNKS[layer.kind]} of '{layer.name}'", 1, 0, "elements", "give it elements"))
        else:
            least = math.ceil(2 * float(tile_bytes(layer.work, 1, 1, 1)))
            bad.append(
                Infeasible(f"buffer of '{layer.name}'", least, chunk.capacity_bytes, "bytes", "give it more buffer")
            )
    return Evaluation(network.name, config, silicon, tuple(runs), used, tuple(bad))
