"""Operators of a given network: the conformance suite, shapes, what is admitted, and what a unit keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_space_nasa import WithoutPrecisions

from cofront.errors import InputError, UsageError
from cofront.network import Activation, Add, Builder, Network, stack
from cofront.network.reference import run
from cofront.network.weights import random_weights
from cofront.space.candidates import KINDS, Slot
from cofront.space.narrowed import inner_groups, narrowed
from cofront.space.operators_of import EVERY, FEW, SOME, TEACHER, OperatorsOf, slot_of, units_of


def unit(name, cin, side, cout, stride, *, residual=False, last=None):
    b = Builder(name, (cin, side, side))
    b.block = name
    b.conv(16, 3, stride, act="relu6", name=f"{name}.conv")
    b.depthwise(3, act="relu6", name=f"{name}.dw")
    out = b.conv(cout, 1, name=f"{name}.project")
    if residual:
        b.sum(out, "input", name=f"{name}.add")
    if last:
        b.act(last, name=f"{name}.last")
    return b.build()


def head(cin, side):
    b = Builder("head", (cin, side, side))
    b.block = "head"
    b.classifier(10)
    return b.build()


PARTS = [unit("a", 3, 16, 16, 2), unit("b", 16, 8, 16, 1, residual=True), unit("c", 16, 8, 24, 2, last="relu"),
         head(24, 4)]  # fmt: skip


class TestOperatorsOf(WithoutPrecisions):
    make = staticmethod(lambda: OperatorsOf(PARTS, (*FEW, "ib5e2se", "gate3"), "W8A8"))
    n_points = 10**3


def test_the_first_point_is_the_teacher():
    space = OperatorsOf(PARTS)
    teacher = space.network(np.zeros(4, np.int64))
    assert teacher.nodes == stack("t", PARTS).nodes
    assert list(space.operators[3]) == [TEACHER]


def test_every_operator_fits_its_place():
    """Each admitted operator of every unit has the unit's shapes, and costs something, save the identity."""
    space = OperatorsOf(PARTS)
    counts = [len(o) for o in space.operators]
    assert counts[1] > 110 and min(counts[:3]) > 70
    for part, operators in zip(space.parts, space.operators, strict=True):
        for name, found in operators.items():
            if found is None:
                assert name == "skip"
                continue
            assert found.shapes[found.output.name] == part.shapes[part.output.name], name
            assert found.shapes[found.input.name] == part.shapes[part.input.name], name
            assert {n.block for n in found.nodes[1:]} == {part.name}, name
            assert found.macs > 0


def test_what_the_teacher_does_at_its_end_every_operator_does():
    """The sum with the input where the unit has one, the activation where it ends in one."""
    space = OperatorsOf(PARTS)
    for name, found in space.operators[1].items():
        if found is not None:
            assert any(isinstance(n.op, Add) and found.input.name in n.inputs for n in found.nodes), name
    for name, found in space.operators[2].items():
        assert isinstance(found.output.op, Activation) and found.output.op.kind == "relu", name
    assert space.operators[1]["skip"] is None


def test_no_two_operators_of_a_unit_are_the_same():
    """Behind a skip of equal shape `conv1` is one of its own, where the channels differ at stride 1 it is the skip."""
    space = OperatorsOf([unit("a", 16, 8, 24, 1), head(24, 8)])
    assert "skip" in space.operators[0] and "conv1" not in space.operators[0]


@given(st.sampled_from(list(KINDS)), st.sampled_from([4, 8, 12, 16, 24]), st.sampled_from([8, 16, 24]),
       st.integers(3, 17), st.sampled_from([1, 2]))  # fmt: skip
