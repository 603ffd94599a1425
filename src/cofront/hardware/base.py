"""Cost: what a network costs on an accelerator, and where it goes; Accelerator: what a family must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.front import Infeasible
    from cofront.network import Network
    from cofront.problem import CodesignProblem, Engine
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


@dataclass(frozen=True)
class KernelRow:
    """One kernel in one call. `utilisation`: share of its multiplier-cycles during the call that do work."""

    call: str
    mode: str
    bound: str
    kernel: str
    busy_cycles: int
    call_cycles: int
    macs: int
    peak_macs: int  # of the kernel in the call's cycles
    share: float

    @property
    def utilisation(self) -> float:
        return self.macs / self.peak_macs if self.peak_macs else 0.0


@dataclass(frozen=True)
class RooflinePoint:
    """One call. `intensity` in multiply-accumulates per byte; rates per second. attained <= ceiling."""

    call: str
    intensity: float
    attained_macs_per_s: float
    ceiling_macs_per_s: float
    peak_macs_per_s: float
    bandwidth_bytes_per_s: float
    bound: str


class Configuration(Protocol):
    """One accelerator of a family."""

    @property
    def clock_hz(self) -> float: ...

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, and what `Accelerator.config` reads; with its clock as "clock_hz"."""


class Accelerator(Protocol):
    """An accelerator family: costs one network at once, and turns spaces into co-design problems.

    `cofront.testing.accelerators` holds the conformance suite. A family registers an object like this under
    `cofront.accelerators`.
    """

    name: str

    def config(self, data: Any, clock_hz: float | None = None) -> Configuration:
        """The configuration in an object of JSON, or an InputError; `clock_hz` where it names no clock."""

    def estimate(self, network: Network, device: Device, config: Any = None, *, clock_hz: float | None = None) -> Cost:
        """The cost of one network on one configuration (a stated default when None)."""

    def network_problem(
        self, network: Network, device: Device, grid: Any = "coarse", *, clock_hz: float | None = None
    ) -> CodesignProblem:
        """The best configuration for one network, as a problem."""

    def codesign_problem(
        self, layered: Layered, device: Device, edge_score: Any, *, grid: Any = "coarse", clock_hz: float | None = None
    ) -> CodesignProblem:
        """The best network and configuration together, as a problem."""

    def config_of(self, problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Configuration:
        """The accelerator of configuration `chosen[k]` of each kernel k of an engine of a problem of this family."""

    def breakdown(self, cost: Cost) -> tuple[KernelRow, ...]:
        """One row per kernel of every call."""

    def roofline(self, cost: Cost, device: Device) -> tuple[RooflinePoint, ...]:
        """The calls that multiply, against what multipliers and memory could do."""
