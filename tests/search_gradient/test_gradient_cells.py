"""The supernet of cells: a hard choice is the network of its code, all paths have a gradient, a search runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cofront.network.pytorch import to_torch
from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.supernet import SupernetTask, TensorBatches
from cofront.search.gradient.task import relaxed_choice
from cofront.space.darts import Darts, decode
from cofront.systems.eh_dnas import PAPER, CellLayers


@pytest.fixture(scope="module")
def made():
    space = Darts(channels=2, cells=3, side=8, classes=4)
    layers = CellLayers.of_choices(space)
    return space, layers, CellSupernet(space, layers)


def images(n, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn((n, 3, 8, 8), generator=g), torch.randint(0, 4, (n,), generator=g)


def test_a_hard_choice_is_the_network_of_its_code(made):
    space, layers, net = made
    x, _ = images(6, 0)
    for code in space.sample(np.random.default_rng(0), 3):
        alone, found = to_torch(space.network(code)), 0
        digits = code.reshape(2, -1)
        chosen = [net.operations[p.number][e][o] for p in net.places for e, o in enumerate(digits[int(p.reduces)]) if o]
        for module in (net.stem, net.head, *(m for fits in net.fits for m in fits), *chosen):
            for node in () if isinstance(module, torch.nn.Identity) else module.network.layers:
                alone.layer(node.name).load_state_dict(module.layer(node.name).state_dict())
                found += 1
        assert found == len(alone.network.layers)
        with torch.no_grad():
            assert torch.allclose(net(x, relaxed_choice(layers, code)), alone(x), atol=1e-5)


def test_every_operation_has_a_gradient(made):
    _, layers, net = made
    x, y = images(8, 1)
    weights = torch.full(layers.shape, 1 / 8, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(net(x, Relaxed(weights, weights)), y).backward()
    assert (weights.grad[:, 1:] != 0).all() and (weights.grad[:, 0] == 0).all()
    assert all(p.grad is not None for p in net.parameters())


def test_a_search_runs_and_ends_in_a_code(made):
    space, layers, _ = made
    net = CellSupernet(space, layers, seed=1)
    task = SupernetTask(layers, net, TensorBatches(*images(8, 2), 8), TensorBatches(*images(8, 3), 8))
    seconds = np.tile([0, 1, 1, 1, 4, 5, 2, 3], (28, 1)) * 1e-3
    recipe = replace(PAPER, epochs=1, arch_rate=0.1)
    found = GradientSearch(task, AdditiveCost(layers, seconds), Weighted(1.0), recipe).run()
    assert np.array_equal(space.canonical(found.choice)[0], found.choice)
    assert len(decode(found.choice).normal) == 8 and np.isfinite(found.loss)


def test_the_first_operator_that_is_not_finite_is_named(made):
    space, layers, _ = made
    net = CellSupernet(space, layers)
    x, _ = images(4, 4)
    weights = torch.full(layers.shape, 1 / 8, dtype=torch.float64)
    assert net.first_bad(x, Relaxed(weights, weights)) == ""
    with torch.no_grad():
        next(net.operations[1][3][5].parameters()).fill_(float("nan"))
    assert net.first_bad(x, Relaxed(weights, weights)) == "reduce1_1=sep_conv_5x5"
    assert net.first_bad(x * float("nan"), Relaxed(weights, weights)) == "the batch of images"
