"""Which budget is too small for every accelerator of a grid, and by how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cofront.study.documents import Limit

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.problem import CodesignProblem

#: Stands for "as much as wanted" of any resource.
PLENTY = 10**8


def unlimited(device: Device) -> Device:
    """The device with plenty of everything."""
    return device.with_budget(dsp=PLENTY, lut=PLENTY, ff=PLENTY, bram36=PLENTY)


def budget_limits(device: Device, build: Callable[[Device], CodesignProblem]) -> list[Limit]:
    """One entry for each resource of which even the smallest accelerator needs more than the device offers.

    `build` makes the problem for a device; it is asked for one with plenty of everything. When no resource alone is
    too small, one entry says that they are jointly.
    """
    free = build(unlimited(device))
    limits = []
    for i, name in enumerate(free.resource_names):
        least = [int(e.base[i] + sum(int(k.resources[:, i].min()) for k in e.kernels)) for e in free.engines]
        needed, available = min(least, default=0), device.budget[name]
        if needed > available:
            remedy = f"the smallest accelerator of this grid needs {needed:,} {name}; raise --budget {name} or take a "
            limits.append(
                Limit(
                    limit=name, needed=needed, available=available, excess=needed - available, unit=name,
                    remedy=remedy + "larger device",
                )
            )  # fmt: skip
    if not limits:
        offered = ", ".join(f"{v:,} {k}" for k, v in device.budget.items())
        limits.append(
            Limit(
                limit="budget", needed=1, available=0, excess=1, unit="accelerators that fit",
                remedy=f"{offered} do not suffice together; raise them or take a larger device",
            )
        )  # fmt: skip
    return limits
