"""How loss and latency become one number to descend, and what a target does to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from cofront.errors import UsageError
from cofront.search.gradient.cost import CostModel, check_target


class Objective(Protocol):
    """Joins loss and latency. `state` is what must survive an interruption."""

    state: dict[str, float]

    def check(self, cost: CostModel) -> None:
        """Raises a UsageError when the objective makes no sense on this device."""

    def join(self, loss: Tensor, latency_s: Tensor) -> Tensor:
        """What the architecture parameters descend."""

    def after(self, most_likely_s: float, epochs_left: int) -> float:
        """Called after each step of the architecture; what the next step's rate is multiplied with."""


@dataclass
class LogLatency:
    """loss * alpha * ln(latency / unit)^beta [FBNet19]. The logarithm makes the unit matter: ours is 1 us."""

    alpha: float = 0.2
    beta: float = 0.6
    unit_s: float = 1e-6
    state: dict[str, float] = field(default_factory=dict)

    def check(self, cost: CostModel) -> None:
        fastest, _ = cost.bounds()
        if not fastest > self.unit_s:
            raise UsageError(
                f"FBNet's loss takes ln(latency / unit): the fastest network of device '{cost.name}' needs "
                f"{fastest:.3g} s, which is not above the unit of {self.unit_s:.3g} s; choose a smaller unit"
            )

    def join(self, loss: Tensor, latency_s: Tensor) -> Tensor:
        return loss * self.alpha * torch.log(latency_s / self.unit_s) ** self.beta

    def after(self, most_likely_s: float, epochs_left: int) -> float:
        return 1.0


@dataclass
class Weighted:
    """loss + weight * latency / unit: a fixed exchange rate, which no target follows from."""

    weight: float
    unit_s: float = 1e-3
    state: dict[str, float] = field(default_factory=dict)

    def check(self, cost: CostModel) -> None:
        if not math.isfinite(self.weight):
            raise UsageError(f"weight of the latency: expected a finite number, got {self.weight}")

    def join(self, loss: Tensor, latency_s: Tensor) -> Tensor:
        return loss + self.weight * latency_s / self.unit_s

    def after(self, most_likely_s: float, epochs_left: int) -> float:
        return 1.0


@dataclass
class Multiplier:
    """loss + lambda * (latency / target - 1), lambda learnt by ascent [LightNAS22].

    After each step lambda rises by `rate` * (latency of the most likely network / target - 1), and is zeroed while its
    sign opposes that. In the last `fine_epochs`, once within `fine_s` of the target, the architecture's rate shrinks
    to the relative gap.
    """

    target_s: float
    rate: float = 5e-4
    fine_s: float = 1.5e-4
    fine_epochs: int = 10
    state: dict[str, float] = field(default_factory=lambda: {"multiplier": 0.0})

    def check(self, cost: CostModel) -> None:
        check_target(cost, self.target_s)

    def join(self, loss: Tensor, latency_s: Tensor) -> Tensor:
        return loss + self.state["multiplier"] * (latency_s / self.target_s - 1.0)

    def after(self, most_likely_s: float, epochs_left: int) -> float:
        gap = most_likely_s / self.target_s - 1.0
        now = self.state["multiplier"]
        self.state["multiplier"] = (0.0 if now * gap < 0 else now) + self.rate * gap
        near = epochs_left <= self.fine_epochs and abs(most_likely_s - self.target_s) < self.fine_s
        return abs(gap) if near else 1.0
