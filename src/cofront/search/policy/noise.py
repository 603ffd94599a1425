"""Noise for actions that live in an interval."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri


def truncated_normal(mean: float, sigma: float, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One draw from the normal distribution around `mean`, restricted to [low, high]; sigma 0: the mean, clipped."""
    if sigma <= 0:
        return min(max(mean, low), high)
    a, b = float(ndtr((low - mean) / sigma)), float(ndtr((high - mean) / sigma))
    drawn = mean + sigma * float(ndtri(a + (b - a) * rng.random()))
    return min(max(drawn, low), high) if math.isfinite(drawn) else min(max(mean, low), high)
