"""The choice of bits on an FPGA part: of each block, together with the accelerator, by the exact joint search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cofront.api.quantise.choosing import Chosen, Point
from cofront.api.quantise.shortage import short
from cofront.errors import UsageError
from cofront.front import Design
from cofront.network.bits import PRECISIONS
from cofront.network.split import split

if TYPE_CHECKING:
    from cofront.api.budgets import Budget
    from cofront.device import Device
    from cofront.network import Network
    from cofront.space.bits_of import BitsOf
    from cofront.task.quantise.curvature import LossTables

#: Integer scores of the joint search for the largest rise of the loss there can be.
SCORES = 1e6


def check_budgets(budgets: tuple[Budget, ...]) -> None:
    """UsageError unless the latency alone is limited."""
    if [b.quantity for b in budgets] != ["latency"]:
        raise UsageError("on an FPGA part --budget limits the latency alone: '0.6x latency' or '12ms'")


def on_part(
    network: Network,
    part: Device,
    tables: LossTables,
    budgets: tuple[Budget, ...],
    *,
    wide: tuple[str, ...],
    offered: tuple[str, ...] = tuple(PRECISIONS),
    clock_hz: float | None,
    on_progress: Callable[[str, int, float | None], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Chosen:
    """Bits of each block and the subgraph accelerator together, on an FPGA part: the exact joint front.

    Rises are rounded to a millionth of the largest sum there can be. A share is of the fastest accelerator for the
    network at W8A8. Only the latency can be limited. Blocks that hold one of the layers `wide` keep W8A8, the others
    have the precisions `offered`. UsageError for another limit.
    """
    from cofront.api.costing import family
    from cofront.api.joint import exact_front
    from cofront.search.exact.fit import fit
    from cofront.space.bits_of import BitsOf

    check_budgets(budgets)
    blocks = {p.name for p in split(network) if any(n.name in wide for n in p.layers)}
    space = BitsOf(network, offered, wide=blocks)
    units = {p.name: tuple(n.name for n in p.layers) for p in space.parts if p.layers}
    rises = {
        (u, name): sum(tables.rise(n, *bits) for n in layers)
        for u, layers in units.items() for name, bits in PRECISIONS.items()
    }  # fmt: skip
    taken = {p.name: o or ("W8A8",) for p, o in zip(space.parts, space.offered, strict=True)}
    least = {u: min(rises[u, p] for p in taken[u]) for u in units}
    most = sum(max(rises[u, p] for p in taken[u]) - least[u] for u in units)
    scale = SCORES / max(most, 1e-12)
    layered = space.layered()
    # edges of the layered view are those declared: no precision is left out
    score = np.array([
        0 if e.block not in units else round(scale * (least[e.block] - rises[e.block, e.precision or "W8A8"]))
        for e in space.declaration.edges
    ])  # fmt: skip
    whole = family("subgraph").codesign_problem(layered, part, score, clock_hz=clock_hz)
    whole = replace(whole, score_offset=round(2 * SCORES), micro=3 * SCORES, link=(0.0, 1.0))
    found = exact_front(whole, on_progress=on_progress, should_stop=should_stop)
    if not found.designs:
        why = fit(whole.select(_path(space, offered[-1]))).infeasible
        return Chosen(None, "infeasible", None, {}, {}, units, infeasible=why)

    def point(design: Design) -> Point:
        at = space.network(np.array(design.point))
        bits = {n.name: (n.weight_bits or 8, n.in_bits or 8) for n in at.layers}
        rise = sum(tables.rise(n, *pair) for n, pair in bits.items())
        return Point(bits, {"latency": design.latency_s, "size": float(at.weight_bytes)}, rise, design)

    points = tuple(point(d) for d in found.designs)
    uniform = {name: _best_at(whole, space, name, point) for name in offered}
    now = uniform["W8A8"].costs
    limit = budgets[0].of(now["latency"])
    within = [p for p in points if p.costs["latency"] <= limit * (1 + 1e-9)]
    best = min(within, key=lambda p: p.rise, default=None)
    fastest = min(p.costs["latency"] for p in points)
    why = () if best is not None else (short(budgets[0], fastest, limit, now["latency"]),)
    gap = found.gap * 3 * SCORES / scale
    status = "infeasible" if best is None else "optimal" if not found.gap else "feasible"
    return Chosen(
        best, status, None if best is None else best.rise - gap, now, {"latency": limit}, units, points, uniform,
        infeasible=why,
        note=f"latency: the subgraph accelerator on {part.name}, found together with the bits",
        accelerator={} if best is None or best.design is None else
        {"config": best.design.config, "resources": best.design.resources, "clock_hz": whole.clock_hz},
    )  # fmt: skip


def _best_at(whole: Any, space: Any, precision: str, point: Callable[[Any], Point]) -> Point:
    """The fastest accelerator for the network with one precision wherever it may be chosen."""
    from cofront.search.exact.fit import fit

    at = _at(space, precision)
    found = fit(whole.select(_path(space, precision)))
    engine = next(e for e in whole.engines if e.name == found.engine)
    return point(
        Design(
            accuracy=0.0,
            latency_s=found.cycles / whole.clock_hz,
            cycles=found.cycles,
            resources={},
            config=engine.config(tuple(found.chosen)),
            point=tuple(at.tolist()),
        )
    )  # fmt: skip


def _at(space: BitsOf, precision: str) -> NDArray[np.int64]:
    """(d,) the point with one precision wherever it may be chosen."""
    return np.array([c.options.index(precision) for c in space.choices], np.int64)


def _path(space: BitsOf, precision: str) -> NDArray[np.int64]:
    """The edges of that point's network."""
    path = space.declaration.walk(space.canonical(_at(space, precision)[None]))[0]
    return np.asarray(path[path >= 0], np.int64)
