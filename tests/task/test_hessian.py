import pytest

torch = pytest.importorskip("torch")

from cofront.task.hessian import hessian_traces, piecewise_linear_traces  # noqa: E402


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


def test_layers_of_a_relu_network_need_first_derivatives_only():
    """Against exact traces, and against the estimate with second derivatives."""
    g = torch.Generator().manual_seed(4)
    x, y = torch.randn(48, 3, 5, 5, generator=g), torch.randint(0, 4, (48,), generator=g)
    w1 = (torch.randn(6, 3, 3, 3, generator=g) * 0.3).requires_grad_()
    w2 = (torch.randn(6, 1, 3, 3, generator=g) * 0.3).requires_grad_()
    w3 = (torch.randn(4, 6, generator=g) * 0.6).requires_grad_()
    read = torch.zeros(48, 6, 5, 5, requires_grad=True)

    def logits():
        h = torch.relu(torch.nn.functional.conv2d(x, w1, padding=1)) + read
        h = torch.relu(torch.nn.functional.conv2d(h, w2, padding=1, groups=6))
        return h.mean((2, 3)) @ w3.T

    def loss():
        return torch.nn.functional.cross_entropy(logits(), y)

    groups = {"conv": [w1], "dw": [w2], "linear": [w3], "read": [read]}
    found = piecewise_linear_traces(logits, groups, samples=600, seed=1)
    second = hessian_traces(loss, groups, samples=600, seed=1)
    for name, (p,) in groups.items():
        if name != "read":
            assert found[name].trace == pytest.approx(exact_trace(loss, p), rel=0.05)
        assert abs(found[name].trace - second[name].trace) < 4 * (found[name].stderr + second[name].stderr)
        assert found[name].stderr < second[name].stderr
