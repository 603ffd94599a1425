import pytest

from cofront.errors import InputError
from cofront.network import Activation, Builder, Conv2d, Input, Linear, Network, Node, stack


def block(name: str = "net") -> Network:
    b = Builder(name, (3, 32, 32))
    b.block = "stem"
    b.conv(16, 3, 2, act="relu", name="stem")
    b.block = "b1"
    x = b.last
    b.conv(48, 1, act="relu", name="expand")
    b.depthwise(3, act="relu", name="dw")
    b.conv(16, 1, name="project")
    b.sum(x, b.last, name="add")
    b.block = "head"
    b.classifier(10)
    return b.build()


def test_macs_and_params_by_hand():
    net = block()
    assert net.shapes["stem"] == (16, 16, 16)
    px = 16 * 16
    assert net.macs == px * (16 * 27 + 16 * 48 + 48 * 9 + 48 * 16) + 160
    weights = 16 * 27 + 16 * 48 + 48 * 9 + 48 * 16 + 160
    norms = 2 * (16 + 48 + 48 + 16)
    assert net.params == weights + norms + 10


def test_bits_inside_a_block_follow_the_consumer_and_leave_it_at_eight():
    net = block().with_bits(lambda n: (4, 4) if n.block == "b1" else (8, 8))
    by = net.by_name
    assert (by["expand"].weight_bits, by["expand"].in_bits) == (4, 4)
    assert by["stem.act"].out_bits == 8  # leaves its block
    assert by["expand.act"].out_bits == 4 and by["dw.act"].out_bits == 4
    assert by["project"].out_bits == 8  # feeds the residual
    assert net.weight_bytes < block().uniform_bits(8, 8).weight_bytes


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((Node("a", Activation("relu"), ("x",)),), "first node must be the input"),
        ((Node("x", Input((3, 4, 4))), Node("x", Activation("relu"), ("x",))), "two nodes are named 'x'"),
        ((Node("x", Input((3, 4, 4))), Node("a", Activation("relu"), ("y",))), "reads \\['y'\\] before"),
        ((Node("x", Input((3, 4, 4))), Node("a", Linear(4), ("x",))), "node 'a': linear layer expects a vector"),
        ((Node("x", Input((3, 4, 4))), Node("a", Conv2d(4, (7, 7)), ("x",))), "window of 7"),
        (
            (Node("x", Input((3, 4, 4))), Node("a", Conv2d(4, (1, 1), groups=2), ("x",))),
            "cannot be split into 2 groups",
        ),
    ],
)
def test_a_graph_that_cannot_be_is_refused_in_one_line(nodes, message):
    with pytest.raises(InputError, match=message) as caught:
        Network("bad", nodes)
    assert "\n" not in str(caught.value)


def test_stack_joins_parts_and_checks_shapes():
    a = Builder("a", (3, 8, 8))
    a.conv(4, 3, name="a1")
    b = Builder("b", (4, 8, 8))
    b.conv(5, 1, name="b1")
    whole = stack("ab", [a.build(), b.build()])
    assert [n.name for n in whole.nodes] == ["input", "a1", "b1"]
    assert whole.macs == a.build().macs + b.build().macs
    with pytest.raises(InputError, match="cannot stack: 'a' expects"):
        stack("aa", [a.build(), a.build()])
