"""The stacked supernet of cells computes what the plain one computes, and so do its gradients."""

import numpy as np
import pytest
import torch

from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.stacked import Kernels, StackedCells
from cofront.search.gradient.task import relaxed_choice
from cofront.space.darts import Darts
from cofront.systems.eh_dnas import CellLayers


def images(n, seed, side=8):
    g = torch.Generator().manual_seed(seed)
    return torch.randn((n, 3, side, side), generator=g), torch.randint(0, 4, (n,), generator=g)


def relaxed(layers, seed):
    logits = torch.randn(layers.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits.requires_grad_()
    weights = torch.softmax(logits, 1)
    return logits, Relaxed(weights, weights)


def moved(space, seed):
    """A supernet whose batch norms are not the identity."""
    net = CellSupernet(space, CellLayers.of_choices(space), seed)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" in name:
                p.add_(0.3 * torch.randn(p.shape, generator=g))
    return net


@pytest.mark.parametrize("lanes", [1, 8])
def test_logits_and_gradients_are_those_of_the_plain_supernet(lanes):
    space = Darts(channels=2, cells=4, side=8, classes=4)
    plain = moved(space, 1)
    stacked = StackedCells(plain, Kernels(lanes=lanes))
    x, y = images(6, 2)
    found = []
    for net in (plain, stacked):
        logits, choice = relaxed(plain.layers, 3)
        out = net(x, choice)
        torch.nn.functional.cross_entropy(out, y).backward()
        found.append((out, logits.grad))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-4)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4 * float(found[0][1].abs().max()))
    seen = 0
    pairs = [(f.stacked(plain, lambda p: p.grad), f) for fans in stacked.fans for f in fans]
    pairs.append((StackedCells.ends_of(plain, lambda p: p.grad), stacked.ends))
    for expected, module in pairs:
        mine = dict(module.named_parameters())
        assert set(mine) == set(expected)
        for name, g in expected.items():
            assert torch.allclose(mine[name].grad, g, rtol=1e-4, atol=1e-4 * float(g.abs().max())), name
            seen += g.numel()
    assert seen == sum(p.numel() for p in plain.parameters())


def test_a_hard_choice_is_that_of_the_plain_supernet():
    space = Darts(channels=2, cells=3, side=8, classes=4)
    plain = moved(space, 4)
    stacked = StackedCells(plain)
    x, _ = images(4, 5)
    code = space.sample(np.random.default_rng(0), 1)[0]
    choice = relaxed_choice(plain.layers, code)
    with torch.no_grad():
        assert torch.allclose(plain(x, choice), stacked(x, choice), atol=1e-4)


def test_the_stack_that_is_not_finite_is_named():
    space = Darts(channels=2, cells=3, side=8, classes=4)
    stacked = StackedCells(CellSupernet(space, CellLayers.of_choices(space)))
    x, _ = images(4, 6)
    _, choice = relaxed(stacked.layers, 7)
    assert stacked.first_bad(x, choice) == ""
    with torch.no_grad():
        stacked.fans[1][3].depthwise3[0] = float("nan")
    assert stacked.first_bad(x, choice) == "one of cell 1 that reads its tensor 3"
    assert stacked.first_bad(x * float("nan"), choice) == "the batch of images"
