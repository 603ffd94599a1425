"""Small data for the task tests: two kinds of 32 x 32 images that a network can tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cofront.task.data import CIFAR10, Dataset


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Threads of tiny operators mostly wait for each other, the more so beside other tests."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    rng = np.random.default_rng(0)

    def part(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, 10, n)
        x = rng.integers(0, 120, (n, 32, 32, 3)) + 12 * y[:, None, None, None]
        return x.astype(np.uint8), y

    return Dataset(*part(96), *part(24), *part(24), CIFAR10)
