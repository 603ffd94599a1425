"""Spaces of published tables: the conformance suite, and sizes equal to the published columns."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cofront.errors import InputError, UnsupportedError, UsageError
from cofront.network import Network, zoo
from cofront.network.ops import Activation, Conv2d, GlobalPool
from cofront.network.zoo.fbnet import UNITS as PUBLISHED_FBNETS
from cofront.space import load
from cofront.space.fbnet import SKIP, UNITS, FBNet
from cofront.space.mnasnet_accel import MnasNetAccel
from cofront.space.nasbench201 import (
    NasBench201,
    canonical_cells,
    cell_string,
    dead_cells,
    expression,
    parse_cell,
    published_sizes,
)
from cofront.space.nasbench_macro import NasBenchMacro
from cofront.testing.spaces import SpaceConformance

DATA = Path(os.environ.get("COFRONT_DATA", "../shared/data"))


def table(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {path.name}")
    return path


def numel(network: Network, name: str) -> int:
    return int(np.prod(network.shapes[name]))


class TestNasBench201(SpaceConformance):
    make = NasBench201
    n_points = 15625 - 341


class TestCanonical(SpaceConformance):
    make = staticmethod(lambda: load("nasbench201@canonical"))
    n_points = 6466 - 5  # classes of dead cells


class TestFBNet(SpaceConformance):
    make = FBNet
    # identities have no precision; six of the 22 layers change the shape, so their skip is a convolution
    n_points = 25**16 * 27**6


class TestFBNetCifar(SpaceConformance):
    make = staticmethod(lambda: load("fbnet@cifar100"))
    n_points = 25**16 * 27**6


class TestMnasNetAccel(SpaceConformance):
    make = MnasNetAccel
    n_points = (36 * 3) ** 6 * 48 * 3


class TestNasBenchMacro(SpaceConformance):
    make = NasBenchMacro
    n_points = 7**5 * 9**3


# NAS-Bench-201


def all_cells() -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(5)] * 6, indexing="ij"), -1).reshape(-1, 6)


def test_cells_have_6466_classes_and_341_are_dead():
    cells = all_cells()
    assert len(np.unique(canonical_cells(cells))) == 6466
    assert dead_cells(cells).sum() == 341


def test_sizes_without_dead_operations_are_the_published_ones():
    space, rng = NasBench201(), np.random.default_rng(0)
    cells = space.sample(rng, 60)
    whole = [c for c in cells if all(o == 0 or l for o, l in zip(c, _live_edges(c), strict=True))]
    assert len(whole) > 20
    macs, params = published_sizes(np.array(whole))
    for cell, m, p in zip(whole, macs, params, strict=True):
        network = space.network(cell)
        assert network.params == p
        assert network.macs - network.node_macs(network.by_name["last"]) + 10 == m


def _live_edges(cell):
    from cofront.space.nasbench201 import _live

    return _live(tuple(cell.tolist()))[0]


def test_published_extremes():
    """7.78 M to 220.12 M FLOPs, .073 M to 1.531 M parameters [NB201]."""
    macs, params = published_sizes(all_cells())
    assert (macs.min(), macs.max()) == (7783050, 220119690)
    assert (params.min(), params.max()) == (73306, 1531546)


def test_operations_without_effect_have_no_layers():
    space = NasBench201()
    lone = parse_cell("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    identity = parse_cell("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert space.network(np.array(lone)).nodes == space.network(np.array(identity)).nodes
    assert canonical_cells(np.array([lone]))[0] == canonical_cells(np.array([identity]))[0]


def test_a_dead_cell_is_named():
    with pytest.raises(UnsupportedError, match=r"cell \|none~0\|.* is dead: no operation leads from its input"):
        NasBench201().network(np.zeros(6, np.int64))


def test_cell_strings():
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert cell_string(parse_cell(text)) == text
    assert expression(parse_cell(text)).startswith("(0)@avg_pool_3x3+(0)@avg_pool_3x3")
    with pytest.raises(InputError, match=r"column 'arch', row 4: expected a cell such as .*, got '\|nor~0\|'"):
        parse_cell("|nor~0|", 4)
    with pytest.raises(UsageError, match="expected canonical"):
        load("nasbench201@unique")


def test_the_published_table_has_our_classes():
    import pyarrow.parquet as pq

    columns = pq.read_table(table("nasbench201.parquet"), columns=["arch", "isomorphism"]).to_pydict()
    space, points = NasBench201().from_table({"arch": columns["arch"]})
    assert isinstance(space, NasBench201)
    ours = canonical_cells(points)
    assert len(set(ours.tolist())) == len(set(columns["isomorphism"]))
    for point, text in zip(points.tolist(), columns["isomorphism"], strict=True):
        assert expression(tuple(point)) == text


# FBNet


@pytest.mark.parametrize("name", ["b", "c", "a"])
def test_fbnets_are_points(name):
    space = FBNet()
    names = {"31": 0, "31g": 1, "33": 2, "36": 3, "51": 4, "51g": 5, "53": 6, "56": 7, "-": SKIP}
    point = np.zeros(len(space.sizes), np.int64)
    point[:22] = [names[u] for u in PUBLISHED_FBNETS[name].split()]
    network, published = space.network(point), zoo.load(f"fbnet-{name}")
    wider = 480 if name == "a" else 0  # FBNet-A has a narrower head
    assert network.macs == published.macs + wider * (352 * 49 + 1000)
    assert network.params == published.params + wider * (352 + 2 + 1000)


def test_fbnet_sizes_are_the_published_columns():
    """The column `flops` counts two operations per normalised element, one per pooled one and most ReLUs."""
    import pyarrow.parquet as pq

    columns = pq.read_table(table("fbnet_space.parquet")).to_pydict()
    space, points = load("fbnet@cifar100").from_table(columns)
    for i in range(0, len(points), 250):
        network = space.network(points[i])
        extra = sum(2 * numel(network, n.name) for n in network.layers if isinstance(n.op, Conv2d) and n.op.norm)
        ends = (".dw.act", ".skip.act", "stem.act", "head.act")
        extra += sum(numel(network, n.name) for n in network.nodes if n.name.endswith(ends)) + 1504 * 4 * 4
        assert network.params == pytest.approx(columns["params"][i], rel=5e-6)
        assert network.macs + extra == pytest.approx(columns["flops"][i], rel=2e-6)


def test_fbnet_variants():
    assert FBNet().input_shape == (3, 224, 224)
    assert len(UNITS) == 8
    with pytest.raises(UsageError, match="'fbnet@mnist': expected imagenet, cifar100 or cifar10-small after"):
        load("fbnet@mnist")


# Accel-NASBench and NAS-Bench-Macro


def test_mnasnet_sizes_are_the_published_columns():
    """The column `macs` counts four operations per normalised element, and poolings."""
    import pyarrow.parquet as pq

    columns = pq.read_table(table("accel_nasbench.parquet")).to_pydict()
    space, points = MnasNetAccel().from_table(columns)
    for i in range(0, len(points), 200):
        network = space.network(points[i])
        extra = sum(4 * numel(network, n.name) for n in network.layers if isinstance(n.op, Conv2d) and n.op.norm)
        for n in network.nodes:
            if isinstance(n.op, GlobalPool):
                c, h, w = network.in_shapes(n)[0]
                extra += c * (h * w + 1)
        assert network.params == round(columns["params"][i] * 1e6)
        assert network.macs + extra == round(columns["macs"][i] * 1e6)


def test_macro_sizes_are_the_published_columns():
    published = json.loads(table("nasbench_macro_cifar10.json").read_text())
    names = list(published)[::150]
    space, points = NasBenchMacro().from_table({"arch": names})
    for name, point in zip(names, points, strict=True):
        network = space.network(point)
        assert (network.macs, network.params) == (published[name]["flops"], published[name]["params"])
    assert sum(isinstance(n.op, Activation) for n in network.nodes) > 0


def test_macro_names_are_checked():
    with pytest.raises(InputError, match="column 'arch', row 1: expected eight digits 0 to 2, got '0123'"):
        NasBenchMacro().from_table({"arch": ["00000000", "0123"]})
