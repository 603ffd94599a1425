"""The differentiable systems on one footing: presets, costs on devices, and the exact judge of what a supernet says."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cofront import space as spaces
from cofront.api.differentiable import CHIP, medians, middle, priced
from cofront.errors import UnsupportedError, UsageError
from cofront.search.gradient.cost import AdditiveCost
from cofront.systems import learnt, presets
from cofront.systems.judging import fit_judge
from cofront.systems.supernets import layers_of


@pytest.fixture(scope="module")
def small():
    space = spaces.load("fbnet@cifar10-small")
    layers, layered = layers_of(space)
    return space, layers, layered


@pytest.fixture(scope="module")
def on_fpga(small):
    return priced(*small, "zu3eg", None, None)


@pytest.mark.parametrize("name", presets.SYSTEMS)
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_presets_name_spaces_with_supernets(name, preset):
    known = presets.system(name).preset(preset)
    space = spaces.load(known.space)
    layers, _ = layers_of(space)
    assert layers.n_networks > 1e6
    assert 0 < known.weights < 1


def test_unknown_names():
    with pytest.raises(UsageError, match=r"no system named .fbnett.*fbnet"):
        presets.system("fbnett")
    with pytest.raises(UsageError, match=r"no preset named .tiny.*small"):
        presets.system("fbnet").preset("tiny")
    assert presets.system("light_nas") is presets.SYSTEMS["light-nas"]


def test_the_fpga_cost_is_the_accelerators(small, on_fpga):
    """A network's sum over options is what the accelerator's own cost model says of the network."""
    from cofront.device import load
    from cofront.hardware.subgraph import SUBGRAPH

    space, _, _ = small
    cost = on_fpga.cost
    part = load("zu3eg")
    config = SUBGRAPH.config(on_fpga.config)
    for choice in cost.layers.sample(np.random.default_rng(0), 5):
        network = space.network(cost.layers.points(choice)[0])
        whole = SUBGRAPH.estimate(network, part, config)
        assert whole.latency_s == pytest.approx(float(cost.of(choice)[0]), abs=20e-9)  # options are rounded to 1 ns


def test_the_middle_network_has_every_layers_median(small):
    space, layers, layered = small
    choice = medians(layers, layered)
    each = layered.per_edge([f.macs for f in layered.fragments])
    for mask, edges, o in zip(layers.mask, layers.edges, choice, strict=True):
        macs = each[edges[mask]]
        assert (macs < each[edges[o]]).sum() <= len(macs) // 2 <= (macs <= each[edges[o]]).sum()
    assert middle(layers, layered).macs == space.network(layers.points(choice)[0]).macs


def test_devices_that_a_space_cannot_have(small):
    nasa = spaces.load("nasa@add_all-cifar10-small")
    parts = nasa, *layers_of(nasa)
    with pytest.raises(UnsupportedError, match=f"shifts or adders.*--device {CHIP}"):
        priced(*parts, "zu3eg", None, None)
    with pytest.raises(UsageError, match="chip of NASA's spaces"):
        priced(*small, CHIP, None, None)
    with pytest.raises(UsageError, match="measure it first"):
        priced(*small, "host", None, None)
    with pytest.raises(UsageError, match=r"no device named .zu3e.*zu3eg"):
        priced(*small, "zu3e", None, None)
    cost = priced(*parts, CHIP, None, None).cost
    low, high = cost.bounds()
    assert 0 < low < high < 1


def test_a_missing_or_impossible_target_names_both_bounds(on_fpga):
    with pytest.raises(UsageError, match=r"light-nas searches for a target: give --target, from .*ms to .*ms"):
        presets.check_request(presets.system("light-nas"), on_fpga.cost, None)
    with pytest.raises(UsageError, match=r"below the fastest network.*choose one from"):
        presets.check_request(presets.system("fbnet"), on_fpga.cost, 1e-6)


def test_spaces_without_layers_are_refused():
    with pytest.raises(UsageError, match=r"no chain of layers.*take fbnet"):
        layers_of(spaces.load("nasbench201"))


def test_the_judge_is_exact(small, on_fpga):
    """The front of the additive model is the brute-force one, and its accuracies are the model's."""
    _, layers, _ = small
    allowed = np.zeros(layers.shape, bool)
    for i, row in enumerate(layers.mask):
        allowed[i, np.flatnonzero(row)[: 3 if i < 5 else 1]] = True
    cut = on_fpga.cost.layers.restrict(allowed)
    cost = AdditiveCost(cut, on_fpga.cost.table_s, on_fpga.cost.constant_s, "cut")
    rng = np.random.default_rng(0)
    choices = cut.sample(rng, 60)
    table = rng.normal(0, 0.01, cut.shape)
    accuracy = 0.6 + table[np.arange(8), choices].sum(1) + rng.normal(0, 1e-4, 60)
    judged = fit_judge(cut, cost, choices, accuracy)
    assert judged.spearman > 0.95
    assert np.abs(judged.predict(choices) - accuracy).max() < 0.01
    every = np.array(list(itertools.product(*(np.flatnonzero(m) for m in cut.mask))))
    seconds, value = cost.of(every), judged.predict(every)
    for limit in np.quantile(seconds, [0.1, 0.5, 0.9]):
        best = value[seconds <= limit + 1e-12].max()
        assert judged.best_within(limit) == pytest.approx(best, abs=1e-5)
        choice = judged.front.within(limit).choice
        assert judged.regret(choice, limit) == pytest.approx(0.0, abs=2e-5)


def test_a_learnt_throughput_leaves_the_judge_in_place(small, on_fpga):
    cost = learnt.LearntThroughput(on_fpga.cost.layers, on_fpga.cost, 0, (600, 100, 100))
    choice = cost.layers.sample(np.random.default_rng(1), 3)
    assert np.array_equal(cost.of(choice), on_fpga.cost.of(choice))
    assert learnt.additive_of(cost) is on_fpga.cost
    assert "other networks" in cost.note and cost.held.n >= 90


def test_a_shortened_recipe_ends_as_cold():
    for known in presets.SYSTEMS.values():
        paper = known.paper.recipe
        short = paper.shortened(9)
        assert short.epochs == 9 and short.freeze < 9
        assert short.temperature.at(9) == pytest.approx(paper.temperature.at(paper.epochs), rel=1e-6)
        assert replace(short, epochs=paper.epochs).arch_rate == paper.arch_rate
