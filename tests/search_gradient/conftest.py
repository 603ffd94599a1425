"""Small spaces: NAS-Bench-Macro's layers for tables, and two layers on 8 x 8 images for real training."""

import numpy as np
import pytest
import torch

from cofront.network.zoo.units import inverted_residual
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.space import load
from cofront.space.chain import ChainSpace, places

torch.set_num_threads(1)


class TwoLayers(ChainSpace):
    name = "two_layers"
    task = "toy"
    input_shape = (3, 8, 8)
    variable = "op"
    first = 0

    def __init__(self, kernels: int = 2) -> None:
        self.ops = (*(f"k{3 + 2 * (i % 2)}_e{1 + i // 2}" for i in range(kernels)), "skip")

    @property
    def places(self):
        return places(((8, 1), (8, 1)), 8, 8)

    def build_ends(self, b, part):
        if part == "stem":
            b.conv(8, 3, act="relu", name="stem")
        else:
            b.classifier(4)

    def is_identity(self, place, op):
        return op == len(self.ops) - 1

    def build_layer(self, b, label, place, op):
        inverted_residual(b, label, place.cout, 3 + 2 * (op % 2), place.stride, (1 + op // 2) * place.cin, "relu")


@pytest.fixture(scope="session")
def macro():
    """Eight layers of three options each: 6,561 networks."""
    space = load("nasbench_macro")
    return Layers.of_trellis(space, space.layered(("W8A8",)).trellis)


@pytest.fixture
def table_cost(macro):
    rng = np.random.default_rng(5)
    return AdditiveCost(macro, 1e-3 * rng.random(macro.shape), 2e-3, "toy")


def everything(layers):
    """(n, l) all architectures that the mask leaves."""
    grids = np.meshgrid(*(np.flatnonzero(m) for m in layers.mask), indexing="ij")
    return np.stack([g.ravel() for g in grids], axis=1)


@pytest.fixture(scope="session")
def enumerated():
    return everything


@pytest.fixture(scope="session")
def two_layers():
    return TwoLayers
