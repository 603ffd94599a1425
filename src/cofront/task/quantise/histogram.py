"""Where a tensor's magnitudes lie, collected batch by batch, and the clip point that a rule takes from it.

Bins are of equal width; when a batch goes beyond the last one, pairs of bins are merged and the range doubles, so one
pass over the data serves every number of bits and every rule.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cofront.errors import UsageError

BINS = 2048
RULES = ("max", "percentile", "mse", "kl")
#: HAQ's rule: below this many bits the divergence decides, else the greatest magnitude [HAQ19].
KL_BELOW = 5
_CANDIDATES = 128
_MOST = 1 << 20  # values counted of a batch, more or less: of the greatest tensors some images are enough

Floats = npt.NDArray[np.float64]


class Histogram:
    """Counts of |x| in equal bins over [0, top]; `peak` is the greatest |x|."""

    def __init__(self) -> None:
        self.counts: Floats = np.zeros(BINS)
        self.top = 0.0
        self.peak = 0.0

    def add(self, x: torch.Tensor) -> None:
        """Count the magnitudes of a batch (n, ...), of some images where they are many; the peak is that of all."""
        low, high = torch.aminmax(x)
        peak = max(-float(low), float(high))
        if not math.isfinite(peak):
            raise UsageError("a tensor has values that are not finite; check weights and images")
        self.peak = max(self.peak, peak)
        if peak == 0:
            self.counts[0] += x.numel()
            return
        if not self.top:
            zeros, self.top = self.counts[0], peak
            self.counts[:] = 0
            self.counts[0] = zeros
        while self.top < peak:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2)])
            self.top *= 2
        some = x[:: max(1, x.numel() // _MOST)] if x.dim() > 1 else x
        magnitude = some.abs() if float(low) < 0 else some
        self.counts += torch.histc(magnitude.float().flatten(), BINS, 0, self.top).double().numpy()

    @property
    def centres(self) -> Floats:
        """Middles of the bins (BINS,)."""
        return np.asarray((np.arange(BINS) + 0.5) * (self.top / BINS))

    def clip(self, rule: str, bits: int, levels: int, percentile: float = 99.99) -> float:
        """The clip point of a grid whose greatest step is number `levels`, by a rule.

        "max": the greatest magnitude; "percentile": that share of all magnitudes is within; "mse": the least squared
        error; "kl": HAQ's rule. Never above the greatest magnitude.
        """
        if rule not in RULES:
            raise UsageError(f"calibration rule '{rule}' is unknown; known: {', '.join(RULES)}")
        if not self.top:
            return 1.0  # nothing but zeros: any grid holds it
        if rule == "percentile":
            if not 50 <= percentile <= 100:
                raise UsageError(f"a percentile from 50 to 100 is expected, got {percentile:g}")
            within = np.cumsum(self.counts) / self.counts.sum()
            edge = (int(np.searchsorted(within, percentile / 100)) + 1) * self.top / BINS
            return min(edge, self.peak)
        if rule == "mse":
            return least_error(self.centres, self.counts, self.peak, levels)
        if rule == "kl" and bits < KL_BELOW:
            return min(least_divergence(self.counts, 2 ** (bits - 1)) * self.top / BINS, self.peak)
        return self.peak


def least_error(centres: Floats, counts: Floats, peak: float, levels: int) -> float:
    """The clip point of least squared error of magnitudes with counts, on `levels` steps beside 0."""
    clips = peak * np.linspace(1, _CANDIDATES, _CANDIDATES) / _CANDIDATES
    step = clips[:, None] / levels
    off = np.minimum(np.rint(centres / step), levels) * step - centres
    return float(clips[int(np.argmin((np.square(off) * counts).sum(1)))])


def least_divergence(counts: Floats, levels: int) -> int:
    """How many bins to keep so that the divergence of their `levels`-level resampling from all is least.

    What lies beyond is counted in the last bin kept. The resampling spreads the mass of a level over those of its bins
    that are not empty; how HAQ resamples in detail is not known here, this is our reconstruction.
    """
    # The bin at 0 holds what a ReLU has cut off: 0 is on every grid and says nothing of the clip point.
    p_all = np.concatenate([[0.0], counts[1:]])
    last = int(np.flatnonzero(p_all).max(initial=0)) + 1
    best, found = math.inf, last
    for keep in range(max(levels, 2), last + 1, max(1, last // 256)):
        p = p_all[:keep].copy()
        p[-1] += p_all[keep:].sum()
        edges = np.linspace(0, keep, levels + 1).round().astype(int)
        kept: Any = p_all[:keep]
        mass = np.add.reduceat(kept, edges[:-1])
        filled = np.add.reduceat((kept > 0).astype(float), edges[:-1])
        each = np.where(filled > 0, mass / np.maximum(filled, 1), 0.0)
        q = np.repeat(each, np.diff(edges)) * (kept > 0)
        some = p > 0
        if not q.sum():
            continue
        q = np.maximum(q / q.sum(), 1e-9)
        p = p / p.sum()
        divergence = float((p[some] * np.log(p[some] / q[some])).sum())
        if divergence < best:
            best, found = divergence, keep
    return found
