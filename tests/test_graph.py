import pytest

from cofront.errors import InputError
from cofront.network import (
    Activation,
    Builder,
    ChannelShuffle,
    Conv2d,
    Input,
    Linear,
    Network,
    Node,
    Pool2d,
    stack,
)


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
        ((Node("x", Input((3, 4, 4))), Node("y", Input((3, 4, 4)))), "'y' is a second input"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_in_one_line(nodes, message):
    with pytest.raises(InputError, match=message) as caught:
        Network("bad", nodes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Input((3, 0, 4)), "input: shape must be whole numbers of at least 1, got \\(3, 0, 4\\)"),
        (lambda: Input((3, 4.0, 4)), "input: shape"),
        (lambda: Conv2d(0, (3, 3)), "convolution: out_channels"),
        (lambda: Conv2d(4, (0, 3)), "convolution: kernel"),
        (lambda: Conv2d(4, (3, 3), (0, 1)), "convolution: stride"),
        (lambda: Conv2d(4, (3, 3), padding=(0, 0, -1, 0)), "convolution: padding must be whole numbers of at least 0"),
        (lambda: Conv2d(4, (3, 3), groups=0), "convolution: groups"),
        (lambda: Conv2d(4, (3, 3), dilation=(1, 0)), "convolution: dilation"),
        (lambda: Linear(-1), "linear layer: out_features"),
        (lambda: Pool2d("max", (2, 2), (0, 0)), "pooling: stride"),
        (lambda: Pool2d("median", (2, 2), (2, 2)), "kind of pooling must be one of max, avg, got 'median'"),
        (lambda: Activation("tanh"), "activation must be one of relu, .*, got 'tanh'"),
        (lambda: ChannelShuffle(0), "channel shuffle: groups"),
        (lambda: Node("a", Linear(4), weight_bits=0), "node 'a': bits are whole numbers of 1 to 32, got 0"),
        (lambda: block().uniform_bits(8, -4), "bits are whole numbers of 1 to 32, got -4"),
    ],
)
def test_layers_that_cannot_be_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_operators_that_only_move_numbers_keep_the_width_they_read():
    b = Builder("net", (8, 8, 8))
    b.block = "b1"
    x = b.conv(8, 1, groups=2, act="relu")
    y = b.shuffle(2, name="shuffle")
    b.depthwise(3, act="relu")
    b.concat(x, y, name="concat")
    b.conv(8, 1)
    b.classifier(4)
    net = b.build().uniform_bits(4, 4)
    for name in ("shuffle", "concat", "classifier.flatten"):
        assert net.tensor_bits(name) == 8
        assert {net.tensor_bits(i) for i in net.by_name[name].inputs} == {8}


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


def test_bytes_of_biases_that_are_there():
    for bias, norm, size in ((False, False, 0), (True, False, 32), (False, True, 32), (True, True, 32)):
        b = Builder("n", (2, 4, 4))
        b.add(Conv2d(8, (1, 1), bias=bias, norm=norm))
        assert b.build().uniform_bits(4, 8).weight_bytes == 8 + size
