"""Integers for networks that nobody trained: random, in ranges that make every output vary.

Right in structure and useless for inference; what hardware does with them is as exact as with trained ones.
"""

from __future__ import annotations

import numpy as np

from cofront.network import Conv2d, GlobalPool, Linear, Network, Node
from cofront.task.fusing import end_of
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual


def random_integers(net: Network, seed: int = 0) -> QuantizedNetwork:
    """Integers for a network with bit-widths; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    layers: dict[str, QuantizedLayer] = {}
    pools: dict[str, Rescale] = {}
    zeros, bits = {net.input.name: 128}, {net.input.name: 8}  # of every tensor stored so far
    for node in net.nodes[1:]:
        source = node.inputs[0]
        if isinstance(node.op, Conv2d | Linear):
            layers[node.name] = _layer(net, node, zeros, bits, rng)
        elif isinstance(node.op, GlobalPool):
            area = int(np.prod(net.shapes[source][1:]))
            pools[node.name] = Rescale(max((1 << 14) // area, 1), 14, zeros[source], 0, 8)
            zeros[node.name], bits[node.name] = 0, 8
        elif node.name not in zeros and source in zeros:
            zeros[node.name], bits[node.name] = zeros[source], bits[source]
    return QuantizedNetwork(net, layers, pools, scales=_scales(net, layers, pools))


def _scales(net: Network, layers: dict[str, QuantizedLayer], pools: dict[str, Rescale]) -> dict[str, float]:
    """Real scales that agree with the integers: free between layers, else given by sums and averages."""
    scales: dict[str, float] = {}
    for node in net.nodes:
        if node.name in layers:
            layer = layers[node.name]
            scales[layer.output] = 1 / 16
            if layer.residual is not None:
                scale = scales.get(layer.residual.tensor, 1 / 64)
                scales[layer.output] = scale * 2.0**layer.shift / layer.residual.multiplier
        elif node.name in pools:
            pool, source = pools[node.name], node.inputs[0]
            area = int(np.prod(net.shapes[source][1:]))
            scales[node.name] = scales.get(source, 1 / 64) * 2.0**pool.shift / (pool.multiplier * area)
    return scales


def _layer(
    net: Network, node: Node, zeros: dict[str, int], bits: dict[str, int], rng: np.random.Generator
) -> QuantizedLayer:
    shape = node.op.weight_shape(net.in_shapes(node))
    assert shape is not None and node.weight_bits is not None and node.in_bits is not None
    source = node.inputs[0]
    end = end_of(net, node, zeros)
    output, residual = end.output, None
    if end.residual is not None:
        residual = Residual(end.residual, zeros[end.residual], int(rng.integers(1 << 14, 1 << 18)))
    top = 2 ** (node.weight_bits - 1) - 1
    weight = rng.integers(-top, top + 1, shape).astype(np.int8)
    read, zero_in, in_bits = None, zeros[source], bits[source]
    if node.in_bits < in_bits:
        zero_in, in_bits = (0 if zero_in == 0 else 8), node.in_bits
        read = Rescale(int(rng.integers(16000, 20000)), 18, zeros[source], zero_in, node.in_bits)
    final = node is net.output
    out_bits = 0 if final else net.by_name[output].out_bits or 8
    zero_out = 0 if final or end.clamped else 2 ** (out_bits - 1)
    # What sums of random products spread over is brought to about a quarter of the output's range.
    spread = np.sqrt(int(np.prod(shape[1:]))) * top / 1.7 * 2**in_bits / 3
    shift = 16
    gain = 2.0 ** (out_bits or 12) / (4 * spread) * 2**shift
    while gain > 30000 and shift > 1:
        gain, shift = gain / 2, shift - 1
    while gain < 12000:
        gain, shift = gain * 2, shift + 1
    zeros[output], bits[output] = zero_out, out_bits
    return QuantizedLayer(
        weight=weight,
        bias=rng.integers(-int(spread), int(spread) + 1, shape[0]).astype(np.int32),
        multiplier=np.clip(rng.uniform(0.7, 1.08, shape[0]) * gain, 1, 32767).astype(np.int32),
        shift=shift,
        zero_in=zero_in,
        zero_out=zero_out,
        out_bits=out_bits,
        weight_bits=node.weight_bits,
        output=output,
        read=read,
        residual=residual,
    )
