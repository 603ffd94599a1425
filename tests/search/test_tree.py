import numpy as np
import pytest

from cofront.errors import UsageError
from cofront.search.tree import TreeSearch, tree_search

SIZES = np.array([3, 4, 2, 5, 3, 4])


def reward(points):
    """Peaks at one point; every coordinate counts, the first ones most."""
    target = np.array([2, 1, 1, 4, 0, 3])
    weights = np.array([0.3, 0.25, 0.15, 0.12, 0.1, 0.08])
    return ((points == target) * weights).sum(1)


def test_it_beats_random_search_at_equal_budget():
    gains = []
    for seed in range(5):
        found = tree_search(SIZES, reward, np.random.default_rng(seed), 300).rewards
        random = reward(np.random.default_rng(seed + 100).integers(0, SIZES, size=(300, 6)))
        gains.append(found.mean() - random.mean())
        assert found.max() >= 0.88
    assert np.median(gains) > 0.1


def test_the_same_seed_gives_the_same_points():
    runs = [tree_search(SIZES, reward, np.random.default_rng(7), 60).points for _ in range(2)]
    assert np.array_equal(*runs)


def test_a_batch_spreads_over_the_unvisited_options_first():
    tree = TreeSearch(np.array([8, 2]), np.random.default_rng(0))
    assert sorted(tree.propose(8)[:, 0]) == list(range(8))


def test_small_spaces_are_revisited_without_error():
    result = tree_search(np.array([2, 2]), lambda p: p.sum(1) / 2, np.random.default_rng(0), 50)
    assert result.best.tolist() == [1, 1]


def test_the_mean_of_equal_rewards_is_that_reward_at_every_node():
    """Paths of one batch grow the tree under one another; a reward counts only where its own visit does."""
    tree = TreeSearch(np.array([2, 2, 2]), np.random.default_rng(0))
    for _ in range(10):
        points = tree.propose(16)
        tree.update(points, np.ones(16))
    nodes = [tree.root]
    for node in nodes:
        nodes += node.children.values()
    assert len(nodes) == 15
    assert all(n.total == n.visits for n in nodes)


def test_rewards_are_for_proposals_and_once():
    tree = TreeSearch(np.array([2, 2]), np.random.default_rng(0))
    points = tree.propose(1)
    tree.update(points, np.ones(1))
    with pytest.raises(UsageError, match="was not proposed, or has its reward already"):
        tree.update(points, np.ones(1))
    with pytest.raises(UsageError, match="at least one evaluation"):
        tree_search(np.array([2, 2]), lambda p: p.sum(1), np.random.default_rng(0), 0)
