"""Network -> ONNX -> Network: equal networks, equal weights, equal outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_helpers import close, every_operator, execute

from cofront.errors import InputError
from cofront.network import Activation, Builder, Network, zoo
from cofront.network.onnx_io import from_onnx, import_onnx, read_onnx, to_onnx, write_onnx
from cofront.network.reference import run
from cofront.network.weights import random_weights


def round_trip(network: Network, seed: int = 0) -> onnx.ModelProto:
    """Asserts everything that must hold of `network` on its way to ONNX and back; the model."""
    rng = np.random.default_rng(seed)
    weights = random_weights(network, rng)
    model = to_onnx(network, weights)
    onnx.checker.check_model(model, full_check=True)
    x = rng.standard_normal((2, *network.shapes[network.input.name])).astype(np.float32)
    expected = run(network, weights, x)
    assert close(execute(model, x), expected)
    back = from_onnx(model)
    assert back.network == network
    assert back.notes == ()
    assert back.weights.keys() == weights.keys()
    assert all(np.array_equal(back.weights[k], weights[k]) for k in weights)
    # Without our metadata the same function is read from the graph alone.
    del model.metadata_props[:]
    bare = from_onnx(model)
    assert [type(n.op) for n in bare.network.nodes][-1] is type(network.output.op)
    assert bare.network.macs == network.macs
    assert close(run(bare.network, bare.weights, x), expected)
    return model


@pytest.mark.parametrize("name", ["mobilenetv3-large", "fbnet-a", "resnet18", "efficientnet-lite0"])
def test_zoo_networks_survive_the_round_trip(name: str) -> None:
    round_trip(zoo.load(name, classes=10, resolution=32).uniform_bits(4, 8))


def test_every_operator_survives_the_round_trip() -> None:
    round_trip(every_operator())


def test_a_network_of_its_input_only() -> None:
    round_trip(Builder("nothing", (3, 4, 4)).build())


@st.composite
def networks(draw: st.DrawFn) -> Network:
    b = Builder(draw(st.text("abc/", max_size=4)), (draw(st.integers(1, 6)), draw(st.integers(5, 9)), 7))
    acts = st.sampled_from([None, "relu", "relu6", "hswish", "hsigmoid", "sigmoid", "silu"])
    flag = st.booleans()
    for i in range(draw(st.integers(1, 6))):
        c, h, w = b.shape()
        b.block = draw(st.sampled_from([None, "a", f"b{i}"]))
        kind = draw(st.sampled_from(["conv", "dw", "pool", "se", "res", "cat", "shuffle"]))
        if kind == "conv":
            groups = draw(st.sampled_from([g for g in (1, 2, 3) if c % g == 0]))
            out = groups * draw(st.integers(1, 3))
            pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
            k = draw(st.integers(1, min(3, h, w)))
            b.conv(out, k, draw(st.integers(1, 2)), groups=groups, padding=pads, bias=draw(flag), norm=draw(flag))
            if draw(flag):
                b.act(draw(acts) or "relu")
        elif kind == "dw":
            b.depthwise(3, act=draw(acts))
        elif kind == "pool" and h > 2 and w > 2:
            ceil, include = draw(flag), draw(flag)
            b.pool(draw(st.sampled_from(["max", "avg"])), 2, 2, 1, ceil_mode=ceil, count_include_pad=include)
        elif kind == "se":
            b.squeeze_excite(2)
        elif kind == "res":
            b.sum(b.last, b.conv(c, 3, act=draw(acts)))
        elif kind == "cat":
            x = b.last
            b.concat(b.conv(2, 1, src=x), b.conv(3, 3, src=x))
        elif kind == "shuffle" and c % 2 == 0:
            b.shuffle(2)
    if draw(flag):
        b.classifier(3)
    network = b.build()
    return network.uniform_bits(draw(st.sampled_from([2, 4, 8])), 8) if draw(flag) else network


@settings(max_examples=25, deadline=None)
@given(networks())
def test_random_networks_survive_the_round_trip(network: Network) -> None:
    round_trip(network)


def test_the_batch_is_symbolic_or_fixed() -> None:
    network = Builder("n", (2, 4, 4)).build()
    weights: dict[str, np.ndarray] = {}
    free = to_onnx(network, weights).graph.input[0].type.tensor_type.shape.dim
    fixed = to_onnx(network, weights, batch=3).graph.input[0].type.tensor_type.shape.dim
    assert (free[0].dim_param, free[1].dim_value) == ("batch", 2)
    assert fixed[0].dim_value == 3
    assert from_onnx(to_onnx(network, weights, batch=3)).network == network


def test_the_graph_wins_over_the_metadata() -> None:
    network = every_operator()
    model = to_onnx(network, random_weights(network, np.random.default_rng(0)))
    node = next(n for n in model.graph.node if n.name == "fc1.act")
    node.op_type = "Sigmoid"
    back = from_onnx(model).network
    assert back.by_name["fc1.act"].op == Activation("sigmoid")
    assert back.by_name["stem"] == network.by_name["stem"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version":1,"name":"n","nodes":{"stem":{}}}'])
def test_foreign_metadata_is_ignored(text: str) -> None:
    network = every_operator()
    model = to_onnx(network, random_weights(network, np.random.default_rng(0)))
    model.metadata_props[0].value = text
    back = from_onnx(model, "folder/mine.onnx").network
    assert back.name == "mine"
    assert back.macs == network.macs


def test_files(tmp_path: Path) -> None:
    network = every_operator()
    weights = random_weights(network, np.random.default_rng(0))
    write_onnx(network, weights, tmp_path / "a.onnx")
    found, values = read_onnx(tmp_path / "a.onnx")
    assert found == network
    assert np.array_equal(values["fc2.weight"], weights["fc2.weight"])
    assert import_onnx(tmp_path / "a.onnx").network == network
    with pytest.raises(InputError, match=r"cannot write '.*none/a.onnx': No such file or directory"):
        write_onnx(network, weights, tmp_path / "none" / "a.onnx")


def test_wrong_weights_are_named() -> None:
    network = every_operator()
    weights = random_weights(network, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"missing 'fc2.weight'"):
        to_onnx(network, {k: v for k, v in weights.items() if k != "fc2.weight"})


def test_names_of_nodes_and_weights_may_collide() -> None:
    b = Builder("n", (2, 5, 5), "x.weight")
    b.conv(3, 3, name="x")
    b.conv(3, 3, name="x.bias")
    b.act("silu", name="x.bias.sigmoid")
    b.act("silu", name="silu")
    network = b.build()
    round_trip(network)
    renamed = replace(network.nodes[-1], name="x.bias.sigmoid.sigmoid")
    round_trip(Network("m", (*network.nodes[:-1], renamed)))
