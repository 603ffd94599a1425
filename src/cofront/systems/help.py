"""HELP as published [HELP21]: adapt the meta-learned predictor to a new device, then search within a latency limit.

The search walks a ranking of candidates that another method gives (MetaD2A's in the paper), keeps the first three that
are predicted to be within the limit, and returns the one of greatest accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.predict.base import Predictor
from cofront.systems.claims import Claim

FloatArray = NDArray[np.float64]

#: How many candidates within the limit are trained to choose among them.
KEPT = 3


@dataclass(frozen=True)
class Chosen:
    """One constrained search: candidate by rank, what was predicted, what is true."""

    limit_s: float
    rank: int
    predicted_s: float
    latency_s: float
    accuracy: float

    @property
    def overshoot(self) -> float:
        """How far the true latency is beyond the limit, as a fraction of it; 0 within it."""
        return max(0.0, self.latency_s / self.limit_s - 1.0)


class HelpSearch:
    """Candidates in the order of a ranking: columns (n, f), true accuracy and latency (n,) to score with."""

    def __init__(self, columns: FloatArray, accuracy: FloatArray, latency_s: FloatArray) -> None:
        if not len(columns) == len(accuracy) == len(latency_s):
            raise UsageError(
                f"HELP's search: {len(columns)} candidates, {len(accuracy)} accuracies, {len(latency_s)} latencies"
            )
        self.columns, self.accuracy, self.latency_s = columns, accuracy, latency_s

    def run(self, predictor: Predictor, limits_s: Sequence[float]) -> list[Chosen]:
        """One choice per limit; when nothing is predicted to be within it, the candidate predicted to be fastest."""
        predicted = predictor.predict(self.columns).mean
        out = []
        for limit in limits_s:
            inside = np.flatnonzero(predicted <= limit)[:KEPT]
            best = int(inside[np.argmax(self.accuracy[inside])]) if len(inside) else int(np.argmin(predicted))
            out.append(
                Chosen(limit, best, float(predicted[best]), float(self.latency_s[best]), float(self.accuracy[best]))
            )
        return out


#: Mean Spearman of the paper's tables by space and device, with ten samples.
PAPER: dict[str, dict[str, float]] = {
    "nasbench201": {"titan_rtx_256": 0.987, "gold_6226": 0.989, "pixel2": 0.802, "raspi4": 0.890, "eyeriss": 0.940,
                    "fpga": 0.985},
    "fbnet": {"raspi4": 0.887, "eyeriss": 0.943, "fpga": 0.892},
}  # fmt: skip
#: Limit in ms -> (measured ms, accuracy %) of the paper's constrained search on CIFAR-100.
LIMITS: dict[str, dict[float, tuple[float, float]]] = {
    "titan_rtx_256": {18: (17.8, 69.7), 21: (18.9, 71.5), 25: (24.2, 71.8)},
    "gold_6226": {8: (8.0, 67.3), 11: (10.7, 70.2), 14: (14.3, 72.1)},
    "eyeriss": {5: (3.9, 71.5), 7: (5.1, 71.8), 9: (9.1, 73.5)},
    "fpga": {4: (3.8, 70.2), 5: (4.7, 71.8), 6: (7.4, 73.5)},
}


def claims(
    space: str, ours: Mapping[str, Mapping[str, float]], searches: Mapping[str, Sequence[Chosen]] | None = None
) -> list[Claim]:
    """The paper's rank correlations and constrained searches beside ours; `ours` maps method -> device -> Spearman."""
    out = []
    for device, published in PAPER.get(space, {}).items():
        found = ", ".join(f"{method} {by[device]:.3f}" for method, by in ours.items() if device in by)
        if found:
            out.append(
                Claim(f"{space}, {device}: Spearman, 10 samples", f"{published:.3f}", found, "HELP21, table", "sourced")
            )
    for device, chosen in (searches or {}).items():
        for c in chosen:
            published_ms = LIMITS.get(device, {}).get(round(c.limit_s * 1e3, 6))
            out.append(
                Claim(
                    what=f"{device}: most accurate within {c.limit_s * 1e3:g} ms, CIFAR-100",
                    paper="-" if published_ms is None else f"{published_ms[0]:g} ms, {published_ms[1]:g} %",
                    ours=f"{c.latency_s * 1e3:.1f} ms, {100 * c.accuracy:.1f} %",
                    source="HELP21, table",
                    confidence="sourced",
                    note="" if c.overshoot == 0 else f"{100 * c.overshoot:.0f} % over the limit",
                )
            )
    return out
