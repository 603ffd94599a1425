"""Real supernets: the same network as its description, memory of one path, a small search, resumption, NaN."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cofront.errors import UsageError
from cofront.network.pytorch import to_torch
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.polish import polish
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.relax import Temperature, by_name
from cofront.search.gradient.supernet import MixedSupernet, SupernetTask, TensorBatches, weighed
from cofront.search.gradient.task import Diverged, relaxed_choice


def build(two_layers, kernels=2, seed=0):
    space = two_layers(kernels)
    layered = space.layered(("W8A8",))
    layers = Layers.of_trellis(space, layered.trellis)
    return layers, MixedSupernet(layers, layered, seed)


def images(n=96, seed=0):
    """Four classes: which quarter of the image is bright."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    x = 0.3 * torch.randn((n, 3, 8, 8), generator=g)
    for i in range(4):
        rows = y == i
        x[rows, :, 4 * (i // 2) : 4 * (i // 2) + 4, 4 * (i % 2) : 4 * (i % 2) + 4] += 1.0
    return x, y


def make_task(layers, net):
    return SupernetTask(layers, net, TensorBatches(*images(96, 1), 16), TensorBatches(*images(64, 2), 16))


def test_a_hard_choice_is_the_network_of_its_point(two_layers):
    layers, net = build(two_layers)
    choice = np.array([1, 2])
    network = layers.space.network(layers.points(choice)[0])
    alone = to_torch(network)
    layer_of = {n.name: n for n in network.layers}
    with torch.no_grad():
        for step, modules in net.steps:
            module = modules[choice[step] if step >= 0 else 0]
            if isinstance(module, torch.nn.Identity):
                continue
            for node in module.network.layers:
                assert node.name in layer_of
                alone.layer(node.name).load_state_dict(module.layer(node.name).state_dict())
    x = images(8)[0]
    out = net(x, relaxed_choice(layers, choice))
    assert torch.allclose(out, alone(x), atol=1e-5)


def kept_bytes(net, x, relaxed) -> int:
    """Bytes that the backward pass keeps, of activations (parameters are there anyway)."""
    own = {p.data_ptr() for p in net.parameters()}
    seen: dict[int, int] = {}

    def pack(t):
        if t.data_ptr() not in own:
            seen[t.data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        net(x, relaxed).sum()
    return sum(seen.values())


def test_memory_of_the_single_path_does_not_grow_with_the_candidates(two_layers):
    x = images(16)[0]
    kept = {}
    for kernels in (2, 6):
        layers, net = build(two_layers, kernels)
        logits = torch.zeros(layers.shape, dtype=torch.float64)
        logits[:, 0] = 50.0  # the same operator in both
        for name in ("single-path", "softmax"):
            draw = by_name(name)(logits.requires_grad_(), 1.0, torch.Generator().manual_seed(0))
            kept[name, kernels] = kept_bytes(net, x, draw)
        alone = kept_bytes(net, x, relaxed_choice(layers, np.zeros(2, np.int64)))
        # a scalar product with the weight keeps the layer's output: at most that is added
        assert kept["single-path", kernels] <= 1.1 * alone + 2 * 16 * 8 * 64 * 4
    assert kept["single-path", 6] == pytest.approx(kept["single-path", 2], rel=0.02)
    assert kept["softmax", 6] > 2 * kept["softmax", 2]


RECIPE = Recipe(
    epochs=6, freeze=2, relaxation="single-path", warm_all=True, arch_rate=0.1, clip=5.0,
    temperature=Temperature(2.0, 0.2, hold=2),
)  # fmt: skip


def test_a_small_search_learns_and_is_resumed_exactly(two_layers, tmp_path):
    layers, _ = build(two_layers)
    cost = AdditiveCost(layers, np.array([[1.0, 2.0, 0.1]] * 2) * 1e-3, 1e-3, "toy")

    def search(file=None):
        layers, net = build(two_layers)
        return GradientSearch(make_task(layers, net), cost, Weighted(0.05), RECIPE, file)

    torch.manual_seed(1)
    whole = search()
    start = whole.task.evaluate(np.array([1, 1]))
    learned = whole.run()
    assert whole.task.evaluate(np.array([1, 1])) < 0.8 * start
    assert learned.steps == 6 * (6 + 4)
    polished = polish(whole.task, cost, learned)
    assert polished.loss <= learned.loss and polished.latency_s <= learned.latency_s + 1e-12
    first = search(tmp_path / "s.safetensors")
    first.run(until_step=27)
    second = search(tmp_path / "s.safetensors")
    second.resume()
    torch.manual_seed(99)  # no global generator is used
    again = second.run()
    assert np.array_equal(again.logits, learned.logits) and again.loss == learned.loss


def test_evaluation_leaves_no_trace(two_layers):
    layers, net = build(two_layers)
    task = make_task(layers, net)
    before = {k: v.clone() for k, v in task.state().items()}
    task.evaluate(np.array([0, 1]))
    assert all(torch.equal(v, before[k]) for k, v in task.state().items())


def test_nan_weights_are_blamed_on_their_operator(two_layers):
    layers, net = build(two_layers)
    with torch.no_grad():
        for p in net.steps[2][1][1].parameters():
            p.fill_(float("nan"))
    cost = AdditiveCost(layers, np.zeros(layers.shape), 1e-3, "toy")
    recipe = replace(RECIPE, relaxation="softmax", warm_all=False)
    with pytest.raises(Diverged, match=r"epoch 0, step 0 on the weights split: .* not finite is op1=k5_e1"):
        GradientSearch(make_task(layers, net), cost, Weighted(0.0), recipe).run()


def test_too_few_images_are_refused():
    with pytest.raises(UsageError, match=r"at least one batch of 64, got 10 images"):
        TensorBatches(*images(10), 64)


def test_a_weight_of_one_costs_no_tensor_and_has_the_products_gradient():
    y = torch.randn((4, 3, 2, 2), requires_grad=True)
    w = torch.ones((), dtype=torch.float64, requires_grad=True)
    g = torch.randn((4, 3, 2, 2))
    found = torch.autograd.grad((weighed(w, y) * g).sum(), [w, y])
    known = torch.autograd.grad(((w * y) * g).sum(), [w, y])
    assert weighed(w, y).data_ptr() == y.data_ptr()
    assert found[0].dtype == torch.float64
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(found, known, strict=True))
