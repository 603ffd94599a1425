import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.network.ops import Add, Conv2d
from cofront.space import load, names
from cofront.space.subgraph32 import OPS, RESOLUTIONS, STAGE_WIDTHS, Subgraph32
from cofront.testing.spaces import SpaceConformance

SPACE = Subgraph32()
POINT = st.tuples(*(st.integers(0, int(n) - 1) for n in SPACE.sizes)).map(lambda p: np.array(p, np.int64))


class TestSubgraph32(SpaceConformance):
    make = Subgraph32
    # 18 (operator, precision) pairs per block, one to three blocks and three widths per stage, three resolutions
    n_points = 3 * (3 * (18 + 18**2 + 18**3)) ** 3


def plain(point: np.ndarray) -> list[tuple[int, int, int, int, int, bool]]:
    """The convolutions of a point as (side in, cin, cout, kernel, stride, depthwise), written without the space."""
    side = (24, 28, 32)[point[0]]
    rows = [(side, 3, 32, 3, 1, False)]
    cin = 32
    for stage, widths in enumerate(((32, 48, 64), (64, 96, 128), (128, 192, 256))):
        cout = widths[point[1 + 2 * stage]]
        for position in range(point[2 + 2 * stage] + 1):
            op, stride = point[7 + 3 * stage + position], 2 if position == 0 else 1
            if op < 4:
                hidden, kernel = cin * (2 if op < 2 else 4), 5 if op % 2 else 3
                rows += [(side, cin, hidden, 1, 1, False), (side, hidden, hidden, kernel, stride, True)]
            else:
                hidden = cout // 2 if op == 4 else cout
                rows.append((side, cin, hidden, 3, stride, False))
            side = (side + 1) // 2 if stride == 2 else side
            rows.append((side, hidden, cout, 1, 1, False))
            cin = cout
    return rows


@given(POINT)
@settings(max_examples=30, deadline=None)
def test_layers_follow_the_definition(point):
    network = SPACE.network(point)
    found = []
    for node in network.nodes:
        if isinstance(node.op, Conv2d):
            cin, side, _ = network.in_shapes(node)[0]
            op = node.op
            found.append((side, cin, op.out_channels, op.kernel[0], op.stride[0], op.groups == cin and op.groups > 1))
    assert found == plain(point)
    assert network.shapes[network.output.name] == (10,)


@given(POINT)
@settings(max_examples=30, deadline=None)
def test_residuals_where_shapes_allow(point):
    network = SPACE.network(point)
    added = {n.block for n in network.nodes if isinstance(n.op, Add)}
    expected = set()
    for stage in (1, 2, 3):
        for position in range(2, int(point[2 * stage]) + 2):  # stride 1 and equal widths: all but the first
            expected.add(f"s{stage}b{position}")
    # the first block of each stage has stride 2, so it never has one
    assert added == expected
    for node in network.nodes:
        if isinstance(node.op, Add):
            assert network.consumers[node.name], "no activation, but something reads it"
            assert node.name == f"{node.block}.add"


@given(POINT)
@settings(max_examples=30, deadline=None)
def test_precisions_are_those_of_the_blocks(point):
    network = SPACE.network(point)
    bits = ((8, 8), (4, 8), (4, 4))
    for node in network.layers:
        if node.block in ("stem", "head"):
            assert (node.weight_bits, node.in_bits) == (8, 8)
        else:
            number = 3 * (int(node.block[1]) - 1) + int(node.block[3])
            assert (node.weight_bits, node.in_bits) == bits[point[15 + number]]


def test_agrees_with_the_supernets_own_definition():
    subnet = pytest.importorskip("cofront.task.subnet")
    points = np.random.default_rng(3).integers(0, SPACE.sizes, (60, 25))
    assert [c.name for c in SPACE.choices] == list(subnet.NAMES)
    assert np.array_equal(SPACE.sizes, subnet.SIZES)
    assert np.array_equal(SPACE.canonical(points), subnet.as_points(points))
    for point in points:
        assert SPACE.network(point).macs == subnet.decode(point).macs()


def test_names_and_labels_are_stable():
    point = np.zeros(25, np.int64)
    point[2], point[8], point[17] = 1, 4, 2  # two blocks in stage 1, the second a full convolution at W4A4
    network = SPACE.network(point)
    assert [n.name for n in network.nodes if n.block == "s1b1"] == [
        "s1b1.expand", "s1b1.expand.act", "s1b1.dw", "s1b1.dw.act", "s1b1.project",
    ]  # fmt: skip
    assert [n.name for n in network.nodes if n.block == "s1b2"] == [
        "s1b2.conv", "s1b2.conv.act", "s1b2.project", "s1b2.add",
    ]  # fmt: skip
    stored = {n.name: n.out_bits for n in network.nodes}
    assert stored["s1b2.conv"] == stored["s1b2.conv.act"] == 4  # inside a W4A4 block
    assert stored["s1b2.project"] == stored["s1b2.add"] == stored["s1b1.project"] == 8  # leaves the block, or is added


def test_blocks_without_precision_are_left_out():
    """A table whose networks never have a third block in stage 2: no network with one is searched."""
    points = SPACE.sample(np.random.default_rng(0), 400)
    points = SPACE.canonical(np.where(np.arange(25) == 4, np.minimum(points, 1), points))
    known = SPACE.precisions_of(points)
    assert known["s2b3"] == ()
    trellis = SPACE.layered(known).trellis
    assert trellis.n_paths() == 3**4 * 6174**2 * (18 + 18**2)
    assert set(trellis.edge_from) | {trellis.n_nodes - 1} == set(range(trellis.n_nodes))
    assert set(trellis.edge_to) | {0} == set(range(trellis.n_nodes))


def test_describe_names_the_options():
    told = SPACE.describe(np.array([2, *[0] * 23, 1]))
    assert told["resolution"] == 32
    assert told["b1_op"] == "dw3e2"
    assert told["b9_bits"] == "W4A8"


def test_constants():
    assert (RESOLUTIONS, len(OPS)) == ((24, 28, 32), 6)
    assert STAGE_WIDTHS == ((32, 48, 64), (64, 96, 128), (128, 192, 256))


def test_spaces_are_registered():
    assert {"subgraph32", "ofa_mobilenetv3"} <= set(names())
    assert isinstance(load("subgraph32"), Subgraph32)
