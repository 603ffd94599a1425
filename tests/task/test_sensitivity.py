"""The table of bit sensitivities, on random weights and images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.device import load as load_device  # noqa: E402
from cofront.errors import InputError  # noqa: E402
from cofront.hardware.subgraph import codesign_problem  # noqa: E402
from cofront.hardware.subgraph.grid import Grid  # noqa: E402
from cofront.space import load as load_space  # noqa: E402
from cofront.systems.hao_bits import by_hessian  # noqa: E402
from cofront.task.augment import network_input  # noqa: E402
from cofront.task.data import Dataset  # noqa: E402
from cofront.task.sensitivity import real_network, sensitivities, weight_error, widest  # noqa: E402
from cofront.task.subnet import decode  # noqa: E402
from cofront.task.supernet import Supernet, convs  # noqa: E402


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 12)
    net = Supernet(torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    return net, Dataset(x, y, x[:4], y[:4], x[:4], y[:4], tuple("0123456789"))


@pytest.fixture(scope="module")
def table(world):
    rows, worst = sensitivities(*world, images=2, samples=3)
    return rows, worst


def test_the_real_network_computes_what_the_supernet_does(world):
    net, data = world
    real = real_network(net, data, 0, images=12)
    x = network_input(torch.from_numpy(data.x_train).permute(0, 3, 1, 2), 32)
    expected = net(x, decode(widest(0)))  # batch norm by the same images; the other's activations have 8 bits
    assert torch.corrcoef(torch.stack([real.logits().detach().flatten(), expected.flatten()]))[0, 1] > 0.99


def test_fewer_bits_are_more_sensitive_and_every_block_has_a_row(world, table):
    rows, worst = table
    value = {tuple(r[:5]): r[5] for r in rows}
    assert len(value) == len(rows) and 0 < worst < np.inf
    for key in {k[:4] for k in value}:
        assert 0 < value[*key, "W8A8"] < value[*key, "W4A8"] < value[*key, "W4A4"]
    net, _ = world
    b = decode(widest(0)).blocks[4]
    gain = torch.ones(4096)
    assert all(weight_error(net, c, gain, 8) < weight_error(net, c, gain, 4) for c in convs(b))


def test_the_edges_of_the_space_find_their_rows(table):
    space = load_space("subgraph32")
    layered = space.layered()
    grid = Grid("one", (8,), (8,), (1,), (8,), (9,), (512,), (512,), (1.0,))
    problem = codesign_problem(
        layered, load_device("zu3eg"), np.zeros(layered.trellis.n_edges, dtype=np.int64), grid=grid
    )
    document = {"rows": table[0], "images": 2}
    found = by_hessian(space, problem, document)
    edges = space.declaration.edges  # none is left out, so numbers agree
    assert ((found.edges > 0) == [e.precision is not None for e in edges]).all()
    known = {tuple(r[:5]): r[5] for r in table[0]}
    k = edges[100].fragment
    assert found.edges[100] == known[k.label, k.op.name, k.cin, k.cout, edges[100].precision]
    with pytest.raises(InputError, match=r"has no row for \('s1b1', 'dw3e2', 32, 32, 'W8A8'\)"):
        by_hessian(space, problem, {**document, "rows": table[0][1:]})
