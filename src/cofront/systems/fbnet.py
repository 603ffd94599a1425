"""FBNet's differentiable search as published [FBNet19]: Gumbel-softmax over nine units a layer, loss x latency.

The loss is CE * alpha * ln(latency)^beta on a latency table of operators. What stands in for the trained supernet
where nothing is trained (`stand_in`), and the unit of the logarithm, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.hardware.tables.hwnas import DEVICES, read_fbnet_lookup
from cofront.network.zoo.fbnet import UNITS as PUBLISHED
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost, CostModel
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.exact import ExactFront
from cofront.search.gradient.objective import LogLatency, Objective, Weighted
from cofront.search.gradient.polish import certified
from cofront.search.gradient.recipe import Learned, Recipe
from cofront.search.gradient.relax import Temperature
from cofront.search.gradient.system import GradientSystem
from cofront.search.gradient.task import Tabular, Task
from cofront.space.base import Layered, Points
from cofront.space.chain import ChainSpace
from cofront.space.fbnet import FBNet
from cofront.systems.claims import Claim

FloatArray = NDArray[np.float64]

#: The paper's schedule, as recalled: 90 epochs, the architecture frozen for 10, temperature 5 * .956^epoch.
PAPER = Recipe(
    epochs=90, freeze=10, relaxation="gumbel", temperature=Temperature(5.0, 0.045),
    weight_rate=0.1, momentum=0.9, weight_decay=1e-4, arch_rate=0.01, arch_betas=(0.9, 0.999), arch_decay=5e-4,
)  # fmt: skip
#: The same where a table stands in for the supernet: there are no weights to wait for.
TABLE = replace(PAPER, freeze=0)
#: Losses closer than this are equal: 22 entries rounded to 1e-6.
GRAIN = 2.2e-5
#: The sums of FBNet-A, B and C at 224 x 224 on HW-NAS-Bench's tables, as the facts print them, in ms.
SUMS_MS = {
    "edgegpu": (17.02, 18.59, 19.82),
    "eyeriss": (21.98, 23.96, 26.07),
    "fpga": (68.97, 83.45, 110.84),
    "raspi4": (107.46, 139.56, 165.76),
}


def published_point(space: FBNet, variant: str) -> Points:
    """(1, d) the point of FBNet-A, B or C ("a", "b", "c"), all at W8A8."""
    point = np.zeros((1, len(space.sizes)), np.int64)
    for i, unit in enumerate(PUBLISHED[variant].split()):
        name = "skip" if unit == "-" else f"k{unit[0]}_e{unit[1]}" + ("_g2" if unit.endswith("g") else "")
        point[0, i] = space.ops.index(name)
    return space.canonical(point)


def published_sums(path: str | Path) -> dict[str, tuple[float, ...]]:
    """Device -> seconds of FBNet-A, B and C by the operator tables."""
    space = FBNet()
    points = np.concatenate([published_point(space, v) for v in PUBLISHED])
    return {d: tuple(read_fbnet_lookup(path, d, space).of_points(space, points).tolist()) for d in DEVICES}


def layers_of(space: ChainSpace) -> tuple[Layers, Layered]:
    """The operators of a chain space at W8A8, the precision that tables know; "skip" only where it is the identity.

    Elsewhere it is a 1 x 1 convolution in HW-NAS-Bench, which the FPGA's table has at no cost at all: a network of
    skips would take no time there.
    """
    layered = space.layered(("W8A8",))
    layers = Layers.of_trellis(space, layered.trellis)
    allowed = np.ones(layers.shape, bool)
    allowed[[not p.same_shape for p in space.places], space.ops.index("skip")] = False
    return layers.restrict(allowed), layered


def device_cost(path: str | Path, device: str, layers: Layers, layered: Layered) -> AdditiveCost:
    """One of the operator tables as a differentiable cost."""
    space = layers.space
    assert isinstance(space, FBNet)
    edge, constant = read_fbnet_lookup(path, device, space).edge_cost(space, layered)
    return AdditiveCost.of_edges(layers, np.asarray(edge * 1e-9, float), constant * 1e-9, device)


def capacity(layers: Layers, layered: Layered) -> FloatArray:
    """(l, o) ln(1 + millions of multiply-accumulates) of each option: utility with diminishing returns."""
    fragment = layered.edge_fragment[np.maximum(layers.edges, 0)]
    used = np.where((layers.edges >= 0) & (fragment >= 0), fragment, -1)
    each = {int(f): float(np.log1p(layered.fragments[int(f)].macs / 1e6)) for f in np.unique(used) if f >= 0}
    return np.array([[each.get(int(f), 0.0) for f in row] for row in used])


def stand_in(
    layers: Layers, layered: Layered, *, spread: float = 0.3, best: float = 1.0, noise: float = 0.0, seed: int = 0
) -> Tabular:
    """A loss in the place of the supernet's: `best` for the network of greatest capacity, `best + spread` for none.

    Ours: no accuracy of this space is at hand.
    """
    u = capacity(layers, layered)
    top = np.where(layers.mask, u, 0.0).max(axis=1, keepdims=True)
    return Tabular(layers, spread * (top - u) / top.sum(), constant=best, noise=noise, seed=seed)


@dataclass(frozen=True)
class FBNetSearch(GradientSystem):
    """The paper's loss and schedule on any task and device of a space of layers."""

    task: Task
    cost: CostModel
    alpha: float = 0.2
    beta: float = 0.6
    unit_s: float = 1e-6
    recipe: Recipe = TABLE

    def objective(self) -> Objective:
        return LogLatency(self.alpha, self.beta, self.unit_s)


