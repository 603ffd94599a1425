"""Progressive pretraining [NASA22]: convolutions and shifts first, then adders beside them, at last everything.

Each step runs one random path. The phases and what each trains are the released driver's; that a phase's paths are
drawn uniformly from its operators, and rates per kind (within the released .05 to .1, the higher one for adders, whose
final training has a higher one too), are ours. That the last batch norm of a residual unit starts at 0 is recalled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cofront.errors import CofrontError, UsageError
from cofront.space.nasa import SKIP, UNITS
from cofront.task.hybrid_supernet import COMMON, HybridSupernet

#: Units without adders; and all.
FIRST, ALL = ("conv", "shift"), ("conv", "shift", "adder", "shiftadd")


class NotFinite(CofrontError):
    """A loss was NaN or infinite."""


@dataclass(frozen=True)
class Phase:
    """`share` of the training; kinds and expansions (empty: all) that paths are drawn from; kinds that are trained."""

    share: float
    kinds: tuple[str, ...]
    expansions: tuple[int, ...]
    trained: tuple[str, ...]


#: 120 epochs: 20, 20, 20, 20 and 40.
PROGRESSIVE = (
    Phase(20 / 120, FIRST, (6,), (COMMON, *FIRST)),
    Phase(20 / 120, FIRST, (), (COMMON, *FIRST)),
    Phase(20 / 120, ALL, (6,), ("adder", "shiftadd")),
    Phase(20 / 120, ALL, (), ("adder", "shiftadd")),
    Phase(40 / 120, ALL, (), (COMMON, *ALL)),
)
#: What it is compared with: everything from the start.
JOINT = (Phase(1.0, ALL, (), (COMMON, *ALL)),)


@dataclass(frozen=True)
class Pretraining:
    """The recipe: SGD with momentum, cosine rates per kind down to `last_rate`, gradients clipped."""

    phases: tuple[Phase, ...] = PROGRESSIVE
    steps: int = 1000
    batch: int = 128
    rates: Mapping[str, float] = field(
        default_factory=lambda: {COMMON: 0.05, "conv": 0.05, "shift": 0.05, "adder": 0.1, "shiftadd": 0.1}
    )
    last_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        total = sum(p.share for p in self.phases)
        if abs(total - 1) > 1e-9 or self.steps < 1 or self.batch < 2:
            raise UsageError(
                f"pretraining: expected phases whose shares sum to 1, a step and a batch of 2 at least, got shares of "
                f"{total:g}, {self.steps} steps and a batch of {self.batch}"
            )

    def phase_at(self, step: int) -> int:
        """Number of the phase of a step."""
        ends = np.cumsum([p.share for p in self.phases]) * self.steps
        return min(int(np.searchsorted(ends, step + 1e-9, side="right")), len(self.phases) - 1)

    def rate_at(self, step: int, kind: str) -> float:
        high = self.rates[kind]
        return self.last_rate + 0.5 * (high - self.last_rate) * (1 + math.cos(math.pi * step / self.steps))


def options(net: HybridSupernet, phase: Phase) -> list[list[int]]:
    """Of each layer, the options that a phase draws from; a layer with none of them has its skip."""
    out = []
    for names in net.operators:
        known = [(i, UNITS[n]) for i, n in enumerate(names) if n != SKIP]
        units = [i for i, u in known if u.kind in phase.kinds and u.expand in (phase.expansions or (u.expand,))]
        skips = [i for i, n in enumerate(names) if n == SKIP]
        out.append(units + skips if not phase.expansions else units or skips)
    return out


def pretrain(
    net: HybridSupernet,
    x: Tensor,
    y: Tensor,
    recipe: Pretraining,
    on_step: Callable[[int, int, float], None] | None = None,
) -> list[float]:
    """Trains on images x (n, 3, h, w) with labels y (n,); the loss of each step. `on_step(step, phase, loss)`."""
    if len(x) != len(y) or len(x) < recipe.batch:
        raise UsageError(
            f"pretraining: expected as many labels as images and a batch of {recipe.batch}, "
            f"got {len(x)} images and {len(y)} labels"
        )
    kinds = net.kinds()
    sgd = torch.optim.SGD(
        [{"params": p, "kind": k} for k, p in kinds.items()],
        lr=0.1, momentum=recipe.momentum, weight_decay=recipe.weight_decay,
    )  # fmt: skip
    rng, generator = np.random.default_rng(recipe.seed), torch.Generator().manual_seed(recipe.seed)
    losses: list[float] = []
    order, at, now = torch.zeros(0, dtype=torch.long), 0, -1
    active: list[list[int]] = []
    for step in range(recipe.steps):
        if recipe.phase_at(step) != now:
            now = recipe.phase_at(step)
            active = options(net, recipe.phases[now])
            for kind, parameters in kinds.items():
                for p in parameters:
                    p.requires_grad_(kind in recipe.phases[now].trained)
        if at + recipe.batch > len(order):
            order, at = torch.randperm(len(x), generator=generator), 0
        rows = order[at : at + recipe.batch]
        at += recipe.batch
        for group in sgd.param_groups:
            group["lr"] = recipe.rate_at(step, group["kind"])
        choice = [int(rng.choice(c)) for c in active]
        sgd.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net.path(x[rows], choice), y[rows])
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            names = ", ".join(net.operators[i][o] for i, o in enumerate(choice))
            raise NotFinite(f"the loss is {losses[-1]} in step {step}, phase {now + 1}, on the path {names}")
        if loss.requires_grad:  # a path without anything that this phase trains
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            sgd.step()
        if on_step is not None:
            on_step(step, now, losses[-1])
    for p in net.parameters():
        p.requires_grad_(True)
    return losses


@torch.no_grad()
def accuracies(net: HybridSupernet, x: Tensor, y: Tensor, choices: np.ndarray, batch: int = 500) -> np.ndarray:
    """(n,) accuracy of each path of `choices` (n, l) on images x with labels y, with each batch's statistics."""
    out = []
    for choice in choices:
        right = 0
        for i in range(0, len(x), batch):
            right += int((net.path(x[i : i + batch], [int(o) for o in choice]).argmax(1) == y[i : i + batch]).sum())
        out.append(right / len(x))
    return np.array(out)
