"""How a search goes: epochs, relaxation, temperature, the two optimisers; and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.problem import IntArray
from cofront.search.gradient.relax import Temperature, by_name
from cofront.space.base import Points


@dataclass(frozen=True)
class Recipe:
    """An epoch trains the weights on their split, then, after the first `freeze` epochs, the architecture on its own.

    `warm_all`: during `freeze` each step of the weights runs every option once, one path after the other in an order
    drawn without replacement, and sums their gradients, so that its memory is that of one path.
    Weights: SGD with momentum, cosine rate. Architecture: Adam, its rate halved every `arch_halve` epochs (0: never).
    """

    epochs: int = 90
    freeze: int = 10
    relaxation: str = "gumbel"
    temperature: Temperature = field(default_factory=Temperature)
    warm_all: bool = False
    weight_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 0.0
    arch_rate: float = 0.01
    arch_betas: tuple[float, float] = (0.9, 0.999)
    arch_decay: float = 5e-4
    arch_halve: int = 0
    init_std: float = 1e-3
    seed: int = 0
    save_every_s: float = 120.0

    def __post_init__(self) -> None:
        by_name(self.relaxation)
        if self.epochs < 1 or not 0 <= self.freeze < self.epochs:
            raise UsageError(
                f"expected at least one epoch and fewer epochs with the architecture frozen than in all, "
                f"got {self.epochs} and {self.freeze}"
            )

    def shortened(self, epochs: int, freeze: int | None = None) -> Recipe:
        """The same in `epochs` epochs, `freeze` of them (as now, where they fit) with the architecture frozen.

        The temperature ends where it would have.
        """
        freeze = min(self.freeze if freeze is None else freeze, max(epochs - 1, 0))
        t = self.temperature
        before, now = self.epochs - t.hold, epochs - (freeze if t.hold else 0)
        temperature = replace(t, rate=t.rate * before / max(now, 1), hold=freeze if t.hold else 0)
        return replace(self, epochs=epochs, freeze=freeze, temperature=temperature)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """The state at the end of an epoch.

    `loss` is the epoch's mean on the architecture's split (NaN while it is frozen), `expected_s` the cost of the
    softmax of the parameters, `likely_s` that of the most likely network, `entropy` the mean of the layers in nats;
    `probabilities` (l, o) the softmax itself, 0 where masked.
    """

    epoch: int
    loss: float
    expected_s: float
    likely_s: float
    entropy: float
    temperature: float
    multiplier: float | None = None
    probabilities: tuple[tuple[float, ...], ...] = ()


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Learned:
    """What a search ends with. `logits` (l, o) are the architecture parameters, -inf where masked.

    `choice` (l,) is the most likely network, `point` (d,) the space's point of it. `notes` say what stood in for what.
    """

    logits: NDArray[np.float64]
    choice: IntArray
    point: Points
    latency_s: float
    loss: float
    history: tuple[Progress, ...]
    steps: int
    cpu_s: float
    wall_s: float
    notes: tuple[str, ...] = ()

    @property
    def log_probabilities(self) -> NDArray[np.float64]:
        """(l, o) of the softmax, -inf where masked."""
        top = self.logits.max(axis=1, keepdims=True)
        return np.asarray(self.logits - top - np.log(np.exp(self.logits - top).sum(axis=1, keepdims=True)), float)
