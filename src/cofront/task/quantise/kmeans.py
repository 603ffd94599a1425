"""Weights by k-means, as [HAQ19] after [DeepCompression15]: 2^b centroids a layer, and fine-tuning that moves them.

Weights of one layer become one of 2^b values: centroids of k-means in one dimension, started by k-means++. The
published search takes 3 iterations, the final network 50. In fine-tuning each weight is replaced by the mean of its
cluster after every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cofront.errors import InputError, UsageError

FloatArray = NDArray[np.float64]
#: Iterations of the published search and of the final network.
SEARCH_ITERATIONS, ITERATIONS = 3, 50
MOST_BITS = 12


@dataclass(frozen=True)
class Clusters:
    """`centroids` (k,) rising, k at most 2^b; `labels` of the weights' shape say which is whose."""

    centroids: FloatArray
    labels: NDArray[np.int64]

    @property
    def values(self) -> FloatArray:
        """The quantised weights."""
        return self.centroids[self.labels]


def kmeans(
    weights: NDArray[np.floating], bits: int, rng: np.random.Generator, iterations: int = ITERATIONS
) -> Clusters:
    """The clusters of weights of any shape at so many bits; no more clusters than there are different weights."""
    if not 1 <= bits <= MOST_BITS:
        raise UsageError(f"k-means weights: bits are 1 to {MOST_BITS}, got {bits}")
    if iterations < 0:
        raise UsageError(f"k-means weights: iterations are from 0, got {iterations}")
    flat = np.asarray(weights, float).ravel()
    if not flat.size or not np.isfinite(flat).all():
        raise InputError("k-means weights: expected finite weights, at least one")
    values, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    if len(values) <= 2**bits:
        return Clusters(values, inverse.reshape(np.shape(weights)).astype(np.int64))
    centroids = np.sort(_spread(values, counts, 2**bits, rng))
    for _ in range(iterations):
        moved = _means(values, counts, _nearest(values, centroids), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    label = _nearest(values, centroids)
    return Clusters(centroids, label[inverse].reshape(np.shape(weights)))


def _spread(values: FloatArray, counts: NDArray[np.int64], k: int, rng: np.random.Generator) -> FloatArray:
    """k-means++: each next centroid drawn by the squared distance to the nearest one so far."""
    first = int(rng.choice(len(values), p=counts / counts.sum()))
    chosen = [first]
    distance = (values - values[first]) ** 2
    for _ in range(k - 1):
        weight = counts * distance
        i = int(np.searchsorted(np.cumsum(weight), rng.random() * weight.sum(), side="right"))
        i = min(i, len(values) - 1)
        chosen.append(i)
        distance = np.minimum(distance, (values - values[i]) ** 2)
    return np.asarray(values[chosen], float)


def _nearest(values: FloatArray, centroids: FloatArray) -> NDArray[np.int64]:
    """(n,) nearest centroid of each value; centroids rise, so borders are half-way."""
    return np.asarray(np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values), np.int64)


def _means(
    values: FloatArray, counts: NDArray[np.int64], label: NDArray[np.int64], centroids: FloatArray
) -> FloatArray:
    """(k,) weighted means of the clusters; an empty one stays where it is."""
    size = np.bincount(label, counts, len(centroids))
    total = np.bincount(label, counts * values, len(centroids))
    return np.sort(np.where(size > 0, total / np.maximum(size, 1), centroids))


class KMeansWeights:
    """The clusters of a module's layers, and the step that keeps weights at their clusters' means.

    Weights change in place; `restore` puts the floats back.
    """

    def __init__(
        self, module: nn.Module, bits: dict[str, int], rng: np.random.Generator, iterations: int = ITERATIONS
    ) -> None:
        """`bits` by the name of a layer with a weight; a UsageError names a layer that has none."""
        known = {name: m.weight for name, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
        for name in bits:
            if name not in known:
                raise UsageError(f"k-means weights: '{name}' is no layer with weights; known: {', '.join(known)}")
        self._kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name, b in bits.items():
            weight = known[name]
            found = kmeans(weight.detach().cpu().numpy(), b, rng, iterations)
            labels = torch.from_numpy(found.labels.ravel()).to(weight.device)
            self._kept[name] = (weight, weight.detach().clone(), labels)
            with torch.no_grad():
                weight.copy_(torch.from_numpy(found.values).to(weight))

    @torch.no_grad()
    def project(self) -> None:
        """Every weight becomes the mean of its cluster: after each step of fine-tuning."""
        for weight, _, labels in self._kept.values():
            flat = weight.reshape(-1)
            k = int(labels.max()) + 1
            total = torch.zeros(k, dtype=flat.dtype, device=flat.device).scatter_add_(0, labels, flat)
            size = torch.bincount(labels, minlength=k).clamp_(min=1).to(flat.dtype)
            weight.copy_((total / size)[labels].reshape(weight.shape))

    @torch.no_grad()
    def restore(self) -> None:
        """The weights as they were before."""
        for weight, floats, _ in self._kept.values():
            weight.copy_(floats)
