"""Grids: where the integers of weights and of activations lie, by rule and number of bits.

Weights are symmetric, one scale per output channel or one for all, w in [-(2^(b-1) - 1), 2^(b-1) - 1]; at one bit they
are sign(w) times the mean magnitude. Activations are affine per tensor with the zero at 0 behind a clamp, else in the
middle: `cofront.task.kernels.Grid`, the reference's own definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cofront.errors import UsageError
from cofront.task.kernels import Grid
from cofront.task.quantise.histogram import BINS, RULES, Histogram, least_divergence

_TINY = 1e-8
_CANDIDATES = 24
WEIGHT_BITS = range(1, 9)
ACT_BITS = range(2, 9)


@dataclass(frozen=True)
class Rules:
    """How ranges are chosen: a rule for `weights` and one for `activations` ("max", "percentile", "mse" or "kl").

    `per_channel`: one scale per output channel of the weights; "kl" has one for all. `percentile` is in percent.
    `power_of_two`: scales are powers of two, so that every gain is a shift.
    """

    weights: str = "mse"
    activations: str = "mse"
    per_channel: bool = True
    power_of_two: bool = False
    percentile: float = 99.99

    def __post_init__(self) -> None:
        for what, rule in (("weights", self.weights), ("activations", self.activations)):
            if rule not in RULES:
                raise UsageError(f"calibration rule '{rule}' of {what} is unknown; known: {', '.join(RULES)}")


def check_bits(where: str, weight_bits: Any, act_bits: Any) -> None:
    """UsageError, one line, for bits that no integer network has."""
    for what, bits, known in (("weights", weight_bits, WEIGHT_BITS), ("activations", act_bits, ACT_BITS)):
        if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or bits not in known:
            raise UsageError(f"'{where}': {what} of {bits!r} bits; {known[0]} to {known[-1]} are possible")


def top_of(bits: int) -> int:
    """The greatest integer weight."""
    return max(1, int(2 ** (bits - 1)) - 1)


def weight_scales(w: torch.Tensor, bits: int, rules: Rules) -> torch.Tensor:
    """Scales (cout,), float32, of weights (cout, ...) by a rule."""
    flat = w.detach().float().flatten(1)
    rows = flat if rules.per_channel and rules.weights != "kl" else flat.reshape(1, -1)
    scale = rows.abs().mean(1) if bits == 1 else _clips(rows, bits, rules) / top_of(bits)
    scale = scale.clamp_min(_TINY)
    if rules.power_of_two:
        scale = _nearest_power(rows, scale, bits)
    return scale.expand(len(flat)).contiguous()


def weight_codes(w: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """Nearest integers (cout, ...), as floats; at one bit the signs, 0 throughout where a channel is 0."""
    s = scale.view(-1, *[1] * (w.dim() - 1))
    if bits == 1:
        signs = torch.where(w < 0, -1.0, 1.0)
        return signs * (w.flatten(1).abs().amax(1) > 0).view(s.shape)
    top = top_of(bits)
    return (w.float() / s).round_().clamp_(-top, top)


def _clips(rows: torch.Tensor, bits: int, rules: Rules) -> torch.Tensor:
    peak = rows.abs().amax(1)
    if rules.weights == "percentile":
        return torch.quantile(rows.abs()[:, :: max(1, rows.shape[1] >> 20)], rules.percentile / 100, dim=1)
    if rules.weights == "kl" and bits < 5:
        h = Histogram()
        h.add(rows)
        return torch.full_like(peak, min(least_divergence(h.counts, 2 ** (bits - 1)) * h.top / BINS, h.peak))
    if rules.weights != "mse":
        return peak
    best, found = torch.full_like(peak, math.inf), peak
    for share in np.linspace(0.25 if bits < 4 else 0.5, 1.0, _CANDIDATES):
        clip = (peak * float(share)).clamp_min(_TINY)
        error = _error(rows, clip / top_of(bits), bits)
        better = error < best
        best, found = torch.where(better, error, best), torch.where(better, clip, found)
    return found


def _error(rows: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    s = scale[:, None]
    if bits == 1:
        return (torch.sign(rows) * s - rows).square().sum(1)
    top = top_of(bits)
    return (rows / s).round_().clamp_(-top, top).mul_(s).sub_(rows).square_().sum(1)


def _nearest_power(rows: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """The power of two above or below each scale, whichever has the lesser squared error."""
    below = torch.exp2(torch.log2(scale).floor())
    return torch.where(_error(rows, 2 * below, bits) < _error(rows, below, bits), 2 * below, below)


def act_grid(h: Histogram, bits: int, signed: bool, rules: Rules, most: float = math.inf) -> Grid:
    """The grid of a tensor with these magnitudes; `most` caps the clip point, as a ReLU6 does."""
    levels = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    clip = min(h.clip(rules.activations, bits, levels, rules.percentile), most)
    scale = max(clip, 1e-6) / levels
    if rules.power_of_two:
        below = 2.0 ** math.floor(math.log2(scale))
        x, n = h.centres, h.counts
        errors = [float((np.square(np.minimum(np.rint(x / s), levels) * s - x) * n).sum()) for s in (below, 2 * below)]
        scale = below if errors[0] < errors[1] or 2 * below * levels > most else 2 * below
    return Grid(scale, bits, signed)
