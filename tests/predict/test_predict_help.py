"""HELP: the modulated network, its inner steps, meta-training that resumes, adaptation."""

import numpy as np
import pytest
import torch
from bank import synthetic_devices

from cofront.errors import InputError, UsageError
from cofront.predict import help_net
from cofront.predict.help import Help, MetaWeights, shipped_weights
from cofront.predict.help_net import Shape
from cofront.predict.help_train import Devices, MetaRecipe, meta_train
from cofront.space import load
from cofront.testing.predictors import one_hot_data

SHAPE = Shape(24)


def devices() -> Devices:
    x, _ = one_hot_data(120)
    bank = synthetic_devices(5)
    latency = {n: c + 0.5 for n, c in zip(bank.names, bank.predict(x).T, strict=True)}
    return Devices(x, latency, bank.names[:4], bank.names[4:], list(range(10)), np.arange(120))


QUICK = MetaRecipe(episodes=4, tasks=3, support=8, query=30, judge_every=2)


@pytest.fixture(scope="module")
def weights() -> MetaWeights:
    return meta_train(devices(), SHAPE, "synthetic", QUICK)


def graph_weights() -> tuple[Shape, torch.Tensor, dict[str, torch.Tensor]]:
    shape = Shape(30, 6)
    arcs = torch.zeros(6, 6, dtype=torch.bool)
    arcs[0, 2] = arcs[0, 4] = arcs[1, 5] = arcs[2, 5] = True
    return shape, help_net.adjacency_of(arcs).double(), help_net.init_params(shape, torch.Generator(), torch.float64)


def test_the_modulator_has_603_numbers_and_leaves_the_mean_network_alone():
    assert help_net.Z == 603
    params = help_net.for_tasks(help_net.init_params(SHAPE, torch.Generator()), 2)
    modulator = help_net.init_modulator(torch.Generator())
    zero = {k: torch.zeros_like(v) for k, v in modulator.items()}
    changed, divergence = help_net.modulate(params, zero, torch.zeros(2, 10), torch.zeros(2, 603))
    assert all(torch.equal(changed[k], params[k]) for k in params)
    assert divergence.shape == (2,) and (divergence >= 0).all()
    noisy, _ = help_net.modulate(params, zero, torch.zeros(2, 10), torch.ones(2, 603))
    factor = noisy["fc3.w"] / params["fc3.w"]
    assert torch.allclose(factor, factor[0, 0, 0].expand_as(factor), rtol=1e-4)
    assert torch.equal(noisy["fc1.w"], params["fc1.w"])


def test_graphs_read_out_their_global_node():
    shape, adjacency, params = graph_weights()
    assert adjacency.shape == (9, 9) and adjacency[8].sum() == 9  # transposed: the last node hears all
    x = torch.eye(5, dtype=torch.float64)[torch.randint(0, 5, (1, 7, 6))].reshape(1, 7, 30)
    embedding = torch.rand(1, 10, dtype=torch.float64)
    out = help_net.forward(help_net.for_tasks(params, 1), shape, adjacency, x, embedding)
    assert out.shape == (1, 7) and torch.isfinite(out).all()


def test_tasks_do_not_see_each_other():
    generator = torch.Generator().manual_seed(1)
    params = help_net.init_params(SHAPE, generator, torch.float64)
    rates = {k: torch.full_like(v, 0.01) for k, v in params.items()}
    x, y = (torch.rand(*s, generator=generator, dtype=torch.float64) for s in ((3, 6, 24), (3, 6)))
    embedding = torch.rand(3, 10, generator=generator, dtype=torch.float64)

    def adapted(rows: slice) -> dict[str, torch.Tensor]:
        own = help_net.for_tasks({k: v.clone().requires_grad_(True) for k, v in params.items()}, len(x[rows]))
        return help_net.adapt(own, rates, SHAPE, None, x[rows], y[rows], embedding[rows])

    together, alone = adapted(slice(0, 3)), adapted(slice(1, 2))
    assert all(torch.allclose(together[k][1], alone[k][0], atol=1e-12) for k in together)


def test_the_outer_gradient_is_of_second_order():
    """The gradient through the inner steps against finite differences in one learnt rate and one weight."""
    generator = torch.Generator().manual_seed(2)
    params = {k: v.requires_grad_(True) for k, v in help_net.init_params(SHAPE, generator, torch.float64).items()}
    rates = {k: torch.full_like(v, 0.05).requires_grad_(True) for k, v in params.items()}
    x, y = (torch.rand(*s, generator=generator, dtype=torch.float64) for s in ((1, 12, 24), (1, 12)))
    embedding = torch.rand(1, 10, generator=generator, dtype=torch.float64)

    def outer() -> torch.Tensor:
        own = help_net.adapt(
            help_net.for_tasks(params, 1), rates, SHAPE, None, x[:, :5], y[:, :5], embedding, second_order=True
        )
        return ((help_net.forward(own, SHAPE, None, x[:, 5:], embedding) - y[:, 5:]) ** 2).mean()

    chosen = [params["fc5.w"], rates["fc5.b"], params["fc3.b"]]
    found = torch.autograd.grad(outer(), chosen)
    for tensor, gradient in zip(chosen, found, strict=True):
        at = int(gradient.abs().argmax())
        step = 1e-5
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor.view(-1)[at] += sign * step
            values.append(float(outer().detach()))
            with torch.no_grad():
                tensor.view(-1)[at] -= sign * step
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradient.view(-1)[at]), rel=1e-4)


