"""One proxy device is enough, as published [OneProxy21]: search on a proxy, reuse its front on every other device.

If the latencies of two devices rank architectures alike (monotonicity, Spearman >= .9), the proxy's Pareto-optimal
networks are the target's. If not, the proxy's linear latency model is adapted to the target (`predict/adaproxy.py`) and
the front taken anew, without measuring more than some dozens of networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.predict.adaproxy import AdaProxy
from cofront.predict.base import one_hot
from cofront.predict.devices import learn_devices
from cofront.space import Points, Space
from cofront.systems.claims import Claim

FloatArray = NDArray[np.float64]

#: Monotonicity from which the proxy's front is reused as it is.
ENOUGH = 0.9
LIMITS = 10


@dataclass(frozen=True)
class Adapted:
    """One target: how alike the raw ranks are, the adapted model's and, for scale, how often the front was reused.

    `raw` over all rows; `adapted` mean and standard deviation over draws of `samples` measurements, over all rows.
    """

    target: str
    samples: int
    raw: float
    adapted: float
    adapted_std: float
    reused: bool


@dataclass(frozen=True)
class Choice:
    """At one latency limit: accuracy of the network chosen by the proxy's (adapted) model and by an oracle."""

    limit_s: float
    chosen: float
    oracle: float
    latency_s: float


def monotonicity(latency: Mapping[str, FloatArray]) -> tuple[tuple[str, ...], FloatArray]:
    """Names and the (m, m) Spearman correlations of devices over the rows that both have."""
    from scipy.stats import spearmanr

    names = tuple(latency)
    out = np.eye(len(names))
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            both = np.isfinite(latency[a]) & np.isfinite(latency[b])
            out[i, j] = out[j, i] = (
                spearmanr(latency[a][both], latency[b][both]).statistic if both.sum() > 2 else np.nan
            )
    return names, out


class OneProxy:
    """A proxy with its latencies (n,) on points (n, d) of a space; NaN where it was not measured."""

    def __init__(self, space: Space, points: Points, proxy: str, latency_s: FloatArray) -> None:
        if latency_s.shape != (len(points),):
            raise UsageError(f"one proxy: {len(points)} networks, but latencies of shape {latency_s.shape}")
        self.space, self.name = space, proxy
        self.columns, self.latency_s = one_hot(space, points), latency_s
        self.devices = learn_devices(space, points, {proxy: latency_s})

    def linear_fit(self) -> float:
        """Spearman of the proxy's own linear model over its rows."""
        here = np.isfinite(self.latency_s)
        return _rank(self.devices.predict(self.columns[here])[:, 0], self.latency_s[here])

    def adapt(self, target: str, latency_s: FloatArray, samples: int, draws: int = 10, seed: int = 0) -> Adapted:
        """Adapt to draws of `samples` rows of the target, a seventh of them for validation, and rank all its rows."""
        here = np.flatnonzero(np.isfinite(latency_s) & np.isfinite(self.latency_s))
        raw = _rank(self.latency_s[here], latency_s[here])
        found = []
        for number in range(draws):
            rows = np.random.default_rng((seed, number)).choice(here, samples, replace=False)
            model = AdaProxy(self.devices, seed=number).fit(self.columns[rows], latency_s[rows])
            found.append(_rank(model.predict(self.columns[here]).mean, latency_s[here]))
        return Adapted(target, samples, raw, float(np.mean(found)), float(np.std(found)), raw >= ENOUGH)

    def choose(
        self, latency_s: FloatArray, accuracy: FloatArray, rows: NDArray[np.int64], samples: int, seed: int = 0
    ) -> list[Choice]:
        """Ten limits over the target's range: the most accurate network that the adapted model holds to be within.

        Candidates are all measured rows; the model's scale comes from the same `samples` of `rows`.
        """
        measured = np.flatnonzero(np.isfinite(latency_s))
        rng = np.random.default_rng(seed)
        support = rng.choice(np.intersect1d(rows, measured), samples, replace=False)
        model = AdaProxy(self.devices, seed=seed).fit(self.columns[support], latency_s[support])
        predicted = model.predict(self.columns[measured]).mean
        true, gain = latency_s[measured], accuracy[measured]
        out = []
        for limit in np.quantile(true, np.linspace(0.1, 0.95, LIMITS)):
            inside, held = true <= limit, predicted <= limit
            best = int(np.argmax(np.where(held, gain, -np.inf))) if held.any() else int(np.argmin(predicted))
            oracle = float(gain[inside].max())
            out.append(Choice(float(limit), float(gain[best]), oracle, float(true[best])))
        return out


def _rank(a: FloatArray, b: FloatArray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


#: (proxy, target) -> (raw, adapted) as printed, NaN where the figure says none; NAS-Bench-201 and FBNet panels.
PAPER: dict[tuple[str, str, str], tuple[float, float]] = {
    ("nasbench201", "pixel3", "rice_edgegpu"): (0.62, 0.94),
    ("nasbench201", "pixel3", "rice_edgetpu"): (0.46, 0.92),
    ("nasbench201", "pixel3", "raspi4"): (0.96, 0.96),
    ("nasbench201", "pixel3", "eyeriss"): (0.72, 0.99),
    ("nasbench201", "pixel3", "fpga"): (0.87, 0.99),
    ("fbnet", "pixel3", "raspi4"): (0.95, 0.95),
    ("fbnet", "pixel3", "eyeriss"): (0.97, 0.97),
    ("fbnet", "pixel3", "fpga"): (0.90, 0.99),
}


def claims(space: str, proxy: str, found: Sequence[Adapted]) -> list[Claim]:
    """The paper's figures beside ours, for the targets that the paper has."""
    out = []
    for a in found:
        published = PAPER.get((space, proxy, a.target))
        paper = "not printed" if published is None else f"{published[0]:.2f} to {published[1]:.2f}"
        out.append(
            Claim(
                what=f"{space}, proxy {proxy}, target {a.target}: Spearman raw to adapted",
                paper=paper,
                ours=f"{a.raw:.4f} to {a.adapted:.4f} ± {a.adapted_std:.4f}",
                source="OneProxy21, figures",
                confidence="read from an image" if published else "ours",
                note=f"{a.samples} measurements" + (", front reused as it is" if a.reused else ""),
            )
        )
    return out
