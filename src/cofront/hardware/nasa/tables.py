"""Networks and spaces as co-design problems: which elements and buffer of each array, and which network.

A row is a layer, and each array a kernel that runs the layers of its kind alone, one after the other: latency is that
of an image alone, at the mapping of least energy-delay product of every layer. Energy depends on the configuration, so
the problem has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cofront.errors import UsageError, unknown_name
from cofront.hardware.nasa.chunks import Config, Silicon, chunk, elements_um2
from cofront.hardware.nasa.estimate import run_layer
from cofront.hardware.nasa.units import CHUNKS, KINDS, Kind, Units, load_units
from cofront.hardware.nasa.work import Layer, layers_of
from cofront.network import Network
from cofront.problem import INFEASIBLE, CodesignProblem, Engine, IntArray, KernelTable, Trellis
from cofront.space.base import Layered


@dataclass(frozen=True)
class Grid:
    """Elements and bytes of buffer that an array may have, besides none."""

    name: str
    elements: tuple[int, ...]
    buffers: tuple[int, ...]


GRIDS = {
    "coarse": Grid("coarse", (16, 32, 64, 96, 128, 192, 256), (16384, 32768, 65536, 131072)),
    "small": Grid("small", (32, 128), (32768, 65536)),
}


def grid(which: str | Grid) -> Grid:
    if isinstance(which, Grid):
        return which
    if which not in GRIDS:
        raise unknown_name("grid of accelerator 'nasa'", which, GRIDS)
    return GRIDS[which]


def _table(
    kind: Kind, layers: Sequence[Layer], silicon: Silicon, clock_hz: float, g: Grid, units: Units
) -> KernelTable:
    """One array's configurations (j) against the layers (r)."""
    mine = [i for i, x in enumerate(layers) if x.kind == kind]
    options = [(0, 0)] if not mine else [(0, 0), *((e, b) for e in g.elements for b in g.buffers)]
    cycles = np.zeros((len(options), len(layers)), np.int64)
    for j, (elements, buffer) in enumerate(options):
        array = chunk(kind, elements, buffer, clock_hz, silicon, units)
        for i in mine:
            run = run_layer(layers[i], array, units)
            cycles[j, i] = INFEASIBLE if run is None else min(run.cycles, INFEASIBLE)
    params = np.array(options, np.int64)
    used = np.array([[elements_um2(e, kind, units), b] for e, b in options], np.int64)
    none = np.zeros_like(cycles)
    return KernelTable(CHUNKS[kind], ("elements", "buffer_bytes"), params, used, cycles, none, none, cycles)


def _problem(
    trellis: Trellis, score: IntArray, layers: Sequence[Layer], silicon: Silicon, which: Any, clock_hz: float | None,
    meta: dict[str, str],
) -> CodesignProblem:  # fmt: skip
    units, clock, g = load_units(), silicon.clock(clock_hz), grid(which)
    kernels = tuple(_table(k, layers, silicon, clock, g, units) for k in KINDS)
    nothing = np.zeros(len(layers), np.int64)
    engine = Engine("nasa", kernels, nothing, nothing, np.zeros(len(silicon.RESOURCES), np.int64))
    return CodesignProblem(
        trellis=trellis,
        edge_score=score,
        engines=(engine,),
        budget=np.array([silicon.budget[r] for r in silicon.RESOURCES], np.int64),
        clock_hz=clock,
        resource_names=silicon.RESOURCES,
        meta={"accelerator": "nasa", "device": silicon.name, "grid": g.name, **meta},
    )


def _distinct(fragments: Sequence[Network]) -> tuple[list[IntArray], list[Layer]]:
    """The rows of each fragment, and the layers that they stand for, names aside."""
    number: dict[tuple[Any, int], int] = {}
    layers: list[Layer] = []
    rows = []
    for fragment in fragments:
        mine = []
        for layer in layers_of(fragment):
            key = layer.work, layer.extra_bytes
            if key not in number:
                number[key] = len(layers)
                layers.append(layer)
            mine.append(number[key])
        rows.append(np.array(mine, np.int64))
    return rows, layers


def network_problem(
    network: Network, silicon: Silicon, which: Any = "coarse", *, clock_hz: float | None = None
) -> CodesignProblem:
    """Which arrays run one network best: a trellis of a single edge."""
    (rows,), layers = _distinct([network])
    if not layers:
        raise UsageError(f"network '{network.name}' has nothing for an accelerator to compute")
    trellis, score = Trellis.single(rows, len(layers)), np.zeros(1, np.int64)
    return _problem(trellis, score, layers, silicon, which, clock_hz, {"network": network.name})


def codesign_problem(
    layered: Layered, silicon: Silicon, edge_score: Any, *, which: Any = "coarse", clock_hz: float | None = None
) -> CodesignProblem:
    """Which network of the space on which arrays: `edge_score` (e,) is the integer score of each edge."""
    per_fragment, layers = _distinct(layered.fragments)
    trellis = layered.with_rows(per_fragment, len(layers))
    return _problem(trellis, np.asarray(edge_score, np.int64), layers, silicon, which, clock_hz, {})


def config_of(problem: CodesignProblem, engine: Engine, chosen: Sequence[int]) -> Config:
    """The accelerator of configuration `chosen[k]` of each array."""
    sizes = [k.params[j].tolist() for k, j in zip(engine.kernels, chosen, strict=True)]
    return Config.of({k: (s[0], s[1]) for k, s in zip(KINDS, sizes, strict=True)}, problem.clock_hz)
