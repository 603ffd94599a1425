"""The space of DARTS: the conformance suite, the published network's size, codes and cells, exports."""

import numpy as np
import pytest

from cofront.errors import InputError, UsageError
from cofront.measure.models import operators
from cofront.network import Conv2d, Pool2d
from cofront.network.onnx_io import from_onnx, to_onnx
from cofront.network.reference import run
from cofront.network.weights import random_weights
from cofront.space import Space, load
from cofront.space.darts import DARTS_V2, EDGES, OPS, Darts, Genotype, decode, encode
from cofront.testing.spaces import SpaceConformance

SMALL = "darts@channels=4,cells=3,side=8"


class TestDarts(SpaceConformance):
    make = staticmethod(lambda: load("darts@channels=4,cells=5"))
    n_points = (1 * 3 * 6 * 10 * 7**8) ** 2
    trellis = False

    def test_precisions_can_be_restricted(self, space: Space, rng: np.random.Generator) -> None:
        assert space.precisions_of(space.sample(rng, 3)) == {}


def test_the_published_network_has_its_published_size():
    """3.349342 M parameters without the auxiliary head: "3.349MB" in the released README [DARTS19]."""
    network = load("darts").network(encode(DARTS_V2))
    assert network.params == 3_349_342
    assert network.shapes[network.output.name] == (10,)
    assert [network.shapes[f"c{i}.out"] for i in (5, 6, 13, 19)] == [
        (144, 32, 32), (288, 16, 16), (576, 8, 8), (576, 8, 8),
    ]  # fmt: skip


def test_codes_and_cells_are_the_same_thing():
    code = encode(DARTS_V2)
    assert code.shape == (28,) and (code > 0).sum() == 16
    found = decode(code)
    assert np.array_equal(encode(found), code)
    for cell in ("normal", "reduce"):  # up to the order of a node's two
        pairs, ours = getattr(DARTS_V2, cell), getattr(found, cell)
        for i in range(0, 8, 2):
            assert sorted(pairs[i : i + 2]) == sorted(ours[i : i + 2])
    space = Darts()
    for point in space.sample(np.random.default_rng(0), 50):
        assert np.array_equal(encode(decode(point)), point)


def test_cells_that_are_none_are_named():
    broken = (("skip_connect", 0), ("skip_connect", 0), *DARTS_V2.normal[2:])
    with pytest.raises(InputError, match="cell 'normal', node 0: expected two different inputs of 0 to 1, got 0"):
        encode(Genotype(broken, DARTS_V2.reduce))
    with pytest.raises(InputError, match="cell 'reduce': expected 8 operations, got 7"):
        encode(Genotype(DARTS_V2.normal, DARTS_V2.reduce[1:]))
    with pytest.raises(UsageError, match="no operation of cell 'normal' named 'sep_conv_7x7'; did you mean"):
        encode(Genotype((("sep_conv_7x7", 0), *DARTS_V2.normal[1:]), DARTS_V2.reduce))
    code = encode(DARTS_V2)
    code[2:5] = 1
    with pytest.raises(InputError):
        decode(code)


def test_every_node_keeps_two_inputs():
    space = Darts()
    code = np.zeros(28, np.int64)
    code[2:5] = 7, 6, 5  # three inputs: the first two stay
    code[9 + 4] = 4  # one input: an absent one becomes a skip
    found = space.canonical(code)[0]
    assert found[:9].tolist() == [3, 3, 7, 6, 0, 3, 3, 0, 0]
    assert found[9:14].tolist() == [3, 0, 0, 0, 4]


def test_codes_are_drawn_uniformly():
    points = Darts().sample(np.random.default_rng(1), 7000)
    last = points[:, 9:14] > 0
    assert np.abs(last.mean(axis=0) - 0.4).max() < 0.02
    shares = np.bincount(points[points > 0], minlength=8)[1:] / (16 * len(points))
    assert np.abs(shares - 1 / 7).max() < 0.005


def test_operations_are_what_they_are_called():
    space = load(SMALL)
    assert space.cover().shape == (21, 28)
    assert all(set(column) >= set(range(1, 8)) for column in space.cover().T)
    for op, wanted in {
        "max_pool_3x3": [("max", 3)],
        "avg_pool_3x3": [("avg", 3)],
        "skip_connect": [],
        "sep_conv_5x5": [(5, 1), (1, 1), (5, 1), (1, 1)],
        "dil_conv_3x3": [(3, 2), (1, 1)],
    }.items():
        code = encode(DARTS_V2)
        code[0] = OPS.index(op)
        network = space.network(code)
        mine = [n for n in network.nodes if space.edge_of(n.name) == 0 and n.name.startswith("c0.")]
        found = []
        for node in mine:
            if isinstance(node.op, Pool2d):
                found.append((node.op.kind, node.op.kernel[0]))
            elif isinstance(node.op, Conv2d):
                found.append((node.op.kernel[0], node.op.dilation[0]))
        assert found == wanted
    assert len(EDGES) == 14 and space.edge_of("c0.n1") is None and space.edge_of("classifier") is None


def test_networks_run_and_are_exported():
    space = load(SMALL)
    pytest.importorskip("torch")
    import torch

    from cofront.network.pytorch import to_torch

    for point in space.sample(np.random.default_rng(2), 2):
        network = space.network(point)
        weights = random_weights(network, np.random.default_rng(3))
        x = np.random.default_rng(4).standard_normal((2, *space.input_shape), dtype=np.float32)
        y = run(network, weights, x)
        with torch.no_grad():
            other = to_torch(network, weights).eval()(torch.from_numpy(x)).numpy()
        assert np.abs(y - other).max() <= 1e-4 * np.abs(y).max()
        again = from_onnx(to_onnx(network, weights))
        assert again.network.macs == network.macs
        assert np.abs(run(again.network, again.weights, x) - y).max() <= 1e-4 * np.abs(y).max()


def test_measuring_says_that_there_are_no_operators_to_share():
    with pytest.raises(UsageError, match=r"space 'darts' has no trellis, .*; measure whole networks: --no-operators"):
        operators(Darts())


def test_variants():
    small = load("darts@channels=16,cells=8,side=64,classes=100")
    assert small.name == "darts@channels=16,cells=8,side=64,classes=100" and load("darts@cells=20").name == "darts"
    assert small.input_shape == (3, 64, 64)
    assert [p.number for p in small.places if p.reduces] == [2, 5]
    for text in ("small", "cells", "cells=x", "cells=8,cells=9"):
        with pytest.raises(UsageError, match="expected some of channels, cells, side, classes"):
            load(f"darts@{text}")
    with pytest.raises(UsageError, match="cells must be a whole number of 3 to 4096, got 2"):
        load("darts@cells=2")
