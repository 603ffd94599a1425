"""LANA's selection and prices: exact against brute force, baselines within the budget, tables, and what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.hardware.tables import operator_key
from cofront.measure.models import as_float
from cofront.network import Builder
from cofront.network.weights import random_weights
from cofront.search.allocation.allocate import allocate
from cofront.search.allocation.baselines import greedy
from cofront.space.operators_of import OperatorsOf, units_of
from cofront.systems.lana_choose import LATENCY, names_of, problem_of, random_feasible
from cofront.systems.lana_prices import Prices, per_unit, tabled
from coloured import coloured

pytest.importorskip("torch")


def network(classes=4):
    b = Builder("net", (3, 12, 12))
    b.conv(8, 3, 2, act="relu", name="a")
    b.conv(12, 3, act="relu", name="b")
    b.conv(12, 3, act="relu", name="c")
    b.classifier(classes)
    return b.build()


def table(space, path, base=0.0):
    """A table of the space's operators: a second for each million of multiply-accumulates."""
    keys = {
        operator_key(as_float(f)): f.macs * 1e-6 + 1e-4 for o in space.operators for f in o.values() if f is not None
    }
    rows = ["operator,latency_s", *(f"{k},{v!r}" for k, v in keys.items())]
    if base:
        rows.append(f",{base!r}")
    path.write_text("\n".join(rows) + "\n")
    return path


@st.composite
def problems(draw):
    l, o = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    change = rng.normal(size=(l, o)).round(2)
    change[:, 0] = 0.0
    seconds = rng.uniform(0.1, 1.0, (l, o)).round(3)
    change[rng.random((l, o)) < 0.2] = np.nan
    change[:, 0] = 0.0
    return change, Prices(seconds, 0.05, "test", "")


@given(problems(), st.floats(0.3, 1.0))
@settings(max_examples=40)
def test_the_exact_choice_is_the_best_and_baselines_keep_the_budget(asked, share):
    change, prices = asked
    problem = problem_of(change, prices)
    limit = share * float(prices.seconds[:, 0].sum())
    every = np.array(list(itertools.product(*(np.flatnonzero(m) for m in problem.allowed))))
    fits = every[prices.of(every) - prices.base_s <= limit + 1e-12]
    found = allocate(problem, {LATENCY: limit})
    drawn = random_feasible(problem, limit, 5, np.random.default_rng(0))
    steps = greedy(problem, {LATENCY: limit})
    if not len(fits):
        assert not found.choice and not drawn and not steps.choice
        return
    best = np.nan_to_num(change)[np.arange(len(change)), fits].sum(axis=1).min()
    assert found.loss == pytest.approx(best, abs=1e-9)
    assert len(drawn) == 5
    kept = [*drawn, *([steps.array] if steps.choice else [])]
    for choice in kept:
        assert prices.of(choice)[0] <= limit + prices.base_s + 1e-9
        assert problem.losses(choice)[0] >= best - 1e-9
        assert problem.allowed[np.arange(len(choice)), choice].all()


def test_prices_of_a_table(tmp_path):
    space = OperatorsOf(units_of(network()), ("skip", "conv1", "narrow0.5", "dws3"))
    prices = tabled(space, table(space, tmp_path / "t.csv", base=0.01))
    assert prices.base_s == pytest.approx(0.01)
    rng = np.random.default_rng(0)
    for point in space.sample(rng, 10):
        parts = [space.operators[i][n] for i, n in enumerate(names_of(space.operators, point))]
        expected = 0.01 + sum(1e-4 + 1e-6 * p.macs for p in parts if p is not None)
        assert prices.of(point)[0] == pytest.approx(expected, abs=1e-8)
    assert prices.teacher_s == pytest.approx(prices.of(np.zeros(len(space.operators), np.int64))[0])
    assert prices.least_s <= prices.of(space.sample(rng, 50)).min() + 1e-12
    assert np.isnan(prices.seconds[-1, 1:]).all()
    with pytest.raises(InputError, match="expected a cost for each of"):
        per_unit(space, np.zeros(3))


def test_an_operator_that_is_not_in_the_table_is_named(tmp_path):
    few, more = (OperatorsOf(units_of(network()), o) for o in (("conv1",), ("conv1", "dws3")))
    path = table(few, tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"has no operator .* measure it or add its row"):
        tabled(more, path)


