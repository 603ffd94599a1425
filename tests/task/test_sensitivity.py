"""The table of bit sensitivities, on random weights and images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.device import load as load_device  # noqa: E402
from cofront.errors import InputError  # noqa: E402
from cofront.hardware.subgraph import codesign_problem  # noqa: E402
from cofront.hardware.subgraph.grid import Grid  # noqa: E402
from cofront.space import load as load_space  # noqa: E402
from cofront.space.subgraph32 import OPS  # noqa: E402
from cofront.systems.hao_bits import by_hessian  # noqa: E402
from cofront.task import sensitivity  # noqa: E402
from cofront.task.data import Dataset  # noqa: E402
from cofront.task.folded import folded  # noqa: E402
from cofront.task.quantise.choose import Chooser  # noqa: E402
from cofront.task.quantise.curvature import LossTables  # noqa: E402
from cofront.task.quantise.observe import observe  # noqa: E402
from cofront.task.sensitivity import blocks, of_network, of_operator  # noqa: E402
from cofront.task.subnet import as_point, smallest  # noqa: E402
from cofront.task.supernet import Supernet  # noqa: E402

OP = 4  # the operator that takes the least time


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 20)
    net = Supernet(torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    return net, Dataset(x, y, x[:4], y[:4], x[:4], y[:4], tuple("0123456789"))


@pytest.fixture(scope="module")
def table(world):
    return of_operator(*world, OP, images=16, samples=2)


def test_fewer_bits_are_more_sensitive_and_every_block_has_a_row(table):
    rows, worst = table
    value = {tuple(r[:5]): r[5] for r in rows}
    assert len(value) == len(rows) and 0 < worst < np.inf
    for key in {k[:4] for k in value}:
        assert 0 < value[*key, "W8A8"] < value[*key, "W4A8"] < value[*key, "W4A4"]


def test_errors_of_weights_are_those_of_the_quantiser(world):
    """The mean trace is one number for each layer: between two widths the squared errors are left."""
    net, data = world
    point = smallest()
    table = of_network(point, net, data, images=16, samples=1)
    network, weights = folded(point, data.x_train, net)
    chooser = Chooser(network, weights, observe(network, weights, data.x_train[:16]))
    assert table.model == "hessian" and table.weight_bits == (4, 8)
    for i, name in enumerate(table.layers):
        w = torch.from_numpy(weights[f"{name}.weight"])
        four, eight = (float((chooser.layer(name, bits).real() - w).square().sum()) for bits in (4, 8))
        assert table.weight[i, 0] / table.weight[i, 1] == pytest.approx(four / eight, rel=1e-4)
    assert not table.act[0].any() and (table.act[1:] > 0).all()  # pixels are as they are
    again = of_network(point, net, data, images=16, samples=1)
    assert np.array_equal(table.weight, again.weight) and np.array_equal(table.act, again.act)


def test_a_block_is_the_sum_of_its_layers():
    point = as_point([1, 0, 0, 1, 1, 2, 0] + [0, 0, 0, 5, 2, 0, 4, 0, 0] + [0] * 9)
    layers = (
        "stem", "s1b1.expand", "s1b1.dw", "s1b1.project", "s2b1.conv", "s2b1.project",
        "s2b2.expand", "s2b2.dw", "s2b2.project", "s3b1.conv", "s3b1.project", "head",
    )  # fmt: skip
    rise = 10.0 ** np.arange(len(layers))[:, None]  # each layer is a digit of the sum
    found = dict(
        (tuple(key), value)
        for key, value in blocks(point, LossTables("any", layers, (4, 8), (4, 8), rise * [2, 1], rise * [5, 3]))
    )
    assert len(found) == 4 * 3
    assert found["s1b1", "dw3e2", 32, 32, "W8A8"] == pytest.approx(4 * 1110)
    assert found["s2b1", "full3e1", 32, 96, "W4A8"] == pytest.approx(5 * 110000)
    assert found["s2b2", "dw3e4", 96, 96, "W4A4"] == pytest.approx(7 * 111000000)
    assert found["s3b1", "full3e0.5", 96, 256, "W4A4"] == pytest.approx(7 * 11e9)


def test_the_edges_of_the_space_find_their_rows(table):
    space = load_space("subgraph32")
    layered = space.layered()
    grid = Grid("one", (8,), (8,), (1,), (8,), (9,), (512,), (512,), (1.0,))
    problem = codesign_problem(
        layered, load_device("zu3eg"), np.zeros(layered.trellis.n_edges, dtype=np.int64), grid=grid
    )
    # Operators have the same widths: one's rows stand for all, each times its number.
    rows = [[r[0], op.name, *r[2:5], (i + 1) * r[5]] for i, op in enumerate(OPS) for r in table[0]]
    document = {"rows": rows, "images": 2}
    found = by_hessian(space, problem, document)
    edges = space.declaration.edges  # none is left out, so numbers agree
    assert ((found.edges > 0) == [e.precision is not None for e in edges]).all()
    known = {tuple(r[:5]): r[5] for r in rows}
    k = edges[100].fragment
    assert found.edges[100] == known[k.label, k.op.name, k.cin, k.cout, edges[100].precision]
    with pytest.raises(InputError, match=r"has no row for \('s1b1', 'dw3e2', 32, 32, 'W8A8'\)"):
        by_hessian(space, problem, {**document, "rows": [r for r in rows if r[1] != "dw3e2"]})


def test_who_asks_is_told_and_nothing_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(sensitivity, "of_operator", lambda net, data, op, **how: ([["s1b1"]] * (op + 1), 0.1 * op))
    told = []
    rows, worst = sensitivity.sensitivities(None, None, progress=lambda *of: told.append(of))
    assert told == [(op.name, i + 1) for i, op in enumerate(OPS)]
    assert len(rows) == sum(n for _, n in told) and worst == 0.1 * (len(OPS) - 1)
    assert sensitivity.sensitivities(None, None) == (rows, worst)
    assert capsys.readouterr() == ("", "")
