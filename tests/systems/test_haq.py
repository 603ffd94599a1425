"""HAQ: bits of actions, the wall, rewards, and a search that can be stopped and goes on the same."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.hardware.bit_serial import read_haq_table
from cofront.network.zoo import load
from cofront.search.policy.ddpg import DdpgRecipe
from cofront.systems.haq import HaqSearch, budget_wall, claim_wall, features, random_policies

DATA = Path(os.environ.get("COFRONT_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_table = pytest.mark.skipif(
    not (DATA / "haq_mobilenetv2_latency.npy").is_file(), reason="haq_mobilenetv2_latency.npy is not at hand"
)
SIZE = np.array([5, 3, 2])
RECIPE = DdpgRecipe(hidden=(16, 16), warmup=4, batch=16)


def made(**change) -> HaqSearch:
    """Three layers whose accuracy rises with bits, most in the smallest."""
    layers = np.column_stack([np.zeros(3), SIZE, SIZE, np.ones(3), np.ones(3), SIZE, np.ones(3), np.arange(3)])
    given = dict(
        layers=layers, cost=lambda b: float(b @ SIZE), evaluate=lambda b: float(1 - (2.0**-b / SIZE).sum()),
        limit=30.0, accuracy=1.0, mode="kmeans", episodes=25, recipe=RECIPE, seed=1,
    )  # fmt: skip
    return HaqSearch(**{**given, **change})


def test_actions_become_bits_in_equal_shares():
    kmeans = made()
    assert kmeans.of_actions(np.array([0.0, 0.5, 1.0])).tolist() == [1, 4, 8]
    bits = made().of_actions(np.linspace(0, 1, 8001)[None].repeat(3, 0).ravel()[:3])
    assert bits.min() >= 1
    linear = made(mode="linear", cost=lambda b: float((b.prod(axis=1) * SIZE).sum()), limit=700.0)
    assert linear.of_actions(np.array([0.0, 1.0, 0.2, 0.5, 1.0, 0.99])).tolist() == [[2, 8], [3, 5], [8, 8]]
    share = np.bincount([int(made().of_actions(np.full(3, x))[0]) for x in np.arange(0.0005, 1, 0.001)])
    assert share[1:].max() - share[1:].min() <= 1


def test_pinned_layers_keep_their_bits():
    start = np.array([[8, -1], [8, 8], [8, 8]])
    cost = lambda b: float((b[:, 0] * SIZE).sum())  # noqa: E731
    search = made(mode="linear", cost=cost, limit=68.0, start=start, pinned=(0, 2))
    got = search.wall(search.of_actions(np.full(6, 1.0)))
    # 80 at 8 bits, 12 too many: 4 bits of 3 weights each, an input's bit before each
    assert got.tolist() == [[8, -1], [4, 4], [8, 8]]


@given(st.lists(st.integers(2, 8), min_size=6, max_size=6), st.floats(0, 800))
def test_the_wall_keeps_the_budget_or_ends_at_the_fewest(bits, limit):
    start = np.array(bits).reshape(3, 2)
    cost = lambda b: float((b.prod(axis=1) * SIZE).sum())  # noqa: E731
    got = budget_wall(start, cost, limit, 2)
    assert cost(got) <= limit or (got == 2).all()
    assert (got <= start).all() and (got >= 2).all()
    if cost(start) <= limit:
        assert (got == start).all()
    assert start.ravel().tolist() == bits  # not changed in place


@needs_table
def test_the_wall_gives_the_printed_ratios_on_haqs_table():
    table = read_haq_table(DATA / "haq_mobilenetv2_latency.npy")
    start = np.full((53, 2), 8)
    start[0, 1] = -1
    ratios = {}
    for share, sweeps in ((0.6, 3), (0.4, 5)):
        got = budget_wall(start, lambda b: float(table.cost(b)[0]), share * table.base, 2, (0, 52))
        ratios[share] = float(table.ratio(got)[0])
        assert 8 - got[1:52].min() == sweeps
    assert {k: round(v, 4) for k, v in ratios.items()} == {0.6: 0.5920, 0.4: 0.3985}
    assert [(c.paper, c.ours) for c in claim_wall(ratios)] == [(".5920", ".5920"), (".3985", ".3985")]


@needs_table
def test_no_policy_exceeds_haqs_budget_unless_at_the_fewest():
    table = read_haq_table(DATA / "haq_mobilenetv2_latency.npy")
    rng, limit = np.random.default_rng(0), 0.25 * table.base
    for _ in range(60):
        bits = rng.integers(2, 9, (53, 2))
        bits[[0, 52]] = [[8, -1], [8, 8]]
        got = budget_wall(bits, lambda b: float(table.cost(b)[0]), limit, 2, (0, 52))
        assert table.cost(got)[0] <= limit or (got[1:52] == 2).all()


def test_states_are_scaled_and_tell_weights_from_inputs():
    network = load("mobilenetv2")
    layers = features(network)
    assert layers.shape == (53, 8)
    assert layers[1].tolist() == [1, 32, 32, 1, 3, 288, 112 * 112, 1]
    assert layers[52].tolist() == [0, 1280, 1000, 0, 1, 1_280_000, 1, 52]
    cost = lambda b: float(b.sum())  # noqa: E731
    search = HaqSearch(layers, cost, lambda b: 0.5, 500.0, 0.6)
    states = search.states()
    assert states.shape == (106, 10)
    assert states.min() == 0 and states.max() == 1
    assert states[:4, 9].tolist() == [1, 0, 1, 0]
    assert made().states().shape == (3, 10)


def test_a_search_keeps_its_budget_and_is_rewarded_as_published():
    search = made()
    heard = []
    found = search.run(on_progress=heard.append)
    assert len(found.history) == 25 and heard == list(found.history) and not found.stopped
    for e in found.history:
        assert e.cost == float(np.array(e.bits) @ SIZE) <= 30
        assert e.reward == pytest.approx(0.1 * 100 * (e.accuracy - 1.0))
    assert found.best.reward == max(e.reward for e in found.history) == found.history[-1].best_reward
    assert found.bits.shape == (3,)
    assert search.run().history == found.history
    assert replace(search, seed=2).run().history != found.history
    assert random_policies(search, 10).best.cost <= 30


def test_a_stopped_search_goes_on_as_if_it_had_not(tmp_path):
    search, file = made(), tmp_path / "haq.safetensors"
    whole = search.run()
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        return count > 13

    part = search.run(file, should_stop=stop)
    assert part.stopped and len(part.history) == 13
    assert search.run(file).history == whole.history
    with pytest.raises(UsageError, match="is of another search"):
        replace(search, seed=5).run(file)
    file.write_bytes(b"no")
    with pytest.raises(InputError, match="is not a checkpoint of a HAQ search"):
        search.run(file)


def test_no_search_beats_exhaustion_on_three_layers():
    search = made(episodes=40)
    every = [np.array(b) + 1 for b in np.ndindex(8, 8, 8)]
    best = max(search.evaluate(b) for b in every if b @ SIZE <= 30)
    assert 0.9 * best < search.run().best.accuracy <= best


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(UsageError, match="the limit 5 is below the cost of the fewest bits: allow at least 10"):
        made(limit=5.0)
    with pytest.raises(UsageError, match="mode is linear or kmeans, got 'cubic'"):
        made(mode="cubic")
    with pytest.raises(UsageError, match="expected bits from 1, the fewest first, got 4 to 2"):
        made(bits_range=(4, 2))
    with pytest.raises(UsageError, match="expected at least 1 episode, got 0"):
        made(episodes=0)
    with pytest.raises(UsageError, match=r"expected features of shape \(layers, 8\), got \(3,\)"):
        made(layers=np.zeros(3))
    with pytest.raises(KeyboardInterrupt):  # nothing was found to go on from
        made().run(should_stop=lambda: True)
