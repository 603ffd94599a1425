"""Which integer networks the engine runs: the reference model knows more widths and operators than hardware here."""

from __future__ import annotations

from cofront.errors import UnsupportedError
from cofront.network import ChannelShuffle, Conv2d, Pool2d
from cofront.task.integer import QuantizedNetwork

#: Widths of weights and of activations that the engine stores and multiplies.
WIDTHS = (4, 8)


def check_admitted(quantized: QuantizedNetwork) -> None:
    """UnsupportedError, one line, for the first layer or tensor that the engine has no hardware for."""
    network = quantized.network
    for name, layer in quantized.layers.items():
        reads = [layer.read.bits] if layer.read else []
        odd = [b for b in (layer.weight_bits, *reads, layer.out_bits or WIDTHS[0]) if b not in WIDTHS]
        if odd:
            widths = " and ".join(map(str, WIDTHS))
            raise UnsupportedError(f"layer '{name}' has {odd[0]} bits; the engine has {widths} bits: quantise to these")
        op = network.by_name[name].op
        if isinstance(op, Conv2d):
            shape = op.weight_shape(network.in_shapes(network.by_name[name]))
            if op.dilation != (1, 1) or (op.groups > 1 and shape[:2] != (op.groups, 1)):
                raise UnsupportedError(f"layer '{name}': only full and depthwise convolutions, not dilated, are built")
    for name, pool in quantized.pools.items():
        if pool.bits not in WIDTHS:
            raise UnsupportedError(f"'{name}' has {pool.bits} bits; the engine has 4 and 8 bits: quantise to these")
    for node in network.nodes:
        if isinstance(node.op, Pool2d | ChannelShuffle) or node.name in quantized.joins:
            raise UnsupportedError(f"'{node.name}': the engine has no {type(node.op).__name__} of its own")
