"""A linear predictor laid on a trellis: what a path costs is what is predicted of its network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cofront.hardware.tables.operators import PER_UNIT
from cofront.predict.base import FloatArray
from cofront.problem import INFEASIBLE, Trellis
from cofront.space.base import Layered, Points, Space
from cofront.space.work import network_work

IntArray = NDArray[np.int64]


def points_of(trellis: Trellis, choices: int) -> Points:
    """(e, d) the points of a trellis whose edges are whole networks."""
    points = np.zeros((trellis.n_edges, choices), dtype=np.int64)
    for i, chosen in enumerate(trellis.choices):
        for variable, option in chosen:
            points[i, variable] = option
    return points


def linear_cost(space: Space, layered: Layered, constant: float, weights: FloatArray) -> tuple[IntArray, int]:
    """(e,) whole nanoseconds of each edge, none negative, and the constant.

    `weights` (f,) are seconds per one-hot option of the space, then, if there are more, per total of work.
    """
    trellis, options = layered.trellis, int(space.sizes.sum())
    first = np.concatenate([[0], np.cumsum(space.sizes)[:-1]])
    # a choice that a path does not make counts as its first option
    cost = np.array([sum(weights[first[v] + o] - weights[first[v]] for v, o in c) for c in trellis.choices], float)
    if len(weights) > options:
        cost = cost + layered.per_edge([float(network_work(f) @ weights[options:]) for f in layered.fragments])
    whole = np.rint(cost * PER_UNIT).astype(np.int64)
    return not_negative(trellis, whole, round((constant + float(weights[first].sum())) * PER_UNIT))


def not_negative(trellis: Trellis, cost: IntArray, constant: int) -> tuple[IntArray, int]:
    """Edge costs, none negative, and the constant, with which every path costs what it did.

    What an edge takes beyond the cheapest way to its end: the cheapest path becomes 0, its cost goes to the constant.
    """
    if (cost >= 0).all():
        return cost, constant
    least = np.full(trellis.n_nodes, INFEASIBLE)
    least[0] = 0
    for i in np.argsort(trellis.edge_from, kind="stable"):
        a, b = trellis.edge_from[i], trellis.edge_to[i]
        least[b] = min(least[b], least[a] + cost[i])
    return cost + least[trellis.edge_from] - least[trellis.edge_to], constant + int(least[-1])
