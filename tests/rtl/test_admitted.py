"""The engine refuses widths and operators that it has no hardware for, in one line."""

import numpy as np
import pytest

from cofront.errors import UnsupportedError
from cofront.network import Builder, Network
from cofront.rtl.admitted import check_admitted
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale


def layer(network: Network, name: str, output: str, weight_bits: int, out_bits: int) -> QuantizedLayer:
    node = network.by_name[name]
    shape = node.op.weight_shape(network.in_shapes(node))
    assert shape is not None
    one = np.ones(shape[0], np.int32)
    return QuantizedLayer(np.ones(shape, np.int8), one, one, 8, 0, 0, out_bits, weight_bits, output)


def network(groups: int = 1, pool: bool = False) -> Network:
    b = Builder("n", (4, 8, 8))
    b.conv(4, 1, groups=groups, name="a")
    if pool:
        b.pool("max", 2, 2, name="half")
    b.classifier(2, name="head")
    return b.build()


def integers(net: Network, weight_bits: int = 8, out_bits: int = 8, pooled: int = 8) -> QuantizedNetwork:
    layers = {"a": layer(net, "a", "a", weight_bits, out_bits), "head": layer(net, "head", "head", 4, 0)}
    return QuantizedNetwork(net, layers, {"head.pool": Rescale(3, 8, 0, 0, pooled)})


def test_four_and_eight_bits_are_admitted() -> None:
    check_admitted(integers(network(), 4, 8))
    check_admitted(integers(network(), 8, 4, 4))


@pytest.mark.parametrize(
    ("quantized", "text"),
    [
        (integers(network(), 3), "layer 'a' has 3 bits; the engine has 4 and 8 bits: quantise to these"),
        (integers(network(), 8, 5), "layer 'a' has 5 bits; the engine has 4 and 8 bits: quantise to these"),
        (integers(network(), pooled=6), "'head.pool' has 6 bits; the engine has 4 and 8 bits: quantise to these"),
        (integers(network(2)), "layer 'a': only full and depthwise convolutions, not dilated, are built"),
        (integers(network(1, True)), "'half': the engine has no Pool2d of its own"),
    ],
)
def test_the_rest_is_refused(quantized: QuantizedNetwork, text: str) -> None:
    with pytest.raises(UnsupportedError) as error:
        check_admitted(quantized)
    assert str(error.value) == text
