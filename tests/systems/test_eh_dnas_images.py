"""The supernet of cells in bfloat16 with the C kernels sees the architecture as the plain one in float32 does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cofront.device import load as load_device
from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.stacked import StackedCells
from cofront.search.gradient.throughput import Training, fit_throughput
from cofront.space.darts import Darts
from cofront.systems.eh_dnas import PAPER, CellLayers, Labeller, label
from cofront.systems.eh_dnas_images import cells_task, kernels


def test_gradients_of_the_architecture_agree_in_both_precisions():
    how = kernels()
    if how.dtype != torch.bfloat16:
        pytest.skip("no bfloat16 kernels here")
    space = Darts(channels=8, cells=3, side=8)
    plain = CellSupernet(space, CellLayers.of_choices(space))
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn((32, 3, 8, 8), generator=g), torch.randint(0, 10, (32,), generator=g)
    found = []
    for net in (plain, StackedCells(plain, how)):
        weights = torch.full(plain.layers.shape, 1 / 8, dtype=torch.float64, requires_grad=True)
        out = net(x, Relaxed(weights, weights))
        torch.nn.functional.cross_entropy(out, y).backward()
        found.append((out.detach(), weights.grad))
    assert float((found[0][0] - found[1][0]).abs().max()) < 0.05 * float(found[0][0].abs().max())
    assert float(torch.cosine_similarity(*(f[1].flatten() for f in found), dim=0)) > 0.99


def test_a_search_on_images_goes_on_from_its_checkpoint(tmp_path):
    space = Darts(channels=2, cells=3, side=8)
    layers, labeller = CellLayers.of_choices(space), Labeller.of(space)
    labels = label(labeller, "generic", load_device("zu9eg"), (200, 50, 50))
    cost, _ = fit_throughput(layers, labels.train, labels.valid, "generic", training=Training(epochs=1))
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (2, 16, 8, 8, 3)).astype(np.uint8), rng.integers(0, 10, (2, 16))
    splits = [(data[0][i], data[1][i]) for i in range(2)]
    recipe, ends = replace(PAPER, epochs=2, arch_rate=0.1), []
    for stops in ((8,), (3, 8)):
        for step in stops:
            task = cells_task(space, layers, *splits, batch=8, seed=1)
            objective = Weighted(0.3, unit_s=1 / cost.mean)
            search = GradientSearch(task, cost, objective, recipe, tmp_path / f"{len(stops)}.safetensors")
            search.resume()
            learned = search.run(step)
        ends.append(learned)
    assert ends[0].steps == ends[1].steps == 8
    assert np.array_equal(ends[0].logits, ends[1].logits)
