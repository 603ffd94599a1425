"""Devices as a user names them: budgets stay within the part, and a larger part is named where one is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cofront.api.files import is_table, need_file
from cofront.device import Device
from cofront.errors import UsageError, unknown_name
from cofront.study.documents import DesignDocument

RESOURCES = ("dsp", "lut", "ff", "bram36")


def check_space(name: str) -> None:
    """UsageError with the nearest names when no space is registered under a name; nothing of it is imported."""
    from cofront import registry

    known = registry.names("space")
    if name.partition("@")[0] not in known:
        raise unknown_name("space", name, known)


def load_device(name: str | Device, budget: Mapping[str, int] | None = None) -> Device:
    """The device with `budget` in place of its own limits, none of which it may exceed."""
    from cofront import device

    if isinstance(name, str) and name.lower().endswith(".toml"):
        need_file(Path(name), "a device file, or a name of `cofront devices`")
    found = device.load(name)
    for key, amount in (budget or {}).items():
        if key not in RESOURCES:
            raise unknown_name("resource", key, RESOURCES)
        if amount > found.budget[key]:
            raise UsageError(
                f"--budget {key}={amount}: {offers(found, key)}; give at most {found.budget[key]}, or take "
                f"{larger(found, {key: amount})}"
            )
    return found.with_budget(**budget) if budget else found


def device_file(name: str | Device | None) -> str:
    """Where a design's device is to be read from again; "" for a part that comes with cofront."""
    own = isinstance(name, str) and (name.lower().endswith(".toml") or is_table(name))
    return str(Path(str(name)).resolve()) if own else ""


def device_of(design: DesignDocument) -> str:
    """What `load_device` takes for a design's device."""
    return design.device_file or design.device


def beyond(device: Device, or_else: str = "") -> Callable[[str, int], str | None]:
    """What to say of amounts that the part does not have, for the explanations of the exact searches."""

    def words(resource: str, amount: int) -> str | None:
        if amount <= device.budget[resource]:
            return None
        has = f"more than {device.name} has ({device.budget[resource]:,})"
        return f"{has}; take {larger(device, {resource: amount})}{or_else}"

    return words


def offers(device: Device, resource: str) -> str:
    """ "zu3eg has 360 dsp"; of LUTs, what may be used."""
    text = f"{device.name} has {device.budget[resource]:,} {resource}"
    if resource == "lut" and device.lut_usable < 1:
        return f"{text} to use ({100 * device.lut_usable:g} % of its {device.lut_total:,})"
    return text


def larger(device: Device, needs: Mapping[str, int]) -> str:
    """In words: the smallest larger part that comes with cofront and has what is needed, of the same kind if any."""
    from cofront.device import load, names

    parts = [load(n) for n in names() if n != device.name]
    parts = [p for p in parts if all(v >= device.budget[k] for k, v in p.budget.items())]
    fit = [p for p in parts if all(p.budget[k] >= v for k, v in needs.items())]
    if not fit:
        return "a device file of your own (no part that comes with cofront has as many)"
    best = min(fit, key=lambda p: (p.dsp_kind != device.dsp_kind, [p.budget[k] for k in needs], p.dsp))
    return f"a larger part ({best.name} has {', '.join(f'{best.budget[k]:,} {k}' for k in needs)})"