def test_a_kind_that_is_admitted_keeps_its_word(name, cin, cout, side, stride):
    slot = Slot("x", cin, side, side, cout, stride)
    kind = KINDS[name]
    if not kind.admitted(slot):
        return
    b = Builder("x", (cin, side, side))
    kind.build(b, slot)
    expected = (cout, -(-side // stride), -(-side // stride))
    assert b.shape() == expected


def test_narrowed_units_keep_what_leaves_them():
    part = PARTS[1]
    assert inner_groups(part) == [("b.conv", "b.dw")]
    half = narrowed(part, 0.5)
    assert half is not None
    assert half.shapes["b.conv"][0] == half.shapes["b.dw"][0] == 8
    assert half.shapes[half.output.name] == part.shapes[part.output.name]
    assert half.by_name["b.dw"].op.is_depthwise(8)
    assert narrowed(part, 1.0) is None
    plain = Builder("one", (8, 6, 6))
    plain.conv(8, 3, act="relu")
    assert narrowed(plain.build(), 0.5) is None  # all channels leave it


def test_squeezed_units_are_narrowed_nowhere_the_gate_is():
    b = Builder("se", (8, 6, 6))
    b.conv(16, 1, act="relu", name="expand")
    b.squeeze_excite(4, prefix="se")
    b.conv(8, 1, name="project")
    assert inner_groups(b.build()) == [("se.reduce",)]


def test_a_random_network_computes():
    space = OperatorsOf(PARTS)
    rng = np.random.default_rng(3)
    network = space.network(space.sample(rng, 1)[0])
    assert network.shapes[network.output.name] == (10,)
    out = run(network, random_weights(network, rng), rng.standard_normal((2, 3, 16, 16)).astype(np.float32))
    assert np.isfinite(out).all()


def test_strides_that_no_rule_explains_have_no_slot():
    b = Builder("odd", (8, 9, 9))
    b.conv(8, 3, 4, padding=0, name="c")  # 9 -> 2, where stride 5 or "same" would give something else
    assert slot_of(b.build(), "x") is not None  # 9 / 5 rounds up to 2
    b = Builder("valid", (8, 9, 9))
    b.conv(8, 3, padding=0, name="c")  # 9 -> 7
    assert slot_of(b.build(), "x") is None
    assert slot_of(head(8, 4), "x") is None


def test_units_are_blocks_and_the_pooling_is_one_of_its_own():
    b = Builder("net", (3, 8, 8))
    b.conv(8, 3, act="relu", name="c")
    b.conv(8, 3, act="relu", name="d")
    b.classifier(4)
    units = units_of(b.build())
    assert [[n.name for n in u.nodes[1:]] for u in units] == [
        ["c", "c.act"], ["d", "d.act"], ["classifier.pool", "classifier.flatten"], ["classifier"]
    ]  # fmt: skip
    assert len({n.block for u in units for n in u.nodes[1:]}) == 4
    whole = stack("net", units)
    assert [n.op for n in whole.nodes] == [n.op for n in b.build().nodes]
    space = OperatorsOf(units)
    assert [len(o) > 50 for o in space.operators] == [True, True, False, False]
    # what reads an inner tensor besides keeps its unit whole
    b = Builder("se", (3, 8, 8))
    b.conv(8, 3, act="relu", name="c")
    b.squeeze_excite(2, prefix="se")
    assert len(units_of(b.build())) == 1


def test_precisions_are_of_every_operator():
    space = OperatorsOf(PARTS, FEW, "W8A8")
    network = space.network(space.sample(np.random.default_rng(0), 1)[0])
    assert {(n.weight_bits, n.in_bits) for n in network.layers} == {(8, 8)}


def test_refusals():
    with pytest.raises(UsageError, match="no operator named 'convolution'"):
        OperatorsOf(PARTS, ("convolution",))
    with pytest.raises(UsageError, match="no precision named 'W3A3'"):
        OperatorsOf(PARTS, FEW, "W3A3")
    with pytest.raises(InputError, match="at least one unit"):
        OperatorsOf([])
    with pytest.raises(UsageError, match="no unit of this network admits any"):
        OperatorsOf([head(8, 4)])
    vector = Builder("v", (8,))
    from cofront.network import Linear

    vector.add(Linear(4))
    with pytest.raises(InputError, match=r"its input is \(8,\)"):
        OperatorsOf([vector.build()])


def test_lists_are_of_known_names():
    assert set(FEW) < set(SOME) < set(EVERY) and len(set(EVERY)) == len(EVERY) > 150
    assert isinstance(OperatorsOf(PARTS, SOME).network(np.zeros(4, np.int64)), Network)
