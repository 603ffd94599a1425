"""LightNAS: its space, the latency surface, a target hit in one run, the control."""

import os
from pathlib import Path

import numpy as np
import pytest

from cofront.errors import InputError, UsageError
from cofront.search.gradient.cost import AdditiveCost
from cofront.space.light_nas import LightNas
from cofront.systems.claims import claims_table
from cofront.systems.light_nas import (
    HIT_S,
    PAPER,
    PUBLISHED,
    LightNasSearch,
    Steps,
    claims,
    control_claims,
    fixed_weight,
    hit,
    layers_of,
    read_surface,
    stand_in,
)
from cofront.testing.spaces import SpaceConformance

FILE = Path(os.environ.get("COFRONT_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = FILE / "lightnas_jetson_predicted.parquet"
needs_table = pytest.mark.skipif(not FILE.is_file(), reason="lightnas_jetson_predicted.parquet is not at hand")


class TestLightNasSpace(SpaceConformance):
    make = LightNas


@pytest.fixture(scope="module")
def made():
    return layers_of(LightNas())


@pytest.fixture(scope="module")
def toy(made):
    """A latency of each operator that grows with its capacity, in steps like the Jetson's."""
    layers, _ = made
    base = np.array([0.6, 1.1, 0.75, 1.4, 0.9, 1.7, 0.0]) * 1e-3
    scale = np.random.default_rng(0).uniform(0.6, 1.5, (21, 1))
    return AdditiveCost(layers, base * scale, 3.7e-3, "toy")


def test_the_space_is_as_large_as_published(made):
    layers, _ = made
    assert layers.n_networks == 7**21
    space = layers.space
    network = space.network(np.zeros((1, len(space.sizes)), np.int64))
    assert network.shapes[network.output.name] == (1000,)
    assert space.places[-1].cout == 384 and space.places[-1].side == 7


def test_released_lists_are_read():
    space = LightNas()
    ops = [6, 0, 1, 4, 0, 2, 4, 1, 0, 5, 2, 5, 4, 2, 4, 6, 2, 4, 4, 1, 5]
    _, points = space.from_table({"op_idx_list": [ops]})
    assert points[0, :21].tolist() == ops
    with pytest.raises(InputError, match="row 0: expected 21 numbers from 0 to 6"):
        space.from_table({"op_idx_list": [[7] * 21]})


@needs_table
def test_the_surface_is_additive_and_says_its_error(made):
    layers, _ = made
    surface = read_surface(FILE, layers)
    assert surface.rows > 9000 and surface.held.rmse_s < 4e-5
    low, high = surface.cost.bounds()
    assert low < 6e-3 and high == pytest.approx(39.1e-3, abs=2e-4)
    assert "RMSE 0.015 ms" in str(surface.held)


def test_the_schedule_is_the_released_one():
    assert (PAPER.epochs, PAPER.freeze, PAPER.relaxation, PAPER.warm_all) == (90, 10, "single-path", True)
    assert PAPER.temperature.at(10) == 5.0 and PAPER.temperature.at(20) == pytest.approx(5 * np.exp(-1))
    assert PAPER.arch_betas == (0.5, 0.999) and PAPER.arch_halve == 20


def test_one_run_comes_near_its_target_and_is_judged(made, toy):
    layers, layered = made
    task = stand_in(layers, layered, batches=8)
    steps = Steps(batches=8, arch_rate=0.05, multiplier_rate=0.15)
    found = hit(task, toy, 18e-3, steps)
    assert found.miss_s < 1e-3  # a fifth of the steps that the benchmark takes
    assert found.regret >= -1e-4 and found.polished.latency_s <= 18e-3 + 1e-9
    assert found.polished_regret < 1e-4  # the stand-in is additive
    control = fixed_weight(task, toy, 18e-3, steps, most=1)
    assert control.runs == 1 and control.first_miss_s == control.miss_s
    surface = type("S", (), {"held": type("H", (), {"rmse_s": 1.5e-5, "n": 2000})(), "rows": 10000})()
    said = claims_table([*claims(surface, [found]), *control_claims([control])])
    assert said.count("\n") == 4 and "RMSE 0.015 ms" in said
    assert len(PUBLISHED) == 6 and HIT_S == 1.5e-4


def test_targets_out_of_reach_name_both_bounds(made, toy):
    layers, layered = made
    task = stand_in(layers, layered)
    for target, side in ((1e-3, "below the fastest"), (1.0, "above the slowest")):
        with pytest.raises(UsageError, match=rf"{side} network of device 'toy': choose one from 3\.7 to .* ms"):
            LightNasSearch(task, toy, target).run()
