"""The judge against brute force, and polish, which never does worse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.exact import exact_front
from cofront.search.gradient.polish import certified, polish
from cofront.search.gradient.recipe import Learned
from cofront.search.gradient.task import Tabular, swap_losses
from cofront.space import load

SPACE = load("nasbench_macro")
MACRO = Layers.of_trellis(SPACE, SPACE.layered(("W8A8",)).trellis)


def instance(seed: int, pairs: bool):
    """A table of losses and costs on a few of the networks."""
    rng = np.random.default_rng(seed)
    allowed = rng.random(MACRO.shape) < 0.6
    allowed[:, 0] |= ~allowed.any(axis=1)
    allowed[0] = True
    layers = MACRO.restrict(allowed)
    l, o = layers.shape
    unary = rng.integers(0, 9, (l, o)) / 8
    pair = rng.integers(-4, 5, (l - 1, o, o)) / 8 if pairs else None
    task = Tabular(layers, unary, pair, constant=0.5)
    return task, AdditiveCost(layers, rng.integers(0, 12, (l, o)) * 1e-4, 1e-3, "toy"), rng


def learned(task, cost, rng) -> Learned:
    logits = np.where(task.layers.mask, 3 * rng.standard_normal(task.layers.shape), -np.inf)
    choice = logits.argmax(axis=1)
    point = task.layers.points(choice)[0]
    return Learned(logits, choice, point, float(cost.of(choice)[0]), task.evaluate(choice), (), 0, 0.0, 0.0)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40)
def test_the_front_is_that_of_brute_force(seed, pairs):
    task, cost, _ = instance(seed, pairs)
    every = np.stack([g.ravel() for g in np.meshgrid(*map(np.flatnonzero, task.layers.mask), indexing="ij")], axis=1)
    latency, loss = cost.of(every), task.losses(every)
    front = certified(task, cost)
    for i in range(len(front)):
        choice = front.choice(i)
        assert cost.of(choice)[0] == pytest.approx(front.latency_s[i], abs=1e-12)
        assert task.evaluate(choice) == pytest.approx(front.loss[i], abs=1e-9)
        assert front.loss[i] == pytest.approx(loss[latency <= front.latency_s[i] + 1e-12].min(), abs=1e-9)
    for limit in np.quantile(latency, [0.0, 0.3, 1.0]):
        assert front.within(limit).loss == pytest.approx(loss[latency <= limit + 1e-12].min(), abs=1e-9)
    with pytest.raises(UsageError, match=r"no network is as fast as .* ms: the fastest needs"):
        front.within(0.5 * latency.min())


@given(st.integers(0, 10_000), st.booleans(), st.floats(0.0, 1.0))
@settings(max_examples=40)
def test_polish_is_never_worse_and_within_the_limit(seed, pairs, where):
    task, cost, rng = instance(seed, pairs)
    run = learned(task, cost, rng)
    same = polish(task, cost, run)
    assert same.latency_s <= run.latency_s + 1e-12 and same.loss <= run.loss and same.gain >= 0
    fastest, slowest = cost.bounds()
    limit = fastest + where * (slowest - fastest)
    found = polish(task, cost, run, limit)
    assert found.latency_s <= limit + 0.6e-9
    best = certified(task, cost).within(limit)
    assert found.loss >= best.loss - 1e-9
    if not pairs:  # then exchanges tell the whole truth
        assert found.loss == pytest.approx(best.loss, abs=1e-9)
        assert same.loss == pytest.approx(certified(task, cost).within(run.latency_s).loss, abs=1e-9)


def test_log_probabilities_alone_return_the_most_likely_network_at_its_own_latency():
    for seed in range(10):
        task, cost, rng = instance(seed, False)
        run = learned(task, cost, rng)
        found = polish(task, cost, run, swaps=False)
        assert np.array_equal(found.choice, run.choice) and found.evaluations == 1


def test_exchanges_of_an_additive_task_are_its_table():
    task, cost, rng = instance(3, False)
    centre = learned(task, cost, rng).choice
    table = swap_losses(task, centre)
    offset = table - task.unary
    for i, row in enumerate(task.layers.mask):
        assert np.ptp(offset[i][row]) < 1e-12 and np.isnan(table[i][~row]).all()


def test_what_the_judge_refuses():
    with pytest.raises(InputError, match="losses must be finite"):
        exact_front(MACRO, np.zeros(MACRO.shape, np.int64), np.full(MACRO.shape, np.nan))
    task, cost, rng = instance(0, False)

    class Other:
        name = "phone"

    with pytest.raises(UsageError, match="device 'phone' has none: fit one with fit_surrogate"):
        polish(task, Other(), learned(task, cost, rng))
