import pytest

torch = pytest.importorskip("torch")

from cofront.task.hessian import hessian_traces  # noqa: E402


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
