"""K-means weights: 2^b values, never worse with iterations, near the optimum, and means kept in fine-tuning."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.task.quantise.kmeans import KMeansWeights, kmeans


def error(weights: np.ndarray, clusters) -> float:
    return float(((weights - clusters.values) ** 2).sum())


def optimum(weights: np.ndarray, k: int) -> float:
    """In one dimension clusters are runs of the sorted weights."""
    w = np.sort(weights.ravel())
    cuts = itertools.combinations(range(1, len(w)), k - 1)
    return min(sum(((p - p.mean()) ** 2).sum() for p in np.split(w, c)) for c in cuts)


@given(st.integers(0, 1000), st.integers(1, 3))
def test_there_are_at_most_so_many_values_and_each_weight_has_the_nearest(seed, bits):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(5, 4))
    got = kmeans(weights, bits, rng, 5)
    assert got.values.shape == weights.shape
    assert len(np.unique(got.values)) <= 2**bits
    assert np.all(np.diff(got.centroids) >= 0)
    nearest = np.abs(weights[..., None] - got.centroids).min(axis=-1)
    assert np.abs(weights - got.values) == pytest.approx(nearest)


def test_iterations_help_and_end_near_the_optimum():
    weights = np.random.default_rng(0).normal(size=12)
    best = min(error(weights, kmeans(weights, 2, np.random.default_rng(s))) for s in range(20))
    assert best == pytest.approx(optimum(weights, 4), rel=1e-9)
    for seed in range(5):
        errors = [error(weights, kmeans(weights, 2, np.random.default_rng(seed), n)) for n in (0, 1, 3, 50)]
        assert errors == sorted(errors, reverse=True)


def test_few_different_weights_stay_as_they_are():
    weights = np.array([[0.5, -1.0], [0.5, 2.0]])
    assert (kmeans(weights, 2, np.random.default_rng(0)).values == weights).all()
    assert len(kmeans(weights, 1, np.random.default_rng(0)).centroids) == 2


def test_fine_tuning_keeps_clusters_and_moves_their_means():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    before = net[0].weight.detach().clone()
    kept = KMeansWeights(net, {"0": 2, "2": 1}, np.random.default_rng(0), 3)
    first = net[0].weight.detach().clone()
    assert len(first.unique()) <= 4 and len(net[2].weight.unique()) <= 2
    x, y = torch.randn(64, 6), torch.randint(2, (64,))
    sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    losses = []
    for _ in range(20):
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        sgd.step()
        kept.project()
        losses.append(float(loss.detach()))
        assert len(net[0].weight.unique()) <= 4
    assert losses[-1] < losses[0]
    for value in first.unique():  # who was together still is
        assert len(net[0].weight[first == value].unique()) == 1
    assert not torch.equal(net[0].weight, first)
    kept.restore()
    assert torch.equal(net[0].weight, before)


def test_a_projection_is_the_cluster_mean():
    net = torch.nn.Sequential(torch.nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1.1, -1.0, -1.1]]))
    kept = KMeansWeights(net, {"0": 1}, np.random.default_rng(0))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, 4.0, -1.0, -2.0]]))
    kept.project()
    assert net[0].weight.tolist() == [[3.0, 3.0, -1.5, -1.5]]


def test_what_cannot_be_clustered_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="bits are 1 to 12, got 0"):
        kmeans(np.ones(3), 0, rng)
    with pytest.raises(UsageError, match="iterations are from 0, got -1"):
        kmeans(np.ones(3), 2, rng, -1)
    with pytest.raises(InputError, match="expected finite weights"):
        kmeans(np.array([1.0, np.nan]), 2, rng)
    with pytest.raises(UsageError, match="'1' is no layer with weights; known: 0"):
        KMeansWeights(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()), {"1": 2}, rng)
