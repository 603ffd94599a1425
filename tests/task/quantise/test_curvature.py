"""Second-order loss tables against the exact Gauss-Newton matrix of a small network."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.errors import UsageError  # noqa: E402
from cofront.network import Builder  # noqa: E402
from cofront.network.pytorch import to_torch  # noqa: E402
from cofront.network.weights import random_weights  # noqa: E402
from cofront.task.quantise.curvature import LossTables, curvature_tables  # noqa: E402

WIDTHS = (2, 4, 8)


class Rounding:
    """Uniform rounding by the largest magnitude."""

    def __init__(self, module):
        self.module = module

    def _round(self, x, bits):
        scale = x.detach().abs().max() / (2 ** (bits - 1) - 1)
        return (x / scale).round() * scale

    def weight(self, layer, bits):
        return self._round(self.module.layer(layer).weight.detach(), bits)

    def read(self, layer, x, bits):
        return self._round(x, bits)


def net():
    b = Builder("small", (2, 4, 4))
    b.conv(3, 3, act="relu", norm=False, bias=True, name="a")
    b.conv(3, 3, act="relu", norm=False, bias=True, name="b")
    b.sum("a.act", "b.act")
    b.classifier(4, name="c")
    network = b.build()
    return to_torch(network, random_weights(network, np.random.default_rng(1))).eval()


def exact(module, x, layer):
    """The diagonal of the Gauss-Newton matrix of the mean loss, by a layer's weights."""
    w = module.layer(layer).weight

    def logits(value):
        return torch.func.functional_call(module, {f"{layer}.weight": value}, (x,))

    out = logits(w).detach()
    jacobian = torch.autograd.functional.jacobian(logits, w).flatten(2)  # (n, classes, weights)
    p = out.softmax(1)
    g = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    return torch.einsum("nci,ncd,ndi->i", jacobian, g, jacobian).view_as(w) / len(x)


def test_tables_are_half_the_curvature_times_the_squared_error():
    module, rounding = net(), None
    rounding = Rounding(module)
    x = torch.randn((6, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    hessian, fisher = curvature_tables(
        module, rounding, x, weight_bits=WIDTHS, act_bits=WIDTHS, fixed_reads=("a",), samples=1500, batch=4
    )
    assert hessian.layers == ("a", "b", "c") and not hessian.act[0].any() and (hessian.act[1:] > 0).all()
    for i, layer in enumerate(hessian.layers):
        g, w = exact(module, x, layer), module.layer(layer).weight.detach()
        for j, bits in enumerate(WIDTHS):
            d = (rounding.weight(layer, bits) - w).square()
            assert hessian.weight[i, j] == pytest.approx(float(0.5 * g.mean() * d.sum()), rel=0.05)
            assert fisher.weight[i, j] == pytest.approx(float(0.5 * (g * d).sum()), rel=0.1)
    assert 0 < fisher.stderr < 0.05


def test_tables_of_reads_belong_to_their_reader_alone():
    """ "a.act" is read by layer b and by the addition: only what reaches the loss through b is b's."""
    module = net()
    x = torch.randn((4, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    _, fisher = curvature_tables(
        module, Rounding(module), x, weight_bits=(4,), act_bits=(4,), samples=3000, batch=4, fixed_reads=("a", "c")
    )
    inner = torch.relu(module.layer("a")(x)).detach()

    def logits(value):
        total = inner + torch.relu(module.layer("b")(value))
        return module.layer("c")(total.mean((2, 3)))

    jacobian = torch.autograd.functional.jacobian(logits, inner)  # (n, classes, n, ...)
    own = torch.stack([jacobian[i, :, i] for i in range(len(x))]).flatten(2)
    p = logits(inner).detach().softmax(1)
    g = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    diagonal = torch.einsum("nci,ncd,ndi->ni", own, g, own) / len(x)
    d = (Rounding(module).read("b", inner, 4) - inner).flatten(1).square()
    assert fisher.act[1, 0] == pytest.approx(float(0.5 * (diagonal * d).sum()), rel=0.1)


def test_the_same_seed_gives_the_same_tables_and_the_network_is_left_as_it_was():
    module = net()
    graded = [p.requires_grad for p in module.parameters()]
    x = torch.randn((4, 2, 4, 4))
    runs = [
        curvature_tables(module, Rounding(module), x, weight_bits=(4,), act_bits=(4,), samples=3, seed=2)[1]
        for _ in range(2)
    ]
    assert np.array_equal(runs[0].weight, runs[1].weight) and np.array_equal(runs[0].act, runs[1].act)
    assert [p.requires_grad for p in module.parameters()] == graded
    assert not module.layer("a")._forward_pre_hooks
    with pytest.raises(UsageError, match="images and at least one draw, got 0 images"):
        curvature_tables(module, Rounding(module), x[:0], weight_bits=(4,), act_bits=(4,))


def test_a_table_adds_up_layer_by_layer():
    rng = np.random.default_rng(0)
    table = LossTables("measured", ("x", "y"), (2, 4, 8), (4, 8), rng.random((2, 3)), rng.random((2, 2)))
    said = table.of(np.array([[4, 8]]), np.array([[8, 4]]))
    assert said == pytest.approx([table.weight[0, 1] + table.weight[1, 2] + table.act[0, 1] + table.act[1, 0]])
    assert table.joint()[1, 2 * 2 + 0] == table.weight[1, 2] + table.act[1, 0]


def test_tables_go_through_json():
    rng = np.random.default_rng(0)
    table = LossTables("fisher", ("x", "y"), (2, 4), (4, 8), rng.random((2, 2)), rng.random((2, 2)), 0.1)
    again = LossTables.from_dict(json.loads(json.dumps(table.to_dict())))
    assert again.to_dict() == table.to_dict()
    assert again.rise("y", 2, 8) == table.weight[1, 0] + table.act[1, 1]
    with pytest.raises(ValueError, match="for 2 layers"):
        LossTables.from_dict({**table.to_dict(), "act": [[1.0]]})
