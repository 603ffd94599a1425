"""NASA's search as published [NASA22]: top-k paths through units of convolutions, shifts and adders, and its chip.

The search's own cost counts operations, a shift as an eighth and an adder as a fifth of a product. The chip is
`cofront.hardware.nasa`. Nothing here has accuracies of this space: `cofront.systems.fbnet.stand_in` stands in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cofront.errors import UsageError
from cofront.hardware.nasa import Config, Evaluation, Silicon, Units, evaluate_network
from cofront.network import AdderConv2d, Network, Op, ShiftConv2d
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost, CostModel
from cofront.search.gradient.objective import Objective, Weighted
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.relax import Temperature
from cofront.search.gradient.system import GradientSystem
from cofront.search.gradient.task import Task
from cofront.space.base import Layered, Points
from cofront.space.nasa import SKIP, UNITS, Nasa
from cofront.systems.claims import Claim

#: The released schedule on CIFAR, after the pretraining: 90 epochs, temperature 5 * .975^epoch, two paths.
PAPER = Recipe(
    epochs=90, freeze=0, relaxation="top-2", temperature=Temperature(5.0, -math.log(0.975)),
    weight_rate=0.05, momentum=0.9, weight_decay=1e-4, clip=5.0,
    arch_rate=3e-4, arch_betas=(0.5, 0.999), arch_decay=0.0, init_std=1e-3,
)  # fmt: skip
#: What an operation weighs in the search's cost, beside a product.
SHIFT_WEIGHT, ADDER_WEIGHT = 1 / 8, 1 / 5


def layers_of(space: Nasa) -> tuple[Layers, Layered]:
    """The options of every layer."""
    layered = space.layered()
    return Layers.of_trellis(space, layered.trellis), layered


def weighted_operations(network: Network) -> float:
    """Operations in products: shifts and adders count for less [NASA22]."""
    weight: dict[type[Op], float] = {ShiftConv2d: SHIFT_WEIGHT, AdderConv2d: ADDER_WEIGHT}
    return sum((network.node_macs(n) * weight.get(type(n.op), 1.0) for n in network.layers), 0.0)


def operations_cost(layers: Layers, layered: Layered) -> AdditiveCost:
    """The search's own cost, in billions of weighted operations."""
    each = layered.per_edge([1e-9 * weighted_operations(f) for f in layered.fragments])
    return AdditiveCost.of_edges(layers, each, name="operations")


def chip_cost(
    layers: Layers, layered: Layered, config: Config, silicon: Silicon | None = None, units: Units | None = None
) -> AdditiveCost:
    """Seconds of each option on a chip of given arrays, one image alone, every layer at its best mapping."""
    found = [evaluate_network(f, config, silicon, units) for f in layered.fragments]
    bad = [e for e in found if e.infeasible]
    if bad:
        raise UsageError(f"the arrays cannot run '{bad[0].network}': {bad[0].infeasible[0]}")
    return AdditiveCost.of_edges(layers, layered.per_edge([e.latency_s for e in found]), name=f"nasa ({config})")


@dataclass(frozen=True)
class NasaSearch(GradientSystem):
    """The search on any task of a hybrid space: loss + weight * cost, in the unit of the cost.

    The released weight is 1e-10 to 1.5e-10 per operation, which is .1 to .15 per billion.
    """

    task: Task
    cost: CostModel
    weight: float = 0.1
    recipe: Recipe = PAPER

    def objective(self) -> Objective:
        return Weighted(self.weight, unit_s=1.0)


def twin(space: Nasa, point: Points) -> Points:
    """(d,) the network of the same units with convolutions in the place of everything else."""
    names = [c.options for c in space.choices]
    out = np.array(point, np.int64).copy()
    for i, o in enumerate(out):
        name = str(names[i][o])
        if name == SKIP:
            continue
        unit = UNITS[name]
        plain = name.replace(unit.kind, "conv", 1)
        if plain not in names[i]:
            raise UsageError(f"space '{space.name}' has no convolution in the place of {name}")
        out[i] = names[i].index(plain)
    return out


@dataclass(frozen=True)
class Versus:
    """A hybrid network on three arrays and its twin of convolutions on one, of the same area. Ratios: hybrid / twin."""

    hybrid: Evaluation
    convolutions: Evaluation

    @property
    def pipelined(self) -> float:
        """Of energy times the interval between images."""
        return self.hybrid.edp_pipelined / self.convolutions.edp_pipelined

    @property
    def single(self) -> float:
        """Of energy times the latency of an image alone."""
        return self.hybrid.edp_single / self.convolutions.edp_single

    @property
    def energy(self) -> float:
        return self.hybrid.energy_j / self.convolutions.energy_j

    @property
    def operations_energy(self) -> float:
        """Of the operations' energy alone."""
        return self.hybrid.energy_parts_j["operations"] / self.convolutions.energy_parts_j["operations"]


def versus(space: Nasa, points: Points, silicon: Silicon | None = None, units: Units | None = None) -> list[Versus]:
    """Each of the networks (n, d) beside its twin."""
    return [
        Versus(
            evaluate_network(space.network(p), None, silicon, units),
            evaluate_network(space.network(twin(space, p)), None, silicon, units),
        )
        for p in points
    ]


def claim_edp(found: Sequence[Versus], name: str, note: str) -> list[Claim]:
    """Energy-delay products of a space's networks beside their twins'."""

    def spread(values: list[float]) -> str:
        return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    says = (
        f"images in succession {spread([v.pipelined for v in found])}; "
        f"an image alone {spread([v.single for v in found])}; energy {spread([v.energy for v in found])}, "
        f"of operations alone {spread([v.operations_energy for v in found])}"
    )
    return [
        Claim(
            f"energy-delay product of hybrid networks over their convolution twins', same area: {name}",
            "up to 65.1 % lower at similar accuracy (CIFAR-100)", says, "NASA+ page", "sourced", note,
        )
    ]  # fmt: skip
