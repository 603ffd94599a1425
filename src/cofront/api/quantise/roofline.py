"""The roofline of a quantised network: at 8 bits throughout, and at the bits that were chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.api.quantise.costs import engine_of
from cofront.api.quantise.scene import on_part
from cofront.api.rooflines import by_call
from cofront.study.documents import RoofPair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cofront.api.quantise.choosing import Chosen, Point
    from cofront.api.quantise.costs import Pair
    from cofront.api.quantise.scene import Scene
    from cofront.network import Network


def roofline_of(scene: Scene, chosen: Chosen) -> tuple[RoofPair | None, str]:
    """Both networks on the device, on an FPGA part each on the accelerator that was found for it; or why not."""
    device, best = scene.request.device, chosen.point
    if best is None:
        return None, ""
    if device is None:
        return None, "no roofline: where the size alone is limited, there is no device with multipliers and a memory"
    if Path(device).suffix == ".npy":
        return None, "no roofline: a table of latencies says nothing of multipliers and memory"
    before, after = at_bits(scene.network, {}), at_bits(scene.network, best.bits)
    named = ("8 bits throughout", before), ("the bits taken", after)
    if on_part(scene.request):
        from cofront.api.costing import family
        from cofront.api.parts import load_device

        kind, part = family("subgraph"), load_device(device)
        engines = [_engine(kind, p, chosen) for p in (chosen.uniform["W8A8"], best)]
    else:
        kind, part, engine = engine_of(device)
        engines = [engine, engine]
    sides = [by_call(*one, kind, part, e) for one, e in zip(named, engines, strict=True)]
    return RoofPair(before=sides[0], after=sides[1]), ""


def at_bits(network: Network, bits: Mapping[str, Pair]) -> Network:
    """The network with the bits of its layers by name, 8 and 8 where nothing is said."""
    return network.with_bits(lambda n: bits.get(n.name, (8, 8)))


def _engine(kind: Any, point: Point, chosen: Chosen) -> Any:
    assert point.design is not None  # found together with the bits
    return kind.config(point.design.config, chosen.accelerator["clock_hz"])
