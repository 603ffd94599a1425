"""NASA's search: its costs against the networks', its twins, one short run on the chip."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cofront import registry
from cofront.errors import UsageError
from cofront.hardware.nasa import Config, Silicon, evaluate_network
from cofront.network import Conv2d
from cofront.search.gradient.polish import certified
from cofront.space.nasa import Nasa
from cofront.systems import nasa
from cofront.systems.claims import claims_table
from cofront.systems.fbnet import stand_in


def small(which: str = "add_all") -> Nasa:
    """The first eight layers, two of which may have adders."""
    space = Nasa(which)
    space.places = space.places[:8]
    return space


def test_registered() -> None:
    assert registry.load("system", "nasa") is nasa.NasaSearch
    assert registry.load("space", "nasa") is Nasa


def test_operations_weigh_what_they_are_said_to() -> None:
    space = small()
    layers, layered = nasa.layers_of(space)
    cost = nasa.operations_cost(layers, layered)
    choices = layers.sample(np.random.default_rng(0), 4)
    for choice, got in zip(choices, cost.of(choices), strict=True):
        network = space.network(layers.points(choice)[0])
        assert got == pytest.approx(1e-9 * nasa.weighted_operations(network), abs=1e-7)
    names = space.choices[4].options
    points = np.zeros((3, 8), np.int64)
    points[:, 4] = [names.index(f"{k}_k3_e6") for k in ("conv", "shift", "adder")]
    whole, shift, adder = (nasa.weighted_operations(space.network(p)) for p in points)
    assert (whole - shift) / (whole - adder) == pytest.approx((1 - 1 / 8) / (1 - 1 / 5))


def test_the_chips_cost_is_that_of_its_networks() -> None:
    space, config = small(), Config(100, 60, 60, 60000, 30000, 30000)
    layers, layered = nasa.layers_of(space)
    few = np.zeros(layers.shape, bool)
    few[:, :3] = few[:, -1] = True
    few[3:5, [7, 13]] = True
    layers = layers.restrict(few & layers.mask)
    layered = replace(layered, fragments=_needed(layers, layered))
    cost = nasa.chip_cost(layers, layered, config)
    for choice in layers.sample(np.random.default_rng(1), 2):
        found = evaluate_network(space.network(layers.points(choice)[0]), config)
        assert cost.of(choice)[0] == pytest.approx(found.latency_s, abs=2e-8)
    task = stand_in(layers, layered, spread=1.0)
    recipe = replace(nasa.PAPER, epochs=30, arch_rate=0.05)
    learned = nasa.NasaSearch(task, cost, 100.0, recipe).run()
    best = certified(task, cost).within(learned.latency_s)
    assert best.loss <= learned.loss + 1e-9
    lightest = nasa.NasaSearch(task, cost, 1e6, recipe).run()
    assert lightest.latency_s < learned.latency_s or lightest.latency_s == pytest.approx(cost.bounds()[0], rel=0.2)
    with pytest.raises(UsageError, match="the arrays cannot run 'stem': clp of 'stem'"):
        nasa.chip_cost(layers, layered, Config(0, 60, 60, 0, 30000, 30000))


def _needed(layers, layered):
    """The fragments of the allowed options; others in the place of the rest, so that nothing else is mapped."""
    used = {int(layered.edge_fragment[e]) for e in layers.edges[layers.mask]} | {
        int(layered.edge_fragment[e]) for e in layers.fixed
    }
    first = layered.fragments[int(layered.edge_fragment[layers.fixed[0]])]
    return [layered.fragments[i] if i in used else first for i in range(len(layered.fragments))]


def test_the_published_schedule() -> None:
    recipe = nasa.PAPER
    assert recipe.temperature.at(0) == 5.0 and recipe.temperature.at(10) == pytest.approx(5 * 0.975**10)
    assert (recipe.relaxation, recipe.arch_rate, recipe.arch_betas) == ("top-2", 3e-4, (0.5, 0.999))
    assert math.isclose(recipe.temperature.at(89), 5 * 0.975**89)


def test_twins_are_the_same_units_of_convolutions() -> None:
    space = Nasa()
    rng = np.random.default_rng(0)
    for point in space.sample(rng, 3):
        plain = space.network(nasa.twin(space, point))
        assert {type(n.op) for n in plain.layers if n.block != "head"} == {Conv2d}
        assert plain.macs == space.network(point).macs
    with pytest.raises(UsageError, match="has no convolution in the place of shift_k3_e1"):
        nasa.twin(Nasa("no_conv"), np.zeros(22, np.int64))


def test_hybrid_beside_its_twin() -> None:
    space, silicon = small(), Silicon()
    points = space.sample(np.random.default_rng(2), 2)
    found = nasa.versus(space, points, silicon)
    for v in found:
        assert v.convolutions.config.slp == v.convolutions.config.alp == 0
        assert all(e.cost().feasible for e in (v.hybrid, v.convolutions))
        assert v.operations_energy < 1
        parts = v.hybrid.energy_j * v.hybrid.interval_s, v.convolutions.energy_j * v.convolutions.interval_s
        assert v.pipelined == pytest.approx(parts[0] / parts[1])
    table = claims_table(nasa.claim_edp(found, "add_all", "two networks"))
    assert "images in succession" in table and "up to 65.1 %" in table


def test_a_chip_too_small_is_named() -> None:
    tiny = Silicon(elements_um2=100)
    with pytest.raises(UsageError, match="give the arrays more area"):
        nasa.versus(small(), np.zeros((1, 8), np.int64), tiny)


def test_the_search_runs_on_the_supernet() -> None:
    """Two paths a layer through shared weights, both splits, costs in weighted operations."""
    torch = pytest.importorskip("torch")
    from cofront.search.gradient.supernet import SupernetTask, TensorBatches
    from cofront.task.hybrid_supernet import HybridSupernet

    space = small()
    layers, layered = nasa.layers_of(space)
    net = HybridSupernet(space.places, [space.operators(p) for p in space.places], (16, 32), 10, seed=0)
    assert [tuple(o.name.partition("=")[2] for o in options) for options in layers.layers] == list(net.operators)
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn((16, 3, 8, 8), generator=g), torch.randint(0, 10, (16,), generator=g)
    task = SupernetTask(layers, net, TensorBatches(x, y, 8), TensorBatches(x, y, 8), judged=16)
    recipe = replace(nasa.PAPER, epochs=2, weight_rate=0.01)
    before = [p.detach().clone() for p in net.parameters()]
    found = nasa.NasaSearch(task, nasa.operations_cost(layers, layered), recipe=recipe).run()
    assert found.steps == 8 and math.isfinite(found.loss)
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert found.point.shape == (8,)
