"""Why no design of a space fits: which budget is too small, and what would be enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cofront.api.parts import beyond
from cofront.study.documents import Limit

if TYPE_CHECKING:
    from cofront.api.accuracy import Measured
    from cofront.device import Device
    from cofront.problem import CodesignProblem

#: Stands for "as much as wanted" of any resource.
PLENTY = 10**8


def unlimited(device: Device) -> Device:
    """The device with plenty of everything."""
    return device.with_budget(dsp=PLENTY, lut=PLENTY, ff=PLENTY, bram36=PLENTY)


class _Stopped(Exception):
    """Explaining was interrupted."""


def why_nothing(
    measured: Measured, device: Device, whole: Device, report: Callable[..., None], should_stop: Callable[[], bool]
) -> list[Limit]:
    """The least budgets that let a design be, exactly; when that is interrupted, what the smallest accelerator needs.

    `device` has the budget asked for, `whole` all that the part has.
    Budgets are tried one after the other by the joint search, so this takes a multiple of its time to a first design.
    """
    from cofront.api.costing import limits_of
    from cofront.search.exact.infeasible import explain_joint, has_design

    tried = 0

    def found(problem: CodesignProblem) -> bool:
        nonlocal tried
        if should_stop():
            raise _Stopped
        tried += 1
        report("finding which budgets would be enough", 0, None, f"{tried} tried")
        return has_design(problem)

    wide = measured.lay(unlimited(device))  # tables that are not cut to the budget
    try:
        return limits_of(explain_joint(replace(wide, budget=measured.problem.budget), found, beyond(whole)))
    except _Stopped:
        return budget_limits(device, whole, measured.lay)


def budget_limits(device: Device, whole: Device, build: Callable[[Device], CodesignProblem]) -> list[Limit]:
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
            words = beyond(whole)(name, needed) or f"raise --budget {name} to that at least"
            limits.append(
                Limit(
                    limit=name, needed=needed, available=available, excess=needed - available, unit=name,
                    remedy=f"the smallest accelerator of this grid needs {needed:,} {name}; {words}",
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
