import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from cofront.network import Builder  # noqa: E402
from cofront.network.pytorch import to_torch  # noqa: E402
from cofront.network.weights import random_weights  # noqa: E402
from cofront.task.hessian import hessian_traces  # noqa: E402
from cofront.task.quantise.curvature import curvature_tables  # noqa: E402


def small_net():
    """A net of under 2,000 parameters on random data, its loss and its groups."""
    g = torch.Generator().manual_seed(3)
    x, y = torch.randn(64, 6, generator=g), torch.randint(0, 4, (64,), generator=g)
    w1 = (torch.randn(12, 6, generator=g) * 0.4).requires_grad_()
    w2 = (torch.randn(4, 12, generator=g) * 0.4).requires_grad_()
    return w1, w2, lambda: torch.nn.functional.cross_entropy(torch.tanh(x @ w1.T) @ w2.T, y)


def exact_trace(loss, p):
    grad = torch.autograd.grad(loss(), p, create_graph=True)[0].flatten()
    return sum(float(torch.autograd.grad(g, p, retain_graph=True)[0].flatten()[i]) for i, g in enumerate(grad))


def test_within_five_percent_of_the_exact_trace():
    w1, w2, loss = small_net()
    found = hessian_traces(loss, {"first": [w1], "second": [w2]}, samples=2000)
    for name, p in (("first", w1), ("second", w2)):
        exact = exact_trace(loss, p)
        assert found[name].trace == pytest.approx(exact, rel=0.05)
        assert abs(found[name].trace - exact) < 4 * found[name].stderr
        assert found[name].n_weights == p.numel()
        assert found[name].mean == pytest.approx(found[name].trace / p.numel())


def test_same_seed_same_estimate():
    w1, w2, loss = small_net()
    runs = [hessian_traces(loss, {"all": [w1, w2]}, samples=4, seed=5)["all"].trace for _ in range(2)]
    assert runs[0] == runs[1]


class OneOff:
    """Every weight is off by one, so that half the trace is left of the rise."""

    def __init__(self, module):
        self.module = module

    def weight(self, layer, bits):
        return self.module.layer(layer).weight.detach() + 1

    def read(self, layer, x, bits):
        return x


def test_tables_of_curvature_hold_the_same_traces_of_a_relu_network():
    """Against exact traces of the Hessian, and against the estimate with second derivatives."""
    b = Builder("small", (3, 5, 5))
    b.conv(6, 3, act="relu", norm=False, bias=True, name="conv")
    b.depthwise(3, act="relu", norm=False, bias=True, name="dw")
    b.classifier(4, name="linear")
    network = b.build()
    module = to_torch(network, random_weights(network, np.random.default_rng(4))).eval()
    g = torch.Generator().manual_seed(4)
    x, y = torch.randn(48, 3, 5, 5, generator=g), torch.randint(0, 4, (48,), generator=g)

    def loss():
        return torch.nn.functional.cross_entropy(module(x).flatten(1), y)

    names = [n.name for n in network.layers]
    table, _ = curvature_tables(module, OneOff(module), x, weight_bits=(8,), act_bits=(8,), samples=600, batch=48)
    for p in module.parameters():
        p.requires_grad_()
    second = hessian_traces(loss, {n: [module.layer(n).weight] for n in names}, samples=600, seed=1)
    for i, name in enumerate(names):
        trace = 2 * table.weight[i, 0]
        assert trace == pytest.approx(exact_trace(loss, module.layer(name).weight), rel=0.05)
        assert abs(trace - second[name].trace) < 4 * (second[name].stderr + table.stderr * trace)
