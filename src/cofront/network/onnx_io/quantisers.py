"""Handlers of quantisers on activations: the stored width, and the non-linearity that the range stands for.

A quantiser clips at both ends of its range. Tools rely on it: a ReLU before a range that starts at 0 is left out of
the file (onnxruntime's `quantize_static` deletes Relu and Clip), so it is put back here.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from cofront.network.onnx_io import constants
from cofront.network.onnx_io.draft import Refusal, Value
from cofront.network.onnx_io.load import RawNode
from cofront.network.onnx_io.reader import Handler, Reader
from cofront.network.ops import (
    Activation,
    ActivationKind,
    Add,
    ChannelShuffle,
    Concat,
    Flatten,
    GlobalPool,
    Input,
    Mul,
    Pool2d,
)

Array = NDArray[Any]

#: A range whose top is this near to 6, relatively, is that of a ReLU6.
_NEAR = 0.01
_CARRIES_SIGN = Pool2d | GlobalPool | Flatten | ChannelShuffle | Concat | Add | Mul
_TOPS = {"relu6": 6.0, "sigmoid": 1.0, "hsigmoid": 1.0}
_NON_NEGATIVE = {"relu", *_TOPS}
_TYPES = {
    getattr(TensorProto, name): (bits, not name.startswith("U"))
    for name, bits in {"INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16, "INT4": 4, "UINT4": 4}.items()
    if hasattr(TensorProto, name)
}


def _ours(r: Reader, n: RawNode) -> bool:
    """Whether cofront wrote the quantiser: the activations of its networks are nodes of their own."""
    name = re.fullmatch(r"(.+)\.(quant|read)(_codes)?_*", n.name)
    return name is not None and name[1] in r.graph.metadata.nodes


def non_negative(r: Reader, name: str) -> bool:
    """Whether a layer's output is known not to be negative."""
    layer = r.draft.layers[name]
    if isinstance(layer.op, Activation):
        return layer.op.kind in _NON_NEGATIVE
    if isinstance(layer.op, Input):
        return r.input_from_zero
    return isinstance(layer.op, _CARRIES_SIGN) and all(non_negative(r, i) for i in layer.inputs)


def _clipped(r: Reader, n: RawNode, v: Value, low: Array, high: Array) -> Value:
    """The value within [low, high], per channel or one for all: ReLU, ReLU6, or a note that clipping was left out."""
    layer = r.draft.layers[v.node]
    if np.all(low == 0) and isinstance(layer.op, Input):
        r.input_from_zero = True
    elif np.all(low == 0) and not non_negative(r, v.node):
        kind: ActivationKind = "relu6" if np.all(np.abs(high - 6) <= 6 * _NEAR) else "relu"
        new = r.draft.emit(f"{v.node}.{kind}", Activation(kind), [v.node], n.outputs[0])
        r.notes.append(f"'{n.name}' ({n}) represents nothing below 0: read as {kind} behind '{v.node}'")
        v, layer = replace(v, node=new.node, bits=None), r.draft.layers[new.node]
    top = _TOPS.get(layer.op.kind, np.inf) if isinstance(layer.op, Activation) else np.inf
    if np.any(high < top * (1 - _NEAR)) or (np.any(low != 0) and not non_negative(r, v.node)):
        r.clipping.append(f"'{n.name}' at [{float(np.min(low)):.3g}, {float(np.max(high)):.3g}]")
    return v


def _quantised(r: Reader, n: RawNode, bits: int, low: Array | None, high: Array | None) -> Value:
    v = r.pending(n.input(0))
    if low is not None and high is not None and not _ours(r, n):
        v = _clipped(r, n, v, low, high)
    if v.bits is None:  # else it is stored already, and this is a reader that wants fewer bits
        layer = r.draft.layers[v.node]
        layer.out_bits = max(bits, layer.out_bits or 0)
        layer.direct = True
    return replace(v, bits=bits)


def _range(r: Reader, n: RawNode, scale: Array, zero: Array, ends: tuple[int, int]) -> tuple[Array, Array]:
    size = np.asarray(scale, np.float64)
    if not np.isfinite(size).all() or (size <= 0).any():
        raise Refusal("has a scale that is not a positive number")
    low, high = ((end - np.asarray(zero, np.float64)) * size for end in ends)
    return low, high


def quant(r: Reader, n: RawNode) -> Value:
    """A QONNX quantiser on activations."""
    if n.op == "BipolarQuant":
        raise Refusal("takes the sign of activations; cofront has no layer that does")
    scale, zero, width = (r.const(n.input(i)) for i in (1, 2, 3))
    if scale is None or zero is None or width is None:
        raise Refusal("has a scale, zero point or bit-width that is not constant")
    bits, signed = constants.quant_bits(width), bool(n.attributes.get("signed", 1))
    if bits == 1 and signed:
        raise Refusal("takes the sign of activations; cofront has no layer that does")
    ends = constants.int_range(bits, signed, bool(n.attributes.get("narrow", 0)))
    return _quantised(r, n, bits, *_range(r, n, scale, zero, ends))


def quantize_linear(r: Reader, n: RawNode) -> Value:
    scale, zero = r.const(n.input(1)), r.const(n.input(2)) if n.input(2) else None
    if scale is None or (n.input(2) and zero is None):
        raise Refusal("has a scale or zero point that is not constant")
    r.grids[n.outputs[0]] = (scale, np.zeros(()) if zero is None else zero)
    bits, signed = _TYPES.get(n.attributes.get("output_dtype", 0), (8, False))
    if zero is None:
        zero = np.zeros(())
    elif zero.dtype.kind == "f":  # eight-bit floats: no steps, and a range that no network reaches
        return _quantised(r, n, 8, None, None)
    else:
        bits, signed = r.bits.get(n.input(2)) or 8 * zero.dtype.itemsize, zero.dtype.kind == "i"
    return _quantised(r, n, bits, *_range(r, n, scale, zero, constants.int_range(bits, signed, narrow=False)))


def dequantize_linear(r: Reader, n: RawNode) -> Value:
    """The numbers that were quantised, if this is the same grid."""
    if (grid := r.grids.get(n.input(0))) is not None:
        scale, zero = r.const(n.input(1)), r.const(n.input(2)) if n.input(2) else np.zeros(())
        if scale is None or zero is None or not (np.all(scale == grid[0]) and np.all(zero == grid[1])):
            raise Refusal("reads integers with another scale or zero point than they were written with")
    return r.pending(n.input(0))


HANDLERS: dict[str, Handler] = {
    "Quant": quant,
    "IntQuant": quant,
    "BipolarQuant": quant,
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
}
