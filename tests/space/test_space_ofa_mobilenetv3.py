import os
from pathlib import Path

import numpy as np
import pytest

from cofront.errors import InputError, UsageError
from cofront.network.ops import Activation, Add, Mul
from cofront.network.zoo.units import make_divisible
from cofront.space import load
from cofront.space.ofa_mobilenetv3 import OfaMobileNetV3
from cofront.testing.spaces import SpaceConformance

TABLE = Path(os.environ.get("COFRONT_DATA", "../shared/data")) / "ofa_mobilenetv3_imagenet.parquet"
STAGE = 27**2 + 27**3 + 27**4


class TestOfaMobileNetV3(SpaceConformance):
    make = OfaMobileNetV3
    n_points = STAGE**5 * 3**3


class TestTwoResolutions(SpaceConformance):
    make = staticmethod(lambda: load("ofa_mobilenetv3@160,224"))
    n_points = 2 * STAGE**5 * 3**3


def test_more_than_1e29_paths():
    assert OfaMobileNetV3().layered().trellis.n_paths() >= 10**29
    ends = {end: ("W8A8",) for end in OfaMobileNetV3.ends}
    assert OfaMobileNetV3().layered(ends).trellis.n_paths() == STAGE**5


@pytest.mark.skipif(not TABLE.exists(), reason=f"no {TABLE.name}")
def test_macs_and_parameters_equal_the_published_table():
    """Every 40th row here; benchmarks/accuracy_predictors.py checks all of them."""
    import pyarrow.parquet as pq

    columns = pq.read_table(TABLE).to_pydict()
    space, points = OfaMobileNetV3().from_table(columns)
    assert len(points) == len(columns["macs"])
    for i in range(0, len(points), 40):
        network = space.network(points[i])
        assert (network.macs, network.params) == (columns["macs"][i], columns["params"][i])


def test_largest_network_has_the_published_structure():
    space = OfaMobileNetV3()
    point = np.zeros(len(space.sizes), np.int64)
    point[1:6], point[6:26], point[26:46] = 2, 2, 2  # depth 4, kernel 7, expansion 6
    network = space.network(point)
    assert [network.shapes[f"s{s}b4.project"] for s in range(1, 6)] == [
        (24, 56, 56), (40, 28, 28), (80, 14, 14), (112, 14, 14), (160, 7, 7),
    ]  # fmt: skip
    assert {n.block for n in network.nodes if isinstance(n.op, Mul)} == {
        f"s{s}b{b}" for s in (2, 4, 5) for b in range(1, 5)
    }
    assert {n.block for n in network.nodes if isinstance(n.op, Add)} == {
        "first", *(f"s{s}b{b}" for s in range(1, 6) for b in (2, 3, 4))
    }  # fmt: skip
    swish = {n.block for n in network.nodes if isinstance(n.op, Activation) and n.op.kind == "hswish"}
    assert swish == {"stem", "head", *(f"s{s}b{b}" for s in (3, 4, 5) for b in range(1, 5))}
    assert network.by_name["s5b4.dw"].op.kernel == (7, 7)
    assert network.by_name["head.mix"].op.out_channels == 1280


@pytest.mark.parametrize(
    ("value", "expected"), [(16 * 3, 48), (24 * 3 // 4, 24), (40 * 6 // 4, 64), (18, 24), (19, 24), (3, 8), (60, 64)]
)
def test_channels_are_multiples_of_eight(value, expected):
    assert make_divisible(value) == expected


def test_table_with_lists():
    row = {"kernel": [[3] * 18 + [0, 0]], "expand": [[6] * 18 + [0, 0]], "depth": [[2, 3, 4, 2, 2]]}
    space, points = OfaMobileNetV3().from_table(row)
    told = space.describe(points[0])
    assert (told["b1_kernel"], told["b1_expand"], told["s3_depth"], told["b1_bits"]) == (3, 6, 4, "W8A8")
    assert space.resolutions == (224,)
    space, points = OfaMobileNetV3().from_table({**row, "resolution": [192], "bits": [["W4A4"] * 20]})
    assert (space.name, space.describe(points[0])["b1_bits"]) == ("ofa_mobilenetv3@192", "W4A4")
    assert space.network(points[0]).shapes["input"] == (3, 192, 192)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": [[3] * 19]}, "column 'kernel', row 0: expected a list of 20"),
        ({"kernel": ["3333"]}, "column 'kernel', row 0: expected a list of 20"),
        ({"kernel": [[9, *[3] * 19]]}, "column 'b1_kernel', row 0: 9 is outside space 'ofa_mobilenetv3'"),
        ({"kernel": [[0, *[3] * 19]]}, "column 'b1_kernel', row 0: no entry, but the network of this row needs one"),
        ({"depth": [[2, 2, 2, 2, 5]]}, "column 's5_depth', row 0: 5 is outside"),
        ({"resolution": [100]}, "column 'resolution', row 0: 100 is outside"),
        ({"resolution": [[224]]}, r"column 'resolution', row 0: \[224\] is outside"),
    ],
)
def test_bad_rows_are_named(change, message):
    row = {"kernel": [[3] * 20], "expand": [[6] * 20], "depth": [[2, 2, 2, 2, 2]]}
    with pytest.raises(InputError, match=message):
        OfaMobileNetV3().from_table({**row, **change})


def test_missing_column_is_named():
    with pytest.raises(InputError, match="no column b1_expand, b2_expand"):
        OfaMobileNetV3().from_table({"kernel": [[3] * 20], "depth": [[2] * 5]})


@pytest.mark.parametrize("name", ["ofa_mobilenetv3@7", "ofa_mobilenetv3@wide", "ofa_mobilenetv3@"])
def test_bad_variants_are_refused(name):
    with pytest.raises(UsageError, match="resolutions"):
        load(name)
