"""What an agent remembers: the last transitions, drawn uniformly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class Replay:
    """A ring of `size_limit` transitions with states of `states` numbers."""

    def __init__(self, size_limit: int, states: int) -> None:
        self.state = np.zeros((size_limit, states), np.float32)
        self.after = np.zeros((size_limit, states), np.float32)
        self.action = np.zeros(size_limit, np.float32)
        self.reward = np.zeros(size_limit, np.float32)
        self.last = np.zeros(size_limit, np.bool_)
        self.next, self.size = 0, 0

    def add(self, state: NDArray[Any], action: float, reward: float, after: NDArray[Any], last: bool) -> None:
        """One transition; the oldest goes when the ring is full."""
        i = self.next
        self.state[i], self.action[i], self.reward[i], self.after[i], self.last[i] = state, action, reward, after, last
        self.next = (i + 1) % len(self.action)
        self.size = min(self.size + 1, len(self.action))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Float32, Float32, Float32, Float32, NDArray[np.bool_]]:
        """n transitions, without repetition while there are as many: state, action, reward, next state, last."""
        rows = rng.choice(self.size, min(n, self.size), replace=False)
        return self.state[rows], self.action[rows], self.reward[rows], self.after[rows], self.last[rows]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What there is, in the ring's order."""
        return {k: getattr(self, k)[: self.size] for k in ("state", "after", "action", "reward", "last")}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What `arrays` gave."""
        for name, value in arrays.items():
            getattr(self, name)[: len(value)] = value
