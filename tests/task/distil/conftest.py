"""A small trained-looking network of four units on noise with colours."""

import numpy as np
import pytest
from distil_helpers import network

from cofront.network.weights import random_weights
from cofront.space.operators_of import units_of
from coloured import coloured

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def net():
    return network()


@pytest.fixture(scope="session")
def weights(net):
    return random_weights(net, np.random.default_rng(0))


@pytest.fixture(scope="session")
def images():
    """(300, 12, 12, 3) with labels (300,)."""
    return coloured(np.random.default_rng(1), 300)


@pytest.fixture(scope="session")
def teacher(net, weights, images):
    from cofront.task.distil.units import Teacher

    return Teacher(units_of(net), weights, images[0])