def test_both_networks_in_turns(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the lock of this test alone
    from cofront.measure.target import parse_target
    from cofront.systems.lana_prices import side_by_side

    found = side_by_side([network(), network()], parse_target("host"), tmp_path / "pair.jsonl", runs=3)
    assert [t.visits for t in found] == [3, 3] and all(t.median_s > 0 for t in found)
    assert side_by_side([network()], parse_target("host"), tmp_path / "s.jsonl", should_stop=lambda: True) is None


@pytest.fixture(scope="module")
def lana():
    from cofront.systems.lana import Lana, Recipe
    from cofront.task.data import Dataset
    from cofront.task.distil.layerwise import Lesson

    x, y = coloured(np.random.default_rng(1), 300)
    data = Dataset(x[:200], y[:200], x[200:250], y[200:250], x[250:], y[250:], tuple("abcd"))
    net = network()
    recipe = Recipe(
        offered=("teacher", "narrow0.5", "conv1", "dws3"), learn=120, score=60, statistics=60, solutions=4,
        lesson=Lesson(1, 30, solve=60),
    )  # fmt: skip
    return Lana(net, random_weights(net, np.random.default_rng(0)), data, recipe)


def test_the_whole_method_up_to_the_student(lana, tmp_path):
    from cofront.systems.lana import best_of

    assert not set(map(bytes, lana.held[0])) & set(map(bytes, lana.lessons))
    learnt = lana.distillation()
    learnt.run()
    scores = lana.scores(learnt)
    prices = tabled(lana.space, table(lana.space, tmp_path / "t.csv"))
    limit = 0.5 * prices.teacher_s
    found = lana.solutions(learnt, scores, prices, limit)
    assert 1 <= len(found) <= 4 and all(c.latency_s <= limit for c in found)
    assert found[0].predicted == min(c.predicted for c in found)
    best = found.index(best_of(found[::-1]))
    assert found[best].judged.loss == min(c.judged.loss for c in found)
    for a, b in itertools.combinations(found, 2):
        assert (a.choice == b.choice).sum() <= int(0.7 * len(a.choice))
    assert lana.solutions(learnt, scores, prices, 0.5 * prices.least_s) == []
    module = lana.student(learnt, best_of(found).names)
    assert module.network.macs < 0.6 * lana.network.macs
    assert lana.training(module).guidance == lana.recipe.guidance


def test_an_operator_that_diverged_spoils_neither_the_front_nor_the_judge(lana):
    from cofront.task.distil.scores import Scores
    from cofront.task.distil.student import judge

    rng = np.random.default_rng(3)
    shape = len(lana.space.operators), max(map(len, lana.space.operators))
    change, seconds = np.abs(rng.normal(size=shape)), rng.uniform(0.1, 1.0, shape)
    there = np.arange(shape[1]) < np.array([len(o) for o in lana.space.operators])[:, None]
    change[~there] = seconds[~there] = np.nan
    change[:, 0] = 0.0
    prices = Prices(seconds, 0.0, "test", "")
    sound = lana.front(Scores(change, 0.1, 60), prices)
    change[0, 1] = 3e35
    assert sound[-1][1] == pytest.approx(0.0)
    spoilt = lana.front(Scores(change, 0.1, 60), prices)
    assert spoilt[-1] == sound[-1] and len(spoilt) > 2
    import torch

    module = lana.student(lana.distillation(), [next(iter(o)) for o in lana.space.operators])
    with torch.no_grad():
        next(module.parameters()).fill_(float("inf"))
    assert np.isfinite(judge(module, *lana.held).loss)


def test_what_does_not_fit_is_one_line(lana):
    from dataclasses import replace

    with pytest.raises(UsageError, match=r"gives \(5,\), the images have 4 classes"):
        replace(lana, network=network(5))
    with pytest.raises(UsageError, match="200 training images; 1,060 are needed"):
        replace(lana, recipe=replace(lana.recipe, score=1000))
    b = Builder("grey", (1, 12, 12))
    b.classifier(4)
    with pytest.raises(UsageError, match="expected square images of 3 channels"):
        replace(lana, network=b.build())
