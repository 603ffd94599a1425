"""What is asked of a measurement, and what one item of it is."""

from __future__ import annotations

from dataclasses import dataclass

from cofront.errors import CofrontError, UsageError, unknown_name
from cofront.network import Network

RUNTIMES = ("onnxruntime", "pytorch")
PROVIDERS = ("auto", "cpu", "cuda")


class DeviceError(CofrontError):
    """The machine that measures cannot be reached or cannot do what was asked."""


@dataclass(frozen=True)
class Settings:
    """How to measure. `budget_s` is for all timed runs of one model together, spread over `rounds` visits.

    `cores` are the processors to run on, the last ones allowed if empty; a visit times `least` to `most` runs.
    """

    threads: int = 1
    batch: int = 1
    runtime: str = "onnxruntime"
    provider: str = "auto"
    rounds: int = 12
    budget_s: float = 0.3
    seed: int = 0
    cores: tuple[int, ...] = ()
    least: int = 2
    most: int = 200

    def __post_init__(self) -> None:
        for what, value in (("--threads", self.threads), ("--batch", self.batch), ("--rounds", self.rounds)):
            if value < 1:
                raise UsageError(f"{what} must be at least 1, got {value}")
        if not 0 < self.budget_s <= 3600:
            raise UsageError(f"--seconds-per-model must be above 0 and at most 3600, got {self.budget_s:g}")
        if self.runtime not in RUNTIMES:
            raise unknown_name("runtime", self.runtime, RUNTIMES)
        if self.provider not in PROVIDERS:
            raise unknown_name("provider", self.provider, PROVIDERS)


@dataclass(frozen=True)
class Item:
    """One model to time: an operator by its key, or a whole network by the point of its space."""

    id: str
    key: str
    label: str
    network: Network
    point: tuple[int, ...] | None = None
