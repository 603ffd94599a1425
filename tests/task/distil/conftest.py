"""A small trained-looking network of four units on noise with colours."""

import numpy as np
import pytest
from distil_helpers import network

from cofront.network.weights import random_weights
from cofront.space.operators_of import units_of

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def net():
    return network()


@pytest.fixture(scope="session")
def weights(net):
    return random_weights(net, np.random.default_rng(0))


@pytest.fixture(scope="session")
def images():
    """(300, 12, 12, 3) with labels (300,): each class is a colour."""
    rng = np.random.default_rng(1)
    y = np.arange(300) % 4
    x = rng.integers(0, 120, (300, 12, 12, 3), dtype=np.uint8)
    x[np.arange(300), :, :, y % 3] += (50 + 25 * y[:, None, None]).astype(np.uint8)
    return x, y


@pytest.fixture(scope="session")
def teacher(net, weights, images):
    from cofront.task.distil.units import Teacher

    return Teacher(units_of(net), weights, images[0])
