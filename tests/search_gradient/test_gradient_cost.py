"""Costs: sums, the subgraph accelerator at a fixed configuration, surrogates of what has no gradient."""

import numpy as np
import pytest
import torch

from cofront import device
from cofront.errors import InputError, UsageError
from cofront.hardware.subgraph import SUBGRAPH
from cofront.search.evaluator import Evaluator
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.relax import one_hot
from cofront.search.gradient.surrogate import fit_on, fit_surrogate
from cofront.space import load


def one(cost, choice):
    return float(cost.expected(one_hot(torch.from_numpy(choice), cost.layers.shape).encoding))


def test_a_sum_is_exact_where_the_choice_is_hard_and_knows_its_bounds(macro, table_cost, enumerated):
    every = enumerated(macro)
    seconds = table_cost.of(every)
    assert table_cost.bounds() == pytest.approx((seconds.min(), seconds.max()), abs=1e-12)
    for choice in every[::997]:
        assert one(table_cost, choice) == pytest.approx(table_cost.of(choice)[0], abs=1e-12)
    half = torch.full(macro.shape, 1 / 3, dtype=torch.float64)
    assert float(table_cost.expected(half)) == pytest.approx(seconds.mean())


def test_the_subgraph_accelerator_at_a_fixed_configuration():
    space = load("nasbench_macro")
    part = device.load("zu3eg")
    layered = space.layered(("W8A8",))
    problem = SUBGRAPH.codesign_problem(layered, part, np.zeros(layered.trellis.n_edges, np.int64), grid="coarse")
    evaluator = Evaluator(problem)
    layers = Layers.of_trellis(space, problem.trellis)
    engine = problem.engines[0]
    chosen = tuple(len(k.params) // 2 for k in engine.kernels)
    cycles = evaluator.edge_latency(0, chosen)
    cost = AdditiveCost.of_cycles(layers, cycles, problem.clock_hz, "zu3eg")
    choice = layers.sample(np.random.default_rng(0), 1)[0]
    path = [*layers.fixed, *layers.edges[np.arange(8), choice]]
    assert cost.of(choice)[0] == pytest.approx(cycles[path].sum() / problem.clock_hz, abs=1e-7)


def test_options_that_cannot_run_are_masked(macro):
    cycles = np.full(1 + macro.edges.max(), 100, np.int64)
    cycles = np.append(cycles, 100)
    cycles[macro.edges[3, 2]] = 1 << 40
    cost = AdditiveCost.of_cycles(macro, cycles, 1e6, "part")
    assert not cost.layers.mask[3, 2] and cost.layers.mask.sum() == macro.mask.sum() - 1
    cycles[macro.fixed[0]] = 1 << 40
    with pytest.raises(UsageError, match="a layer that every network has cannot run"):
        AdditiveCost.of_cycles(macro, cycles, 1e6, "part")


def test_a_surrogate_of_a_sum_is_the_sum_and_says_that_it_stands_in(macro, table_cost):
    found, held = fit_surrogate(macro, table_cost.of, "phone", n=300)
    assert isinstance(found, AdditiveCost) and held.relative < 1e-5
    assert found.note.startswith("device 'phone' has no differentiable cost: a surrogate of 300 latencies stands in")
    assert "on 60 held out" in found.note
    assert found.bounds() == pytest.approx(table_cost.bounds(), rel=1e-4)


def test_what_does_not_add_up_gets_a_network(macro, table_cost):
    def latency(choices):  # two halves in parallel: the slower one counts
        parts = table_cost.table_s[np.arange(8), choices]
        return 1e-3 + np.maximum(parts[:, :4].sum(axis=1), parts[:, 4:].sum(axis=1))

    _, coarse = fit_surrogate(macro, latency, "dual", n=800, kind="additive")
    found, held = fit_surrogate(macro, latency, "dual", n=800, epochs=25)
    assert held.relative < 0.7 * coarse.relative
    assert "has no differentiable cost" in found.note
    choice = macro.sample(np.random.default_rng(9), 1)[0]
    assert one(found, choice) == pytest.approx(found.of(choice)[0], rel=1e-9)
    low, high = found.bounds()
    some = found.of(macro.sample(np.random.default_rng(1), 500))
    assert low <= some.min() and high >= some.max()
    encoding = torch.full(macro.shape, 1 / 3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(found.expected(encoding), [encoding])
    assert torch.isfinite(grad).all() and grad.abs().sum() > 0


def test_what_a_surrogate_refuses(macro, table_cost):
    with pytest.raises(UsageError, match="needs at least 50 latencies, got 10"):
        fit_surrogate(macro, table_cost.of, "phone", n=10)
    with pytest.raises(InputError, match="expected 100 finite latencies"):
        fit_surrogate(macro, lambda c: np.full(len(c), np.nan), "phone", n=100)
    same = np.zeros((100, 8), np.int64)
    with pytest.raises(InputError, match="no measured network has op1=mb3_k3; measure one"):
        fit_on(macro, same, np.ones(100), "phone")
