"""Cost: what a network costs on an accelerator, and where it goes; Accelerator: what a family must offer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from cofront.device import Device
from cofront.front import Infeasible
from cofront.network import Network
from cofront.problem import CodesignProblem
from cofront.space.base import Layered

Mode = Literal["fused", "split", "memory", "infeasible"]


@dataclass(frozen=True)
class CallCost:
    """One call of the accelerator.

    `kernels` maps a kernel to the cycles it is busy in the mode taken; `cycles` is the whole call with overhead.
    `kernel_macs` and `narrow` (at most 4 x 4 bits) are of the same kernels.
    `bytes_moved` counts re-reading. `bound` names what sets the time: a kernel, "memory" or "overhead".
    """

    name: str
    layers: tuple[str, ...]
    mode: Mode
    cycles: int
    kernels: dict[str, int]
    memory_cycles: int
    overhead_cycles: int
    bytes_moved: int
    macs: int
    bound: str
    kernel_macs: dict[str, int] = field(default_factory=dict)
    narrow: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Latency, resources and energy of one network on one configuration. `energy_j` None: no power figures known.

    `infeasible` names every limit that is exceeded and every call that cannot run; then `cycles` means nothing.
    """

    latency_s: float
    cycles: int
    clock_hz: float
    energy_j: float | None
    resources: dict[str, int]
    budget: dict[str, int]
    calls: tuple[CallCost, ...]
    config: dict[str, Any]
    network: str = ""
    device: str = ""
    infeasible: tuple[Infeasible, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def feasible(self) -> bool:
        return not self.infeasible

    @property
    def fps(self) -> float:
        return 1.0 / self.latency_s if self.latency_s > 0 else float("inf")

    @property
    def macs(self) -> int:
        return sum(c.macs for c in self.calls)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "fps": self.fps, "feasible": self.feasible}


class Accelerator(Protocol):
    """An accelerator family: costs one network at once, and turns spaces into co-design problems."""

    name: str

    def estimate(self, network: Network, device: Device, config: Any = None) -> Cost:
        """The cost of one network on one configuration (a stated default when None)."""

    def network_problem(self, network: Network, device: Device, grid: Any = "coarse") -> CodesignProblem:
        """The best configuration for one network, as a problem."""

    def codesign_problem(
        self, layered: Layered, device: Device, edge_score: Any, *, grid: Any = "coarse"
    ) -> CodesignProblem:
        """The best network and configuration together, as a problem."""
