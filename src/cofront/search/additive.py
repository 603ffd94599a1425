"""Exact fronts on additive devices: the best networks by score and by a cost that is a sum over trellis edges.

The multiple-choice knapsack of `knapsack.py` on a trellis, where later options may depend on earlier ones: dynamic
programming that keeps every non-dominated state, so nothing is lost and the gap is zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cofront.front import Design, Front
from cofront.problem import INFEASIBLE, IntArray, Trellis
from cofront.search.walk import PathFront, best_paths


def additive_front(
    trellis: Trellis,
    edge_cost: IntArray,
    edge_score: IntArray,
    accuracy: Callable[[IntArray], NDArray[np.float64]],
    *,
    constant: int = 0,
    per_unit: float = 1e9,
    limit: float | None = None,
    space: str = "",
    device: str = "",
    n_choices: int = 0,
) -> Front:
    """The exact (cost, accuracy) front of all paths.

    `edge_cost` (e,) and `constant` are integers of `per_unit` to the SI unit; `accuracy` maps integer path scores to
    fractions, rising. `limit` (SI) bounds the cost. Latency stands in `latency_s`, whatever the cost is.
    """
    started = time.perf_counter()
    most = INFEASIBLE - 1 if limit is None else min(int(limit * per_unit) - constant, INFEASIBLE - 1)
    front = best_paths(trellis, edge_cost, edge_score, most)
    values = accuracy(front.score)
    designs: list[Design] = []
    for i in range(len(front)):
        if designs and values[i] <= designs[-1].accuracy:
            continue  # scores beyond the clip share an accuracy
        total = int(front.cost[i]) + constant
        point = point_of(trellis, front, i, n_choices)
        designs.append(
            Design(
                accuracy=float(values[i]),
                latency_s=total / per_unit,
                cycles=total,
                resources={},
                config={},
                point=point,
                space=space,
                device=device,
            )
        )
    return Front(
        designs=tuple(designs),
        gap=0.0,
        n_designs=trellis.n_paths(),
        solve_s=time.perf_counter() - started,
        status="optimal" if designs else "infeasible",
        method="additive",
    )


def point_of(trellis: Trellis, front: PathFront, i: int, n_choices: int = 0) -> tuple[int, ...]:
    """The point of path i: the choices along it, 0 where it makes none."""
    chosen = [pair for e in front.path(i) for pair in trellis.choices[e]]
    point = [0] * max(n_choices, 1 + max((v for v, _ in chosen), default=-1))
    for variable, value in chosen:
        point[variable] = value
    return tuple(point)
