"""What each operator of each unit costs on a device: measured on a machine, or by a table of operators [LANA21]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.measure.base import Item, Settings
from cofront.measure.campaign import Request, measure
from cofront.measure.estimate import load_model
from cofront.measure.journal import Journal
from cofront.measure.models import as_float
from cofront.measure.session import Step, run
from cofront.measure.statistics import Timing, timings
from cofront.measure.target import Target
from cofront.network import Network
from cofront.space.operators_of import OperatorsOf

FloatArray = NDArray[np.float64]
#: Random networks that say what a sum of operators misses: the call, and the copies between operators.
NETWORKS = 12


@dataclass(frozen=True)
class Prices:
    """Seconds (l, o) of each operator, NaN where a unit has no such operator or the device cannot run it; `base_s` is
    what every network takes besides; `note` says where they come from."""

    seconds: FloatArray
    base_s: float
    device: str
    note: str

    def of(self, choices: NDArray[np.int64]) -> FloatArray:
        """(n,) seconds of networks given by the operator of each unit (n, l)."""
        chosen = np.atleast_2d(choices)
        return np.asarray(self.seconds[np.arange(chosen.shape[1]), chosen].sum(axis=1) + self.base_s, float)

    @property
    def least_s(self) -> float:
        """Of the fastest network."""
        return float(np.nanmin(self.seconds, axis=1).sum() + self.base_s)

    @property
    def teacher_s(self) -> float:
        """Of the teacher, whose operators come first."""
        return float(self.seconds[:, 0].sum() + self.base_s)


def per_unit(space: OperatorsOf, edges: FloatArray) -> FloatArray:
    """(l, o) of values of the space's edges (e,), NaN where there is none."""
    counts = [len(o) for o in space.operators]
    if len(edges) != sum(counts):
        raise InputError(f"expected a cost for each of {sum(counts)} operators, got {len(edges)}")
    out = np.full((len(counts), max(counts)), np.nan)
    for i, part in enumerate(np.split(np.asarray(edges, float), np.cumsum(counts)[:-1])):
        out[i, : len(part)] = part
    return out


def tabled(space: OperatorsOf, path: Path, column: str | None = None) -> Prices:
    """By a table of operators, as `cofront measure` writes it: each once rounded to nanoseconds."""
    model = load_model(path, column=column, space=space)
    nanoseconds, base = model.edge_cost(space, space.layered())
    return Prices(per_unit(space, np.asarray(nanoseconds * 1e-9, float)), base * 1e-9, model.name, model.words)


def measured(
    space: OperatorsOf,
    target: Target,
    table: Path,
    *,
    settings: Settings | None = None,
    networks: int = NETWORKS,
    on_step: Callable[[Step], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> Prices | None:
    """Every operator measured on a machine, and `networks` random networks by which sums of them are corrected.

    They are kept in `table`, and visits beside it until it is written: what was measured is not measured again. None
    when asked to stop.
    """
    few = max(1, min(networks, space.n_points // 2))  # as many different ones as can be drawn at random
    request = Request(space=space, target=target, out=table, settings=settings or Settings(threads=1), n_networks=few)
    found = measure(request, on_step=on_step, should_stop=should_stop, say=say)
    return tabled(space, table) if found.finished else None


def side_by_side(
    networks: Sequence[Network],
    target: Target,
    journal: Path,
    *,
    runs: int = 50,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Timing] | None:
    """Whole networks in turns, `runs` visits each in an order that is drawn anew every round, on one thread.

    None when asked to stop.
    """
    items = [Item(f"net{i}", f"net{i}", n.name, as_float(n)) for i, n in enumerate(networks)]
    settings = Settings(threads=1, rounds=runs, budget_s=max(0.01 * runs, 0.3), seed=seed)
    header = {"networks": [[repr(n.op) for n in net.nodes] for net in networks], "runs": runs, "device": target.name}
    with Journal(journal, header, fresh=True) as lines:
        if not run(target, items, settings, lines, should_stop=should_stop):
            return None
        found, _ = timings(lines.lines)
        lines.finish()
    return [found[i.id] for i in items]
