"""Random integer networks for the RTL tests, and accelerators for them."""

from __future__ import annotations

import numpy as np

from cofront.hardware.subgraph import Config, KernelConfig
from cofront.hardware.subgraph.config import ABSENT
from cofront.network import Activation, Add, Builder, Conv2d, GlobalPool, Linear, Network, Node
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual


def random_integers(net: Network, seed: int) -> QuantizedNetwork:
    """Integers for a network with bit-widths, of ranges that make outputs vary."""
    rng = np.random.default_rng(seed)
    layers: dict[str, QuantizedLayer] = {}
    pools: dict[str, Rescale] = {}
    zeros = {net.input.name: 128}
    bits = {net.input.name: 8}
    for node in net.nodes[1:]:
        if isinstance(node.op, Conv2d | Linear):
            layers[node.name] = _layer(net, node, zeros, bits, rng)
        elif isinstance(node.op, GlobalPool):
            source = node.inputs[0]
            area = int(np.prod(net.shapes[source][1:]))
            pools[node.name] = Rescale(max((1 << 14) // area, 1), 14, zeros[source], 0, 8)
            zeros[node.name], bits[node.name] = 0, 8
        elif node.name not in zeros and node.inputs[0] in zeros:
            zeros[node.name], bits[node.name] = zeros[node.inputs[0]], bits[node.inputs[0]]
    return QuantizedNetwork(net, layers, pools)


def _layer(
    net: Network, node: Node, zeros: dict[str, int], bits: dict[str, int], rng: np.random.Generator
) -> QuantizedLayer:
    shape = node.op.weight_shape(net.in_shapes(node))
    assert shape is not None and node.weight_bits is not None and node.in_bits is not None
    source = node.inputs[0]
    output, relu, residual = node.name, False, None
    while len(net.consumers[output]) == 1:
        user = net.consumers[output][0]
        if isinstance(user.op, Activation) and residual is None:
            relu = True
        elif isinstance(user.op, Add) and not relu:
            other = next(i for i in user.inputs if i != output)
            residual = Residual(other, zeros[other], int(rng.integers(1 << 14, 1 << 18)))
        else:
            break
        output = user.name
    top = 2 ** (node.weight_bits - 1) - 1
    weight = rng.integers(-top, top + 1, shape).astype(np.int8)
    read, zero_in, in_bits = None, zeros[source], bits[source]
    if node.in_bits < in_bits:
        zero_in, in_bits = (0 if zero_in == 0 else 8), node.in_bits
        read = Rescale(int(rng.integers(16000, 20000)), 18, zeros[source], zero_in, node.in_bits)
    final = node is net.output
    out_bits = 0 if final else net.by_name[output].out_bits or 8
    zero_out = 0 if final or relu else 2 ** (out_bits - 1)
    fan = int(np.prod(shape[1:]))
    spread = np.sqrt(fan) * top / 1.7 * 2**in_bits / 3
    shift = 16
    gain = 2.0 ** (out_bits or 12) / (4 * spread) * 2**shift
    while gain > 30000 and shift > 1:
        gain, shift = gain / 2, shift - 1
    while gain < 12000:
        gain, shift = gain * 2, shift + 1
    multiplier = rng.uniform(0.7, 1.08, shape[0]) * gain
    bias = rng.integers(-int(spread), int(spread) + 1, shape[0])
    zeros[output], bits[output] = zero_out, out_bits
    return QuantizedLayer(
        weight,
        bias.astype(np.int32),
        np.clip(multiplier, 1, 32767).astype(np.int32),
        shift,
        zero_in,
        zero_out,
        out_bits,
        node.weight_bits,
        output,
        read,
        residual,
    )


def accelerator(
    engine: str = "E88",
    *,
    pi: int = 4,
    po: int = 6,
    pc: int = 8,
    taps: tuple[int, int] = (1, 9),
    depth: int = 4096,
    line: int = 1 << 14,
    rows: int = 5,
    pw: bool = True,
    dsp: int = 1,
    most: int = 1024,
) -> Config:
    """An accelerator with all kernels (without pw where that is False)."""
    conv = KernelConfig(pi, po, taps[0], dsp, depth, rows, line, most, most)
    dw = KernelConfig(1, pc, taps[1], dsp, depth, rows, line, 0, most)
    return Config(engine, conv, dw, KernelConfig(po, pi, 1, dsp, depth, 1, 0, most, most) if pw else ABSENT, 200e6)


def chain(
    *,
    kernel: int = 3,
    stride: int = 1,
    size: int = 6,
    cin: int = 5,
    wide: int = 9,
    cout: int = 5,
    depthwise: bool = True,
) -> Network:
    """One block (a convolution, depthwise, a projection with addition where it fits), then a classifier."""
    b = Builder("tiny", (cin, size, size))
    b.block = "a"
    b.conv(cin, 1, act="relu", name="first")
    b.block = "b"
    b.conv(wide, 1 if depthwise else kernel, 1 if depthwise else stride, act="relu", name="expand")
    if depthwise:
        b.depthwise(kernel, stride, act="relu", name="dw")
    out = b.conv(cout, 1, name="project")
    if stride == 1 and cin == cout:
        b.sum(out, "first.act", name="add")
    b.block = "head"
    b.conv(11, 1, act="relu", name="wider")
    b.classifier(7)
    return b.build()