def test_training_resumes_where_it_was(tmp_path, weights):
    checkpoint = tmp_path / "c.safetensors"
    meta_train(devices(), SHAPE, "synthetic", MetaRecipe(**{**QUICK.__dict__, "episodes": 2}), checkpoint=checkpoint)
    resumed = meta_train(devices(), SHAPE, "synthetic", QUICK, checkpoint=checkpoint)
    for key, value in weights.params.items():
        assert torch.allclose(resumed.params[key], value, atol=1e-7), key
    assert "4 episodes, seed 3" in resumed.note
    with pytest.raises(InputError, match="a checkpoint of another space, seed or recipe"):
        meta_train(devices(), SHAPE, "other", QUICK, checkpoint=checkpoint)


def test_training_fits_its_devices_better():
    losses = []
    recipe = MetaRecipe(episodes=40, tasks=3, support=8, query=60, judge_every=1, rate=3e-3)
    meta_train(devices(), SHAPE, "synthetic", recipe, on_progress=lambda e, loss, best: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_weights_are_saved_and_foreign_files_refused(tmp_path, weights):
    weights.save(tmp_path / "w.safetensors")
    read = MetaWeights.load(tmp_path / "w.safetensors")
    assert read.shape == SHAPE and read.space == "synthetic"
    assert read.devices == ("d0", "d1", "d2", "d3", "d4")
    assert all(torch.allclose(read.params[k], v, atol=1e-6) for k, v in weights.params.items())
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a file of HELP's weights"):
        MetaWeights.load(tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="no meta-trained weights come with space 'subgraph32'"):
        shipped_weights("subgraph32")


def test_adaptation_gives_seconds_repeats_and_is_row_by_row(weights):
    x, y = one_hot_data(60)
    one, two = (Help(weights, synthetic_devices()).fit(x[:10], y[:10]).predict(x) for _ in range(2))
    assert np.array_equal(one.mean, two.mean)
    assert (one.std > 0).all() and one.mean.shape == (60,)
    assert abs(one.mean.mean() - y.mean()) < 3 * y.std()
    alone = Help(weights, synthetic_devices()).fit(x[:10], y[:10]).predict(x[:1])
    np.testing.assert_allclose(alone.mean, one.mean[:1], atol=1e-9)
    given = Help(weights).fit(x[:10], y[:10], reference=y[:10]).predict(x)
    assert np.isfinite(given.mean).all()


def test_the_devices_of_the_shipped_weights_are_known():
    learnt = Help.learnt_from(load("fbnet"))
    assert {"pixel3", "titanx_1"} <= set(learnt) and not {"fpga", "eyeriss", "pixel2"} & set(learnt)


@pytest.mark.parametrize("n", [8, 9, 10, 30])
def test_what_is_left_out_is_not_in_the_embedding(weights, monkeypatch, n):
    """Every fold estimates the reference networks anew, without its own rows."""
    x, y = one_hot_data(n)
    seen = []
    estimate = Help._estimate

    def watched(self, x, y):
        seen.append(len(y))
        return estimate(self, x, y)

    monkeypatch.setattr(Help, "_estimate", watched)
    fitted = Help(weights, synthetic_devices()).fit(x, y)
    assert seen[-1] == n and len(seen) >= 4
    assert all(k < n for k in seen[:-1]) and sum(n - k for k in seen[:-1]) == n
    assert np.isfinite(fitted.predict(x).std).all()


def test_bad_input_is_named(weights):
    x, y = one_hot_data(30)
    with pytest.raises(InputError, match="help: no meta-trained weights were given"):
        Help().fit(x, y)
    with pytest.raises(InputError, match="give the latencies of the reference networks, or known devices"):
        Help(weights).fit(x, y)
    with pytest.raises(InputError, match="the weights are for 24 columns, the rows 20"):
        Help(weights, synthetic_devices()).fit(x[:, :20], y)
    with pytest.raises(InputError, match="fit it before"):
        Help(weights).predict(x)
    with pytest.raises(InputError, match="at least two training devices and one for validation"):
        meta_train(Devices(x, {"a": y}, ["a"], [], [0], np.arange(30)), SHAPE, "s", QUICK)
