"""HW-NAS-Bench's operator table of the FBNet space [HWNAS21] as additive devices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cofront.errors import InputError, unknown_name
from cofront.hardware.tables.operators import AdditiveDevice
from cofront.hardware.tables.units import column_numbers
from cofront.network.zoo.fbnet import STEM_WIDTH
from cofront.space.chain import Place
from cofront.space.columnfile import read_columns
from cofront.space.fbnet import SKIP, UNITS, FBNet

DEVICES = ("edgegpu", "eyeriss", "fpga", "raspi4")


def operator_name(place: Place, op: int) -> str:
    """The name of one unit in the table."""
    where = f"H{place.side}_W{place.side}_Cin{place.cin}_Cout{place.cout}"
    if op == SKIP:
        return f"Skip_{where}_stride{place.stride}"
    kernel, expand, groups = UNITS[op]
    return f"ConvBlock_{where}_exp{expand}_kernel{kernel}_stride{place.stride}_group{groups}"


def end_names(space: FBNet) -> tuple[str, ...]:
    """Stem, last convolution, pooling and classifier."""
    side, stride = space.input_shape[1], space.macro.stem[1]
    last = space.places[-1]
    return (
        f"ConvNorm_H{side}_W{side}_Cin3_Cout{STEM_WIDTH}_kernel3_stride{stride}_group1",
        f"ConvNorm_H{last.side}_W{last.side}_Cin{last.cout}_Cout{space.macro.head}_kernel1_stride1_group1",
        f"AvgP_H{last.side}_W{last.side}_Cin{space.macro.head}_Cout{space.macro.head}_kernel{last.side}_stride1",
        f"FC_Cin{space.macro.head}_Cout{space.macro.classes}",
    )


def read_fbnet_lookup(path: str | Path, device: str, space: FBNet) -> AdditiveDevice:
    """One device of the file (JSON: "fbnet_<device>_latency" -> operator -> ms; "..._energy" in mJ)."""
    path = Path(path)
    if device not in DEVICES:
        raise unknown_name("device of the FBNet table", device, DEVICES)
    names = [operator_name(p, o) for p in space.places for o in range(len(space.ops))]
    found, _ = read_columns(path, {"arch", *names, *end_names(space)})
    tables = {str(n): i for i, n in enumerate(found.get("arch", ()))}
    costs: dict[str, tuple[dict[str, float], float]] = {}
    for what in ("latency", "energy"):
        row = tables.get(f"fbnet_{device}_{what}")
        if row is not None:
            of = {n: c[row] for n, c in found.items()}
            costs[what] = _features(space, of, f"{path}: fbnet_{device}_{what}")
    if "latency" not in costs:
        raise InputError(f"{path}: no table 'fbnet_{device}_latency'")
    energy, base_j = costs.get("energy", ({}, 0.0))
    latency, base_s = costs["latency"]
    try:
        return AdditiveDevice(device, latency, energy, "feature", base_s, base_j)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _features(space: FBNet, of: Mapping[str, object], where: str) -> tuple[dict[str, float], float]:
    """Costs of the features "l3.op=k5_e6", and what stem and head cost; the table is in ms and mJ."""

    def value(name: str) -> float:
        try:
            (found,) = column_numbers(name, [of.get(name)])
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if np.isnan(found):
            raise InputError(f"{where}: expected a number for '{name}', got nothing")
        return 1e-3 * float(found)

    base = sum(value(n) for n in end_names(space))
    costs = {
        f"l{p.number}.op={name}": value(operator_name(p, o)) for p in space.places for o, name in enumerate(space.ops)
    }
    return costs, base
