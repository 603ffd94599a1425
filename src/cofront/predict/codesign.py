"""An accuracy model laid on a trellis: integer edge scores and the link, as a CodesignProblem takes them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cofront.errors import InputError
from cofront.predict.additive import AdditiveModel
from cofront.predict.base import FloatArray
from cofront.problem import IntArray, Trellis

#: Score units per unit of accuracy: scores are integers in micro-points.
MICRO = 1e8


@dataclass(frozen=True)
class TrellisAccuracy:
    """The accuracy side of a CodesignProblem; the fields have its names."""

    edge_score: IntArray  # (e,)
    score_offset: int
    micro: float
    link: tuple[float, ...]
    score_range: tuple[float, float]
    accuracy_range: tuple[float, float]

    def fields(self) -> dict[str, Any]:
        """For `CodesignProblem(trellis=..., **accuracy.fields())`."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def on_trellis(
    model: AdditiveModel,
    trellis: Trellis,
    penalty: FloatArray | None = None,
    *,
    micro: float = MICRO,
    clip: bool = True,
) -> TrellisAccuracy:
    """Scores of the trellis's edges under `model`, its coefficients plus `penalty` (f,) if given.

    With `clip`, no accuracy exceeds the best one measured; without, the link goes on: an extrapolation.
    """
    if trellis.n_features != len(model.coefficients):
        raise InputError(
            f"accuracy model of {len(model.coefficients)} features on a trellis of {trellis.n_features}: "
            "they come from different spaces"
        )
    coefficients = model.coefficients if penalty is None else model.coefficients + penalty
    return TrellisAccuracy(
        edge_score=trellis.scores(coefficients, micro),
        score_offset=round(model.intercept * micro),
        micro=micro,
        link=model.link,
        score_range=model.score_range,
        accuracy_range=(0.0, model.observed[1] if clip else 1.0),
    )


def path_range(trellis: Trellis, edge_score: IntArray, offset: int = 0) -> tuple[int, int]:
    """The least and the greatest score of a path."""
    low = np.full(trellis.n_nodes, np.iinfo(np.int64).max // 2)
    high = np.full(trellis.n_nodes, np.iinfo(np.int64).min // 2)
    low[0] = high[0] = offset
    for i in np.argsort(trellis.edge_from, kind="stable"):
        a, b = trellis.edge_from[i], trellis.edge_to[i]
        low[b] = min(low[b], low[a] + edge_score[i])
        high[b] = max(high[b], high[a] + edge_score[i])
    return int(low[-1]), int(high[-1])
