"""Layers for kernel tests: random integers with the meaning of `task/integer.py`, their images and expected outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cofront.hardware.subgraph.config import KernelConfig
from cofront.hardware.subgraph.engines import ENGINES
from cofront.network import Builder
from cofront.rtl.config import KernelDesign
from cofront.rtl.images import KernelFormat
from cofront.task.integer import QuantizedLayer, Residual, accumulate


@dataclass
class Case:
    """One layer on one kernel, with random data."""

    design: KernelDesign
    layer: QuantizedLayer
    network: Any
    inputs: Any  # (h, w, c)
    residual: Any  # (h, w, c) or None
    expected: Any  # (h, w, c)
    weight_bits: int
    act_bits: int

    @property
    def node(self) -> Any:
        return self.network.by_name["layer"]

    @property
    def double(self) -> bool:
        return self.design.kind.factor(self.weight_bits, self.act_bits) > 1

    @property
    def format(self) -> KernelFormat:
        expand = self.design.kind.weight_bits > 4 and self.weight_bits <= 4 and not self.double
        return KernelFormat(
            self.design.name, self.design.kernel, self.design.kind, self.design.bus_bits // 8, self.double, expand
        )

    def run(self) -> dict[str, int]:
        """Fields of KERNEL_RUN."""
        op, form, layer = self.node.op, self.format, self.layer
        size = op.kernel[0]
        (h, w, c), (oh, ow, oc) = self.inputs.shape, self.expected.shape
        skip = layer.residual
        return {
            "in_width": w,
            "in_height": h,
            "out_width": ow,
            "out_height": oh,
            "in_beats": form.in_beats(c),
            "out_beats": form.out_beats(oc),
            "turns": form.turns(size),
            "size": size,
            "stride": op.stride[0],
            "pad_top": op.padding[0],
            "pad_left": op.padding[1],
            "zero_in": layer.zero_in,
            "zero_out": layer.zero_out,
            "top": 2**layer.out_bits - 1,
            "shift": layer.shift,
            "residual": int(skip is not None),
            "residual_zero": skip.zero if skip else 0,
            "residual_multiplier": skip.multiplier if skip else 0,
            "double": int(self.double),
            "logits": int(layer.out_bits == 0),
        }

    def bias(self) -> Any:
        """Biases with the zero point folded in."""
        flat = self.layer.weight.astype(np.int64).reshape(len(self.layer.weight), -1)
        return self.layer.bias - self.layer.zero_in * flat.sum(1)


def make_case(
    rng: np.random.Generator,
    name: str,
    kernel: KernelConfig,
    engine: str = "E88",
    precision: tuple[int, int] = (8, 8),
    shape: tuple[int, int, int] = (3, 4, 5),
    out_channels: int = 6,
    size: int = 1,
    stride: int = 1,
    padding: int | tuple[int, int, int, int] = 0,
    residual: bool = False,
    logits: bool = False,
    bus_bits: int = 64,
    out_bits: int = 8,
) -> Case:
    """A random layer: `shape` is (height, width, channels) of its input."""
    w_bits, a_bits = precision
    h, w, c = shape
    builder = Builder("case", (c, h, w))
    if name == "dw":
        builder.depthwise(size, stride, padding=padding, name="layer")
    else:
        builder.conv(out_channels, size, stride, padding=padding, name="layer")
    network = builder.build()
    node = network.by_name["layer"]
    cout = c if name == "dw" else out_channels
    summed = size * size * (1 if name == "dw" else c)
    top = 2 ** (w_bits - 1) - 1
    weight = rng.integers(-top, top + 1, (cout, summed // size**2, size, size)).astype(np.int8)
    zero_in = int(rng.choice([0, 2 ** (a_bits - 1)]))
    inputs = rng.integers(0, 2**a_bits, shape)
    if rng.random() < 0.3:  # corners
        inputs, weight = rng.choice([0, 2**a_bits - 1], shape), np.where(weight < 0, -top, top).astype(np.int8)
    bias = rng.integers(-3000, 3000, cout).astype(np.int32)
    reach = max(top * 2**a_bits * summed**0.5, 1)
    shift = int(rng.integers(14, 20))
    scale = (2**out_bits if not logits else 2**20) / 2 / reach * 2**shift
    multiplier = np.minimum(rng.uniform(0.3, 2, cout) * scale, 32767).astype(np.int32)
    skip = Residual("r", int(rng.choice([0, 128])), int(rng.integers(0, 2**shift))) if residual else None
    zero_out = 0 if logits else int(rng.choice([0, 2 ** (out_bits - 1)]))
    layer = QuantizedLayer(
        weight, bias, multiplier, shift, zero_in, zero_out, 0 if logits else out_bits, w_bits, "layer", None, skip
    )
    acc = accumulate(node, layer, inputs[None].astype(np.int32))[0]
    other = rng.integers(0, 256, acc.shape) if residual else None
    expected = layer.requantise(acc, other)
    design = KernelDesign(name, kernel, ENGINES[engine], bus_bits)
    return Case(design, layer, network, inputs, other, expected, w_bits, a_bits)


def random_case(rng: np.random.Generator, name: str, engine: str, dsp: int | None = None) -> Case:
    """A random configuration of a kernel and a random layer for it: any sizes, strides, padding, precisions."""

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    kind = ENGINES[engine]
    precisions = [p for p in ((8, 8), (4, 8), (4, 4)) if kind.supports(*p)]
    precision = precisions[int(rng.integers(len(precisions)))]
    size = 1 if name == "pw" else pick(1, 3, 3, 5)
    rows = 1 if name == "pw" else pick(*(r for r in (2, 3, 5) if r >= size))
    stride = pick(1, 2) if name != "pw" else 1
    top, left, bottom, right = (int(rng.integers(0, (size + 1) // 2)) for _ in range(4))
    h, w = (int(rng.integers(max(size - a - b, 1), 7)) for a, b in ((top, bottom), (left, right)))
    cin, cout = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    many = name == "dw" and (rows - size) % 2 == 0  # more taps than rows
    taps = 1 if name == "pw" else pick(*(t for t in (1, 2, 3, 5, 9, 25) if t <= (rows**2 if many else rows)))
    dsp = pick(0, 1, 1) if dsp is None else dsp
    pi = 1 if name == "dw" else pick(1, 2, 3, 4)
    po = pick(1, 2, 3, 4)
    # A half of the weight memory holds the layer's weights: the compiler cuts what is larger into tiles.
    words = -(-(cin if name == "dw" else cout) // po) * (1 if name == "dw" else -(-cin // pi)) * -(-(size**2) // taps)
    depth = max(512, 1 << (2 * words - 1).bit_length())
    kernel = KernelConfig(pi, po, taps, dsp, depth, rows, w * max(cin, pi), cin, max(cin, cout))
    return make_case(
        rng,
        name,
        kernel,
        engine,
        precision,
        (h, w, cin),
        cout,
        size,
        stride,
        (top, left, bottom, right),
        residual=name != "dw" and rng.random() < 0.4,
        out_bits=pick(4, 8),
    )
