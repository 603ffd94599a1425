"""The loop: it finds per-layer optima, hits targets, goes on exactly where it was, and stops at NaN."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cofront.errors import InputError, UsageError
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import LogLatency, Multiplier, Weighted
from cofront.search.gradient.polish import certified
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.relax import Temperature
from cofront.search.gradient.task import Diverged, Tabular

FAST = Recipe(epochs=20, freeze=2, arch_rate=0.1, arch_decay=0.0, temperature=Temperature(5.0, 0.2, hold=2))


def test_fbnet_loss_gradient_is_the_finite_difference():
    loss = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    latency = torch.tensor(0.021, dtype=torch.float64, requires_grad=True)
    objective = LogLatency()
    value = objective.join(loss, latency)
    assert float(value.detach()) == pytest.approx(1.7 * 0.2 * np.log(21_000) ** 0.6)
    grads = torch.autograd.grad(value, [loss, latency])
    for i, (a, b) in enumerate(((1e-6, 0.0), (0.0, 1e-8))):
        up, down = (objective.join(loss + s * a, latency + s * b).item() for s in (1, -1))
        assert float(grads[i]) == pytest.approx((up - down) / (2 * (a + b)), rel=1e-6)


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel", "gumbel-hard", "single-path", "top-2"])
def test_a_constant_loss_returns_the_fastest_option_of_every_layer(macro, table_cost, relaxation):
    task = Tabular(macro, np.zeros(macro.shape), constant=2.0, batches=10)
    # options that exclude each other in most draws are compared less often
    recipe = replace(FAST, relaxation=relaxation, epochs=40 if relaxation == "top-2" else 20)
    found = GradientSearch(task, table_cost, LogLatency(), recipe).run()
    assert np.array_equal(found.choice, table_cost.grains.argmin(axis=1))
    assert found.latency_s == pytest.approx(table_cost.bounds()[0])
    assert found.history[-1].entropy < found.history[0].entropy


def test_an_exchange_rate_gives_the_lagrangian_optimum(macro, table_cost):
    unary = np.random.default_rng(1).random(macro.shape)
    task = Tabular(macro, unary, batches=10)
    found = GradientSearch(task, table_cost, Weighted(0.5), FAST).run()
    assert np.array_equal(found.choice, (unary + 0.5e3 * table_cost.table_s).argmin(axis=1))


def test_a_multiplier_comes_close_to_its_target(macro, table_cost):
    unary = -table_cost.table_s / 1e-3 + 0.2 * np.random.default_rng(1).random(macro.shape)
    unary -= unary.mean(axis=1, keepdims=True)
    fastest, slowest = table_cost.bounds()
    target = 0.5 * (fastest + slowest)
    objective = Multiplier(target, rate=0.1)
    recipe = replace(
        FAST, epochs=40, relaxation="single-path", arch_rate=0.02, temperature=Temperature(5.0, 0.05, hold=2)
    )
    found = GradientSearch(Tabular(macro, unary, batches=20), table_cost, objective, recipe).run()
    # alone, the loss would end at the slowest network
    assert abs(found.latency_s - target) < 0.2 * (slowest - fastest)
    assert found.history[-1].multiplier == objective.state["multiplier"] != 0.0


def test_the_multiplier_rises_with_the_violation_and_is_zeroed_when_it_opposes():
    m = Multiplier(0.02, rate=0.1)
    assert m.after(0.03, 50) == 1.0
    assert m.state["multiplier"] == pytest.approx(0.05)
    m.after(0.03, 50)
    assert m.state["multiplier"] == pytest.approx(0.1)
    m.after(0.018, 50)  # now too fast: from zero, and down
    assert m.state["multiplier"] == pytest.approx(-0.01)
    assert m.after(0.0201, 10) == pytest.approx(0.005)  # fine: in the last epochs, within .15 ms
    assert m.after(0.0201, 11) == 1.0


def test_it_goes_on_exactly_where_it_was(macro, table_cost, tmp_path):
    unary = np.random.default_rng(2).random(macro.shape)
    recipe = replace(FAST, epochs=6, relaxation="single-path")

    def search(file):
        task = Tabular(macro, unary, noise=0.3, batches=7)
        return GradientSearch(task, table_cost, Multiplier(0.005, rate=0.01), recipe, file)

    whole = search(None).run()
    first = search(tmp_path / "a.safetensors")
    assert not first.resume()
    first.run(until_step=24)
    second = search(tmp_path / "a.safetensors")
    assert second.resume() and second.position == 24
    resumed = second.run()
    assert np.array_equal(whole.logits, resumed.logits)
    assert [h.multiplier for h in whole.history] == [h.multiplier for h in resumed.history]
    np.testing.assert_equal([h.loss for h in whole.history], [h.loss for h in resumed.history])


def test_a_checkpoint_of_another_search_is_refused(macro, table_cost, tmp_path):
    task = Tabular(macro, np.zeros(macro.shape), batches=2)
    file = tmp_path / "a.safetensors"
    GradientSearch(task, table_cost, Weighted(1.0), replace(FAST, epochs=3), file).run()
    other = GradientSearch(task, table_cost, Weighted(2.0), replace(FAST, epochs=3), file)
    with pytest.raises(UsageError, match=r"is of another search \(space, device, objective, recipe or images differ\)"):
        other.resume()
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a checkpoint of a gradient search"):
        other.resume()


def test_nan_stops_names_the_operator_and_keeps_the_checkpoint(macro, table_cost, tmp_path):
    file = tmp_path / "a.safetensors"
    recipe = replace(FAST, epochs=4, save_every_s=0.0)
    task = Tabular(macro, np.zeros(macro.shape), batches=3)
    GradientSearch(task, table_cost, Weighted(1.0), recipe, file).run(until_step=8)
    before = file.read_bytes()
    bad = np.zeros(macro.shape)
    bad[4, 1] = np.nan
    search = GradientSearch(Tabular(macro, bad, batches=3), table_cost, Weighted(1.0), recipe, file)
    search.resume()
    with pytest.raises(Diverged) as error:
        search.run()
    line = str(error.value)
    assert "nan in epoch 2, step 2 on the architecture split" in line and "not finite is op5=mb3_k3" in line
    assert f"the checkpoint '{file}' is kept" in line and "\n" not in line
    assert file.read_bytes() == before


def test_bad_input_is_one_line(macro, table_cost):
    task = Tabular(macro, np.zeros(macro.shape))
    fastest, slowest = (1e3 * b for b in table_cost.bounds())
    both = f"from {fastest:.4g} to {slowest:.4g} ms"
    with pytest.raises(UsageError, match=f"target 0.1 ms is below the fastest network of device 'toy': .*{both}"):
        GradientSearch(task, table_cost, Multiplier(1e-4), FAST)
    with pytest.raises(UsageError, match=f"target 900 ms is above the slowest network of device 'toy': .*{both}"):
        GradientSearch(task, table_cost, Multiplier(0.9), FAST)

    class Phone:
        name = "phone"

    with pytest.raises(UsageError, match="device 'phone' has no differentiable cost: fit a surrogate"):
        GradientSearch(task, Phone(), Weighted(1.0), FAST)
    tiny = AdditiveCost(macro, np.zeros(macro.shape), 1e-7, "tiny")
    with pytest.raises(UsageError, match="not above the unit of 1e-06 s; choose a smaller unit"):
        GradientSearch(task, tiny, LogLatency(), FAST)
    with pytest.raises(UsageError, match="fewer epochs with the architecture frozen"):
        Recipe(epochs=5, freeze=5)
    with pytest.raises(InputError, match="expected entries of shape"):
        Tabular(macro, np.zeros((2, 2)))
    with pytest.raises(InputError, match="NaN or infinite"):
        AdditiveCost(macro, np.full(macro.shape, np.nan))


def test_the_same_seed_gives_the_same_search(macro, table_cost):
    task = Tabular(macro, np.random.default_rng(0).random(macro.shape), noise=0.1, batches=5)
    recipe = replace(FAST, epochs=4)
    a, b, c = (GradientSearch(task, table_cost, Weighted(0.1), replace(recipe, seed=s)).run() for s in (0, 0, 1))
    assert np.array_equal(a.logits, b.logits) and not np.array_equal(a.logits, c.logits)


def test_regret_is_seen_by_the_judge(macro, table_cost):
    unary = np.random.default_rng(4).random(macro.shape)
    task = Tabular(macro, unary, batches=10)
    found = GradientSearch(task, table_cost, Weighted(0.5), FAST).run()
    best = certified(task, table_cost).within(found.latency_s)
    assert 0 <= found.loss - best.loss + 1e-5 < 1e-4  # a Lagrangian optimum is on the front
