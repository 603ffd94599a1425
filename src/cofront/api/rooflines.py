"""The roofline of a network on an accelerator, as documents keep it: what multiplies, call by call or in groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cofront.study.documents import RoofPoint, RoofSide

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.hardware.base import Accelerator, CallCost, Configuration
    from cofront.network import Network


def by_call(label: str, network: Network, family: Accelerator, part: Device, config: Configuration) -> RoofSide:
    """Every call that multiplies. `network` has its bits."""
    found = _Roofed(network, family, part, config)
    points = [found.point(c.name, [c]) for c in found.cost.calls]
    return RoofSide(
        label=label, latency_s=found.cost.latency_s, bandwidth_bytes_per_s=found.bandwidth,
        points=[p for p in points if p is not None], bytes=found.bytes,
    )  # fmt: skip


def by_group(
    label: str, groups: Iterable[tuple[str, Network]], latency_s: float, family: Accelerator, part: Device,
    config: Configuration,
) -> RoofSide:  # fmt: skip
    """Every named group of layers that multiplies as one point: its calls together, those that only move data as well.

    `latency_s` is of the whole network.
    """
    points, bandwidth, moved = [], 0.0, 0
    for name, network in groups:
        found = _Roofed(network, family, part, config)
        bandwidth, moved = max(bandwidth, found.bandwidth), moved + found.bytes
        if (point := found.point(name, found.cost.calls)) is not None:
            points.append(point)
    return RoofSide(label=label, latency_s=latency_s, bandwidth_bytes_per_s=bandwidth, points=points, bytes=moved)


class _Roofed:
    """A network on an accelerator, with the roof of each of its calls."""

    def __init__(self, network: Network, family: Accelerator, part: Device, config: Configuration) -> None:
        self.cost = family.estimate(network, part, config)
        self.roofs = {r.call: r for r in family.roofline(self.cost, part)}
        self.bandwidth = max((r.bandwidth_bytes_per_s for r in self.roofs.values()), default=0.0)
        self.bytes = sum(c.bytes_moved for c in self.cost.calls)
        self.bits = {n.name: f"W{n.weight_bits}A{n.in_bits}" for n in network.layers}

    def point(self, name: str, calls: Iterable[CallCost]) -> RoofPoint | None:
        """Some of the calls as one point, limited by what limits the longest; None where they multiply nothing."""
        calls = list(calls)
        own = [self.roofs[c.name] for c in calls if c.name in self.roofs]
        if not own:
            return None
        bits = {self.bits[n] for c in calls for n in c.layers if n in self.bits}
        return RoofPoint(
            name=name, macs=sum(c.macs for c in calls), bytes=sum(c.bytes_moved for c in calls),
            seconds=sum(c.cycles for c in calls) / self.cost.clock_hz,
            peak_macs_per_s=max(r.peak_macs_per_s for r in own), precision="+".join(sorted(bits)),
            bound_by=max(calls, key=lambda c: c.cycles).bound,
        )  # fmt: skip
