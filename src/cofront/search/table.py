"""Searches of a full table, where every evaluation is a look-up: what they find of the exact front, and when.

Shapes: n rows of the table, d choices. Accuracy is to be large, cost small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.search.dominance import non_dominated

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Points (n, d) with cost and accuracy (n,); `columns` (n, f) is what a surrogate may look at."""

    points: IntArray
    cost: FloatArray
    accuracy: FloatArray
    columns: FloatArray


def hypervolume(cost: FloatArray, accuracy: FloatArray, reference: tuple[float, float]) -> float:
    """Area dominated up to the reference (cost, accuracy)."""
    rows = non_dominated(cost, accuracy)
    rows = rows[(cost[rows] < reference[0]) & (accuracy[rows] > reference[1])]
    floors = np.concatenate([[reference[1]], accuracy[rows][:-1]])
    return float(np.sum((reference[0] - cost[rows]) * (accuracy[rows] - floors)))


@dataclass(frozen=True)
class Found:
    """`rows` in the order of evaluation; `share` and `volume` of the exact front after all of them.

    `times` (k,) are the evaluations, rising, after which a point of the front was found for the first time. `to_half`
    and `to_all`: evaluations until half of the front, and all of it, were found; None where they were not.
    """

    rows: IntArray
    share: float
    volume: float
    times: IntArray
    to_half: int | None
    to_all: int | None


#: Table, evaluations, generator -> rows in the order of evaluation, without repetition.
TableSearch = Callable[[Table, int, np.random.Generator], IntArray]


def random(table: Table, evaluations: int, rng: np.random.Generator) -> IntArray:
    """Rows drawn without replacement."""
    return rng.permutation(len(table.cost))[:evaluations]


def evolution(table: Table, evaluations: int, rng: np.random.Generator, population: int = 50) -> IntArray:
    """Two parents from the front so far (or at random), crossed and mutated; rows that exist and are new are taken."""
    index = {tuple(p): i for i, p in enumerate(table.points.tolist())}
    options = [np.unique(column) for column in table.points.T]
    seen = list(dict.fromkeys(rng.permutation(len(table.cost))[: min(population, evaluations)].tolist()))
    known = set(seen)
    varies = np.array([j for j, o in enumerate(options) if len(o) > 1])
    while len(seen) < evaluations:
        rows = np.array(seen)
        front = rows[non_dominated(table.cost[rows], table.accuracy[rows])]
        fresh: int | None = None
        for _ in range(200):
            a, b = (table.points[rng.choice(front if rng.random() < 0.8 else rows)] for _ in range(2))
            child = np.where(rng.random(len(a)) < 0.5, a, b)
            mutate = varies[rng.random(len(varies)) < max(1.5 / max(len(varies), 1), 0.1)]
            for j in mutate if len(mutate) else rng.choice(varies, 1):
                child[j] = rng.choice(options[j])
            row = index.get(tuple(child.tolist()))
            if row is not None and row not in known:
                fresh = row
                break
        if fresh is None:  # the table has holes there
            rest = np.setdiff1d(np.arange(len(table.cost)), rows)
            if not len(rest):
                break
            fresh = int(rng.choice(rest))
        known.add(fresh)
        seen.append(fresh)
    return np.array(seen, dtype=np.int64)


def surrogate(table: Table, evaluations: int, rng: np.random.Generator, batch: int = 25) -> IntArray:
    """Ridge models of both objectives, fitted anew after every batch: the front that they predict of what is not yet
    evaluated, and the layers behind it."""
    n = len(table.cost)
    seen = rng.permutation(n)[: min(max(2 * batch, table.columns.shape[1] // 4), evaluations)].tolist()
    known = np.zeros(n, dtype=bool)
    known[seen] = True
    log_cost = np.log(np.maximum(table.cost, 1e-30))
    while len(seen) < evaluations and not known.all():
        rows = np.array(seen)
        cost, accuracy = (_ridge(table.columns, rows, v[rows]) for v in (log_cost, table.accuracy))
        # known rows keep their true values, so that what is predicted must improve on them
        cost[rows], accuracy[rows] = log_cost[rows], table.accuracy[rows]
        picked: list[int] = []
        left, want = ~known, min(batch, evaluations - len(seen))
        while len(picked) < want and left.any():  # fronts peeled one after the other
            rest = np.flatnonzero(left)
            layer = rest[non_dominated(cost[rest], accuracy[rest])]
            picked += rng.permutation(layer)[: want - len(picked)].tolist()
            left[layer] = False
        known[picked] = True
        seen += picked
    return np.array(seen, dtype=np.int64)


def _ridge(columns: FloatArray, rows: IntArray, y: FloatArray, strength: float = 1.0) -> FloatArray:
    """(n,) predictions for all rows from some."""
    x, mean = columns[rows], y.mean()
    centre = x.mean(axis=0)
    gram = (x - centre).T @ (x - centre)
    gram.flat[:: len(gram) + 1] += strength
    weights = np.linalg.solve(gram, (x - centre).T @ (y - mean))
    return np.asarray(mean + (columns - centre) @ weights, float)


TABLE_SEARCHES: dict[str, TableSearch] = {"random": random, "evolution": evolution, "surrogate": surrogate}


def run(search: TableSearch, table: Table, evaluations: int, seed: int) -> Found:
    """One search with a generator of its own, scored against the table's exact front."""
    if not 0 < evaluations <= len(table.cost):
        raise UsageError(f"expected 1 to {len(table.cost)} evaluations, the rows of the table, got {evaluations}")
    rows = search(table, evaluations, np.random.default_rng(seed))
    front = non_dominated(table.cost, table.accuracy)
    pairs = {(table.cost[i], table.accuracy[i]) for i in front}
    when: dict[tuple[float, float], int] = {}
    for k, i in enumerate(rows, 1):
        pair = (table.cost[i], table.accuracy[i])
        if pair in pairs:
            when.setdefault(pair, k)
    times = sorted(when.values())
    half = -(-len(pairs) // 2)
    reference = (float(table.cost.max()) * 1.01, float(table.accuracy.min()) - 1e-9)
    whole = hypervolume(table.cost[front], table.accuracy[front], reference)
    return Found(
        rows=rows,
        share=len(when) / len(pairs),
        volume=hypervolume(table.cost[rows], table.accuracy[rows], reference) / whole if whole > 0 else 1.0,
        times=np.array(times, dtype=np.int64),
        to_half=times[half - 1] if len(times) >= half else None,
        to_all=times[-1] if len(times) == len(pairs) else None,
    )
