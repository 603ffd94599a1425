"""Monte-Carlo tree search over a sequence of discrete choices, with the UCT rule [UCT].

HAO explores architectures this way [HAO21]; the paper does not print its constants, so exploration weight, reward scale
and rollout are arguments here and the defaults are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError

Points = NDArray[np.int64]


@dataclass
class _TreeNode:
    """Statistics of one prefix of choices; children are created on first visit."""

    visits: int = 0
    total: float = 0.0
    children: dict[int, _TreeNode] = field(default_factory=dict)


@dataclass(frozen=True)
class TreeResult:
    """Every point evaluated, in order, with its reward: points (n, d), rewards (n,)."""

    points: Points
    rewards: NDArray[np.float64]

    @property
    def best(self) -> Points:
        return np.asarray(self.points[int(np.argmax(self.rewards))])


class TreeSearch:
    """UCT over points of shape (d,), choice j having `sizes[j]` options, decided in the given order.

    `propose(n)` returns n points to evaluate and `update(points, rewards)` backs their rewards up. Between the two the
    proposed paths carry a visit without a reward, so that one batch spreads over several branches. Rewards should lie
    roughly in [0, 1]; `exploration` is the constant of UCT = mean + c sqrt(ln N / n).
    """

    def __init__(
        self,
        sizes: NDArray[np.int64],
        rng: np.random.Generator,
        exploration: float = 0.2,
        rollout: Callable[[NDArray[np.int64], int], Points] | None = None,
    ) -> None:
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.rng = rng
        self.exploration = exploration
        self.rollout = rollout
        self.root = _TreeNode()
        self._depths: dict[tuple[int, ...], list[int]] = {}  # proposed, not yet rewarded: how deep each path counted

    def _select(self, node: _TreeNode, options: int) -> int:
        unvisited = [a for a in range(options) if a not in node.children]
        if unvisited:
            return int(self.rng.choice(unvisited))
        log_n = math.log(max(node.visits, 1))
        value = [
            c.total / max(c.visits, 1) + self.exploration * math.sqrt(log_n / max(c.visits, 1))
            for c in (node.children[a] for a in range(options))
        ]
        return int(np.argmax(value))

    def propose(self, n: int) -> Points:
        """(n, d) points: each descends the tree, adds one node and completes the rest by the rollout (uniform)."""
        out = np.empty((n, len(self.sizes)), dtype=np.int64)
        for i in range(n):
            node, prefix = self.root, []
            node.visits += 1
            for size in self.sizes:
                action = self._select(node, int(size))
                prefix.append(action)
                fresh = action not in node.children
                node = node.children.setdefault(action, _TreeNode())
                node.visits += 1
                if fresh:
                    break
            done = np.array(prefix, dtype=np.int64)
            rest = self.sizes[len(prefix) :]
            out[i, : len(prefix)] = done
            if len(rest):
                tail = self.rollout(done, len(rest)) if self.rollout else self.rng.integers(0, rest)
                out[i, len(prefix) :] = tail
            self._depths.setdefault(tuple(out[i].tolist()), []).append(len(prefix))
        return out

    def update(self, points: Points, rewards: NDArray[np.float64]) -> None:
        """Backs up one reward per proposed point, along the nodes that its proposal visited and no others."""
        for point, reward in zip(points, rewards, strict=True):
            depths = self._depths.get(key := tuple(np.asarray(point).tolist()))
            if not depths:
                raise UsageError(f"tree search: point {key} was not proposed, or has its reward already")
            node = self.root
            node.total += float(reward)
            for action in key[: depths.pop(0)]:
                node = node.children[action]
                node.total += float(reward)
            if not depths:
                del self._depths[key]


def tree_search(
    sizes: NDArray[np.int64],
    reward: Callable[[Points], NDArray[np.float64]],
    rng: np.random.Generator,
    evaluations: int,
    batch: int = 16,
    exploration: float = 0.2,
) -> TreeResult:
    """Runs TreeSearch for a number of evaluations of `reward`, which maps (n, d) points to (n,) rewards."""
    if evaluations < 1 or batch < 1:
        raise UsageError(f"tree search: expected at least one evaluation and one per batch, got {evaluations}, {batch}")
    tree = TreeSearch(sizes, rng, exploration)
    points, rewards = [], []
    left = evaluations
    while left > 0:
        chosen = tree.propose(min(batch, left))
        value = np.asarray(reward(chosen), dtype=np.float64)
        tree.update(chosen, value)
        points.append(chosen)
        rewards.append(value)
        left -= len(chosen)
    return TreeResult(np.concatenate(points), np.concatenate(rewards))