def weight_at(front: ExactFront, loss: float) -> float:
    """The least weight (per second) whose exact optimum of loss + weight * latency has more than that loss; half way.

    It is an oracle's weight: a user of the method would need several searches to find it.
    """
    low, high = 0.0, 1.0
    while high < 1e9 and front.loss[int((front.loss + high * front.latency_s).argmin())] <= loss:
        high *= 2.0
    for _ in range(60):
        weight = 0.5 * (low + high)
        inside = front.loss[int((front.loss + weight * front.latency_s).argmin())] <= loss
        low, high = (weight, high) if inside else (low, weight)
    return low


def search_weighted(task: Task, cost: AdditiveCost, weight: float, recipe: Recipe = TABLE) -> Learned:
    """One search of loss + weight * latency (weight per second), the relaxation and schedule as in the paper.

    Not with the paper's product: as a function of latency it is concave, so on wide tables it has nothing between the
    slowest and the fastest network.
    """
    return GradientSearch(task, cost, Weighted(weight, unit_s=1.0), recipe).run()


def lagrangian(front: ExactFront, weight: float) -> float:
    """The least loss + weight * latency of all networks, exactly; weight per second."""
    return float((front.loss + weight * front.latency_s).min())


@dataclass(frozen=True)
class Transfer:
    """A network found for `source`, run on `target`: how many times slower than the target's own.

    `searched` against the network that a search found for the target, whose loss is higher by `loss_gap` (of the
    losses' range; negative: lower); `exact` against the target's certified front at the transferred network's loss.
    """

    source: str
    target: str
    searched: float
    exact: float
    loss_gap: float


def transfers(task: Tabular, costs: Mapping[str, AdditiveCost], found: Mapping[str, Learned]) -> list[Transfer]:
    """Every pair of devices, one network for each."""
    fronts = {d: certified(task, c) for d, c in costs.items()}
    out = []
    for source, net in found.items():
        for target, native in found.items():
            if source == target:
                continue
            front, here = fronts[target], float(costs[target].of(net.choice)[0])
            # losses fall along the front: the first one that is as low, up to the judge's grain
            i = min(int(np.searchsorted(-front.loss, -net.loss - GRAIN)), len(front) - 1)
            gap = (native.loss - net.loss) / float(front.loss[0] - front.loss[-1])
            out.append(Transfer(source, target, here / native.latency_s, here / float(front.latency_s[i]), gap))
    return out


def gradient_error(task: Tabular, cost: AdditiveCost, objective: LogLatency, seed: int = 0, tau: float = 1.0) -> float:
    """Largest relative difference of the loss's gradient and central finite differences, over all parameters."""
    import torch

    from cofront.search.gradient.relax import gumbel_soft

    mask = torch.from_numpy(cost.layers.mask)
    start = torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def value(theta: torch.Tensor) -> torch.Tensor:
        logits = theta.masked_fill(~mask, -torch.inf)
        relaxed = gumbel_soft(logits, tau, torch.Generator().manual_seed(seed + 1))
        return objective.join(task.loss(relaxed, "architecture", 0, 0), cost.expected(relaxed.encoding))

    theta = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(theta), [theta])
    step, worst = 1e-4, 0.0
    scale = float(gradient.abs().max())
    with torch.no_grad():
        for i, j in np.argwhere(cost.layers.mask):
            shift = torch.zeros_like(start)
            shift[i, j] = step
            numeric = float((value(start + shift) - value(start - shift)) / (2 * step))
            worst = max(worst, abs(numeric - float(gradient[i, j])) / scale)
    return worst


def claim_sums(sums: Mapping[str, Sequence[float]]) -> list[Claim]:
    """A, B and C on each table, beside the printed sums."""
    return [
        Claim(
            f"FBNet-A/B/C on {d}, ms",
            "/".join(f"{v:.2f}" for v in SUMS_MS[d]),
            "/".join(f"{1e3 * v:.2f}" for v in sums[d]),
            "HWNAS21 tables", "derived", "stem + 22 layers + head of 1984 + pool + classifier at 224 x 224",
        )
        for d in SUMS_MS
    ]  # fmt: skip
