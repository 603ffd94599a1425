"""The records agree with the space of the same name, choice by choice and MAC by MAC."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import UsageError
from cofront.network import Conv2d
from cofront.space.subgraph32 import Subgraph32
from cofront.task import subnet
from cofront.task.supernet import STEM_CONV, convs

SPACE = Subgraph32()
POINTS = st.tuples(*(st.integers(0, int(n) - 1) for n in subnet.SIZES)).map(np.array)


def test_choices() -> None:
    assert tuple(c.name for c in SPACE.choices) == subnet.NAMES
    np.testing.assert_array_equal(SPACE.sizes, subnet.SIZES)


@settings(max_examples=60, deadline=None)
@given(point=POINTS)
def test_same_network(point: np.ndarray) -> None:
    p = subnet.as_point(point)
    np.testing.assert_array_equal(p, SPACE.canonical(point[None])[0])
    network, sub = SPACE.network(p), subnet.decode(p)
    assert network.macs == sub.macs()
    parts = [STEM_CONV, *(c for b in sub.blocks for c in convs(b))]
    bits = [(8, 8), *((b.weight_bits, b.act_bits) for b in sub.blocks for _ in convs(b))]
    layers = [n for n in network.layers if isinstance(n.op, Conv2d)]
    assert len(layers) == len(parts)
    for node, c, (w, a) in zip(layers, parts, bits, strict=True):
        assert isinstance(node.op, Conv2d)
        assert (network.in_shapes(node)[0][0], node.op.out_channels) == (c.cin, c.cout)
        assert (node.op.kernel[0], node.op.stride[0], node.op.groups > 1) == (c.kernel, c.stride, c.depthwise)
        assert (node.weight_bits, node.in_bits) == (w, a)


def test_ends() -> None:
    macs = [subnet.decode(subnet.sample(np.random.default_rng(i))).macs() for i in range(50)]
    assert subnet.decode(subnet.largest()).macs() > max(macs)
    assert subnet.decode(subnet.smallest()).macs() == 2_972_288
    assert subnet.decode(subnet.largest()).macs() == 81_103_360


@pytest.mark.parametrize(
    ("point", "message"),
    [([0] * 24, "25 integers"), ([0.5] * 25, "25 integers"), ([3] + [0] * 24, "'resolution' is an index 0..2")],
)
def test_wrong_point(point: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        subnet.as_point(point)
