"""How much each precision of a block hurts, without measuring accuracies: what HAO weighs bits by [HAO21].

Where a space's trained weights come with cofront, half the Hessian's mean trace times the squared error of weights and
activations, as `task/sensitivity.py` tabulates it after [HAWQV2]. Elsewhere there are no weights to take it from, and
the accuracy model's own loss stands in: the best that HAO could have.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.problem import CodesignProblem, IntArray
from cofront.space.declare import TrellisSpace
from cofront.study.provenance import file_hash


@dataclass(frozen=True)
class Sensitivity:
    """One number per trellis edge (e,), in any unit, 0 where nothing is quantised; and where it comes from."""

    edges: NDArray[np.float64]
    source: str


def sensitivity(space: TrellisSpace, problem: CodesignProblem) -> Sensitivity:
    """By the Hessian where a table of the shipped weights exists, otherwise by the accuracy model."""
    data = Path(str(files("cofront"))) / "data_tables"
    table, weights = data / f"{space.name}_hessian.json", data / f"{space.name}_supernet.safetensors"
    why = f"space '{space.name}' comes without trained weights"
    if weights.is_file():
        why = f"there is no table for {weights.name}; `python -m cofront.task.sensitivity` makes it"
        if table.is_file():
            found = json.loads(table.read_text(encoding="utf-8"))
            if found["weights_sha256"] == file_hash(weights):
                return by_hessian(space, problem, found)
            why = f"{table.name} is of other weights than {weights.name}; `python -m cofront.task.sensitivity` makes it"
    return by_score(space, problem, why)


def by_hessian(space: TrellisSpace, problem: CodesignProblem, table: dict[str, Any]) -> Sensitivity:
    """From rows [block, operator, inputs, outputs, precision, sensitivity]."""
    known = {tuple(row[:5]): float(row[5]) for row in table["rows"]}
    out = np.zeros(problem.trellis.n_edges)
    for number, edge in zip(edge_numbers(space, problem), space.declaration.edges, strict=True):
        if number < 0 or edge.precision is None:
            continue
        k: Any = edge.fragment
        key = (k.label, k.op.name, k.cin, k.cout, edge.precision)
        if key not in known:
            raise InputError(f"the table of Hessian sensitivities of '{space.name}' has no row for {key}")
        out[number] = known[key]
    source = f"Hessian traces and quantisation errors of the supernet's weights ({table['images']} images)"
    return Sensitivity(out, source)


def by_score(space: TrellisSpace, problem: CodesignProblem, why: str) -> Sensitivity:
    """How much less an edge scores than the same block at its best precision."""
    trellis = problem.trellis
    bits = {i for i, c in enumerate(space.choices) if c.name.endswith("_bits")}
    keys = [
        (a, b, tuple(c for c in choices if c[0] not in bits))
        for a, b, choices in zip(trellis.edge_from.tolist(), trellis.edge_to.tolist(), trellis.choices, strict=True)
    ]
    best: dict[Hashable, int] = {}
    for key, score in zip(keys, problem.edge_score.tolist(), strict=True):
        best[key] = max(best.get(key, score), score)
    losses = [best[key] - score for key, score in zip(keys, problem.edge_score.tolist(), strict=True)]
    return Sensitivity(np.array(losses, dtype=float), f"the accuracy model's own loss, not a Hessian: {why}")


def edge_numbers(space: TrellisSpace, problem: CodesignProblem) -> IntArray:
    """Number in the problem of each edge that the space declares; -1 for those the problem leaves out.

    The problem's nodes are numbered anew where states were left out, so they are followed from the first state.
    """
    declared = space.declaration.edges
    number = {(e.src, e.choices): i for i, e in enumerate(declared)}
    trellis, out = problem.trellis, np.full(len(declared), -1, dtype=np.int64)
    state: dict[int, Hashable] = {0: next(n for n, i in space.declaration.nodes.items() if i == 0)}
    for i in np.argsort(trellis.edge_from, kind="stable"):
        at = number[state[int(trellis.edge_from[i])], trellis.choices[i]]
        state[int(trellis.edge_to[i])] = declared[at].dst
        out[at] = i
    return out
