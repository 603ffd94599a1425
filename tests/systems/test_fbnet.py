"""FBNet: the published networks on the operator tables, the loss's gradient, searches of a table."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cofront.hardware.tables.hwnas import DEVICES
from cofront.network.zoo.fbnet import UNITS
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import LogLatency
from cofront.search.gradient.polish import certified
from cofront.search.gradient.task import Tabular
from cofront.space.fbnet import FBNet
from cofront.systems.claims import claims_table
from cofront.systems.fbnet import (
    PAPER,
    SUMS_MS,
    TABLE,
    FBNetSearch,
    capacity,
    claim_sums,
    device_cost,
    gradient_error,
    lagrangian,
    layers_of,
    published_point,
    published_sums,
    search_weighted,
    stand_in,
    transfers,
    weight_at,
)

LOOKUP = Path(os.environ.get("COFRONT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fbnet_op_lookup.json"
needs_tables = pytest.mark.skipif(not LOOKUP.is_file(), reason="fbnet_op_lookup.json is not at hand")


@pytest.fixture(scope="module")
def made():
    return layers_of(FBNet())


def toy_cost(layers, seed=0) -> AdditiveCost:
    return AdditiveCost(layers, 1e-3 * np.random.default_rng(seed).random(layers.shape), 5e-3, f"toy{seed}")


@needs_tables
def test_the_sums_of_the_published_networks_to_the_printed_digits():
    sums = published_sums(LOOKUP)
    assert set(sums) == set(SUMS_MS) == set(DEVICES)
    for device, printed in SUMS_MS.items():
        assert [f"{1e3 * v:.2f}" for v in sums[device]] == [f"{v:.2f}" for v in printed]
    table = claims_table(claim_sums(sums))
    assert "| FBNet-A/B/C on fpga, ms | 68.97/83.45/110.84 | 68.97/83.45/110.84 |" in table


@needs_tables
def test_a_table_as_a_cost_is_the_table(made):
    layers, layered = made
    cost = device_cost(LOOKUP, "edgegpu", layers, layered)
    space = layers.space
    points = published_point(space, "b")
    assert cost.of(points[:, :22])[0] == pytest.approx(published_sums(LOOKUP)["edgegpu"][1], abs=2e-8)


def test_published_points_have_the_published_units():
    space = FBNet()
    for variant, units in UNITS.items():
        names = [space.ops[o] for o in published_point(space, variant)[0, :22]]
        assert [n == "skip" for n in names] == [u == "-" for u in units.split()]
    assert space.ops[published_point(space, "a")[0, 11]] == "k5_e1_g2"


def test_layers_skip_only_where_it_is_the_identity(made):
    layers, _ = made
    same = [p.same_shape for p in layers.space.places]
    assert layers.mask[:, 8].tolist() == same and layers.mask[:, :8].all()
    assert layers.n_networks == 9 ** sum(same) * 8 ** (22 - sum(same))


def test_the_gradient_is_the_finite_difference(made):
    layers, layered = made
    assert gradient_error(stand_in(layers, layered), toy_cost(layers), LogLatency()) < 1e-3


def test_a_constant_loss_gives_the_fastest_operators(made):
    layers, _ = made
    rng = np.random.default_rng(1)
    table = np.stack([rng.permutation(9) for _ in range(22)]) * 1e-3  # well apart
    cost = AdditiveCost(layers, table, 5e-3, "toy")
    recipe = replace(TABLE, epochs=60, arch_rate=0.05, arch_decay=0.0)
    found = GradientSearch(Tabular(layers, np.zeros(layers.shape), constant=2.0, batches=8), cost, LogLatency(), recipe)
    assert np.array_equal(found.run().choice, np.where(layers.mask, table, np.inf).argmin(axis=1))


def test_the_recipe_is_the_papers():
    assert (PAPER.epochs, PAPER.freeze, PAPER.relaxation) == (90, 10, "gumbel")
    assert PAPER.temperature.at(1) / PAPER.temperature.at(0) == pytest.approx(0.956, abs=1e-3)
    assert FBNetSearch.alpha == 0.2 and FBNetSearch.beta == 0.6


def test_the_stand_in_is_lowest_for_the_largest_network(made):
    layers, layered = made
    task = stand_in(layers, layered, spread=0.3)
    largest = np.where(layers.mask, capacity(layers, layered), -1).argmax(axis=1)
    assert task.evaluate(largest) == pytest.approx(1.0)
    assert task.losses(layers.sample(np.random.default_rng(0), 50)).min() >= 1.0
    assert set(largest.tolist()) == {7}  # k5 at expansion 6


def test_weighted_searches_lie_near_the_front_and_transfers_cost(made):
    layers, layered = made
    base = stand_in(layers, layered)
    task = Tabular(layers, base.unary, constant=1.0, batches=5)
    costs = {"a": toy_cost(layers, 1), "b": toy_cost(layers, 2)}
    recipe = replace(TABLE, epochs=30, arch_rate=0.05)
    found = {}
    for d, cost in costs.items():
        front = certified(task, cost)
        weight = weight_at(front, 1.05)
        loss = front.loss[(front.loss + weight * front.latency_s).argmin()]
        assert loss <= 1.05 < front.loss[(front.loss + 1.01 * weight * front.latency_s).argmin()] + 0.02
        found[d] = search_weighted(task, cost, weight, recipe)
        assert found[d].loss + weight * found[d].latency_s <= 1.05 * lagrangian(front, weight)
    rows = transfers(task, costs, found)
    assert [(t.source, t.target) for t in rows] == [("a", "b"), ("b", "a")]
    assert all(t.exact >= 1.0 for t in rows) and max(t.exact for t in rows) > 1.05
    assert np.sign(rows[0].loss_gap) == np.sign(found["b"].loss - found["a"].loss) == -np.sign(rows[1].loss_gap)
