"""End-to-end models of accelerators in two paradigms: ours, in the place of [EHDNAS21]'s tool, which is not released.

"generic" is one array of multipliers that all layers share (`generic`), an accelerator like others: latencies of layers
add up. "pipeline" has a stage for each layer (`pipeline`); what counts there is the slowest one, and how many
multipliers a layer has depends on all others: one network is a problem, a space is none. Both are vectorised over
networks given as counts of distinct works (`work`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cofront.device import Device
from cofront.errors import UnsupportedError
from cofront.hardware.base import Cost, KernelRow, RooflinePoint
from cofront.hardware.calls import Call, distinct
from cofront.hardware.e2e import generic
from cofront.hardware.e2e.generic import ARRAY, Config, best_shapes
from cofront.hardware.e2e.pipeline import Config as StagesConfig
from cofront.hardware.e2e.pipeline import Pipeline, Stage, given_of, interval_cycles, pipeline
from cofront.hardware.e2e.pipeline import estimate as estimate_stages
from cofront.hardware.e2e.pipeline import network_problem as stages_problem
from cofront.hardware.e2e.work import Work, calls_of
from cofront.network import Network

if TYPE_CHECKING:
    from cofront.problem import CodesignProblem, Engine
    from cofront.space.base import Layered


class Generic:
    """The generic paradigm as a plug-in (`cofront.hardware.base.Accelerator`)."""

    name = generic.NAME

    def config(self, data: Any, clock_hz: float | None = None) -> Config:
        return Config.from_dict(data, clock_hz)

    def estimate(self, network: Network, device: Device, config: Any = None, *, clock_hz: float | None = None) -> Cost:
        """One image alone. Without a configuration the array has the best shape of the coarse grid."""
        return generic.estimate(network, device, config, clock_hz)

    def network_problem(
        self, network: Network, device: Device, grid: Any = "coarse", *, clock_hz: float | None = None
    ) -> CodesignProblem:
        return generic.network_problem(network, device, grid, clock_hz)

    def codesign_problem(
        self, layered: Layered, device: Device, edge_score: Any, *, grid: Any = "coarse", clock_hz: float | None = None
    ) -> CodesignProblem:
        return generic.codesign_problem(layered, device, edge_score, grid, clock_hz)

    def config_of(self, problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Config:
        t_in, t_out = engine.kernels[0].params[chosen[0]].tolist()
        return Config(t_in, t_out, problem.clock_hz)

    def breakdown(self, cost: Cost) -> tuple[KernelRow, ...]:
        """One row a call; what only moves data has kernel "memory"."""
        multipliers, total = Config.from_dict(cost.config).multipliers, max(cost.cycles, 1)
        return tuple(
            KernelRow(
                c.name, c.mode, c.bound, ARRAY if c.kernels else "memory", c.kernels.get(ARRAY, c.memory_cycles),
                c.cycles, c.macs, multipliers * c.cycles if c.macs else 0, c.cycles / total,
            )
            for c in cost.calls
        )  # fmt: skip

    def roofline(self, cost: Cost, device: Device) -> tuple[RooflinePoint, ...]:
        peak = Config.from_dict(cost.config).multipliers * cost.clock_hz
        speed = device.bandwidth_bytes_per_s
        return tuple(
            RooflinePoint(
                c.name, c.macs / c.bytes_moved, c.macs * cost.clock_hz / c.cycles,
                min(peak, c.macs / c.bytes_moved * speed), peak, speed, c.bound,
            )
            for c in cost.calls
            if c.macs
        )  # fmt: skip


class Staged:
    """The pipeline paradigm as a plug-in (`cofront.hardware.base.Accelerator`): costs are those between two images."""

    name = "e2e_pipeline"

    def config(self, data: Any, clock_hz: float | None = None) -> StagesConfig:
        return StagesConfig.from_dict(data, clock_hz)

    def estimate(self, network: Network, device: Device, config: Any = None, *, clock_hz: float | None = None) -> Cost:
        """Images that follow one another. Without a configuration all DSPs of the device are multipliers."""
        return estimate_stages(network, device, config, clock_hz)

    def network_problem(
        self, network: Network, device: Device, grid: Any = "coarse", *, clock_hz: float | None = None
    ) -> CodesignProblem:
        return stages_problem(network, device, grid, clock_hz)

    def codesign_problem(
        self, layered: Layered, device: Device, edge_score: Any, *, grid: Any = "coarse", clock_hz: float | None = None
    ) -> CodesignProblem:
        """None: an UnsupportedError."""
        raise UnsupportedError(
            f"accelerator '{self.name}' costs one network at a time (estimate, fit): its slowest stage counts, and "
            "stages share multipliers, so that costs of a space's layers do not add up; search with another "
            "accelerator, or by a learnt throughput (cofront.systems.eh_dnas)"
        )

    def config_of(self, problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> StagesConfig:
        return StagesConfig(int(engine.kernels[0].params[chosen[0], 0]), problem.clock_hz)

    def breakdown(self, cost: Cost) -> tuple[KernelRow, ...]:
        """One row a stage."""
        given = given_of(cost)
        return tuple(
            KernelRow(
                c.name, c.mode, c.bound, stage, busy, c.cycles, c.kernel_macs[stage], given[stage] * c.cycles,
                c.cycles / max(cost.cycles, 1),
            )
            for c in cost.calls
            for stage, busy in c.kernels.items()
        )  # fmt: skip

    def roofline(self, cost: Cost, device: Device) -> tuple[RooflinePoint, ...]:
        """The whole network; memory, which moves images only, is taken never to bind."""
        peak = cost.resources["dsp"] * cost.clock_hz
        return tuple(
            RooflinePoint(
                c.name, c.macs / c.bytes_moved, c.macs * cost.clock_hz / c.cycles, peak, peak,
                device.bandwidth_bytes_per_s, c.bound,
            )
            for c in cost.calls
        )  # fmt: skip


GENERIC, PIPELINE = Generic(), Staged()

__all__ = [
    "GENERIC",
    "PIPELINE",
    "Call",
    "Config",
    "Generic",
    "Pipeline",
    "Stage",
    "Staged",
    "Work",
    "best_shapes",
    "calls_of",
    "distinct",
    "interval_cycles",
    "pipeline",
]
