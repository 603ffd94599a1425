"""Constant folding: ONNX nodes whose inputs are all known, computed with NumPy.

Covers what exporters leave in front of weights (casts, transposes, dequantisation) and the shape arithmetic that
dynamic batches bring. Results above `MAX_ELEMENTS` are refused: a damaged file must not fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from cofront.errors import InputError
from cofront.network.onnx_io.load import RawNode

Array = NDArray[Any]
Inputs = Sequence[Array | None]

MAX_ELEMENTS = 1 << 28


def axes(node: RawNode, inputs: Inputs) -> list[int] | None:
    """The `axes` of a node: an attribute in older opsets, the second input in newer ones."""
    if len(inputs) > 1 and inputs[1] is not None:
        return [int(a) for a in inputs[1].ravel()]
    value = node.attributes.get("axes")
    return None if value is None else [int(a) for a in value]


def reshape_dims(target: Array, dims: Sequence[int], allowzero: bool) -> tuple[int, ...]:
    """The dimensions that Reshape gives a tensor of `dims`; ValueError when they do not fit."""
    out = [int(d) if d or allowzero else int(dims[i]) for i, d in enumerate(target.ravel())]
    total = int(np.prod(np.array(dims, dtype=object), initial=1))
    if out.count(-1) > 1 or min(out, default=1) < -1:
        raise ValueError(f"cannot reshape {tuple(dims)} to {tuple(out)}")
    if -1 in out:
        known = int(np.prod(np.array([d for d in out if d != -1], dtype=object), initial=1))
        if known == 0 or total % known:
            raise ValueError(f"cannot reshape {tuple(dims)} to {tuple(out)}")
        out[out.index(-1)] = total // known
    if int(np.prod(np.array(out, dtype=object), initial=1)) != total:
        raise ValueError(f"cannot reshape {tuple(dims)} to {tuple(out)}")
    return tuple(out)


def _need(x: Array | None) -> Array:
    if x is None:
        raise ValueError("an input is missing")
    return x


def _constant(node: RawNode, x: Inputs) -> Array:
    a = node.attributes
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in a:
            kind = np.float32 if "float" in key else np.int64
            return np.asarray(a[key]) if key == "value" else np.asarray(a[key], dtype=kind)
    raise ValueError("no numeric value")


def _cast(node: RawNode, x: Inputs) -> Array:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(int(node.attributes["to"])))
    if dtype.kind not in "biuf":
        raise ValueError(f"cast to {dtype}")
    return _need(x[0]).astype(dtype)


def _slice(node: RawNode, x: Inputs) -> Array:
    data = _need(x[0])
    a = node.attributes
    starts: Any
    ends: Any
    where: Any
    steps: Any = None
    if "starts" in a:
        starts, ends, where = a["starts"], a["ends"], a.get("axes")
    else:
        starts, ends = _need(x[1]).ravel(), _need(x[2]).ravel()
        where = x[3].ravel() if len(x) > 3 and x[3] is not None else None
        steps = x[4].ravel() if len(x) > 4 and x[4] is not None else None
    where = range(len(starts)) if where is None else where
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * data.ndim
    for axis, s, e, step in zip(where, starts, ends, steps, strict=True):
        stop: int | None = int(e)
        if int(step) < 0 and int(e) < -data.shape[int(axis)]:
            stop = None
        index[int(axis)] = slice(int(s), stop, int(step))
    return np.asarray(data[tuple(index)])


def _unsqueeze(node: RawNode, x: Inputs) -> Array:
    return np.expand_dims(_need(x[0]), tuple(axes(node, x) or ()))


def _squeeze(node: RawNode, x: Inputs) -> Array:
    where = axes(node, x)
    return np.squeeze(_need(x[0]), None if where is None else tuple(where))


def _expand(node: RawNode, x: Inputs) -> Array:
    data = _need(x[0])
    shape = np.broadcast_shapes(data.shape, tuple(int(d) for d in _need(x[1]).ravel()))
    _limit(shape)
    return np.broadcast_to(data, shape)


def _filled(node: RawNode, x: Inputs) -> Array:
    shape = tuple(int(d) for d in _need(x[0]).ravel())
    _limit(shape)
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape, np.asarray(value).ravel()[0])


def _range(node: RawNode, x: Inputs) -> Array:
    start, stop, step = (_need(v).ravel()[0] for v in x[:3])
    _limit((max(0, int((float(stop) - float(start)) / float(step))),))
    return np.arange(start, stop, step)


def _limit(shape: Sequence[int]) -> None:
    total = 1
    for d in shape:
        total *= int(d)
    if total > MAX_ELEMENTS:
        raise ValueError(f"a constant of shape {tuple(shape)} is too large")


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.asarray(np.trunc(a / b).astype(a.dtype))
    return np.asarray(a / b)


def along(scale: Array, ndim: int, axis: int) -> Array:
    """A per-channel vector shaped so that it broadcasts along `axis` of an array of `ndim` dimensions."""
    if scale.ndim != 1 or scale.size == 1 or ndim == 0:
        return scale.reshape(()) if scale.size == 1 else scale
    shape = [1] * ndim
    shape[axis] = -1
    return scale.reshape(shape)


def _dequantize(node: RawNode, x: Inputs) -> Array:
    q = _need(x[0])
    axis = int(node.attributes.get("axis", 1))
    zero = x[2] if len(x) > 2 and x[2] is not None else np.zeros((), q.dtype)
    scale = along(_need(x[1]), q.ndim, axis).astype(np.float64)
    return np.asarray(((q.astype(np.float64) - along(zero, q.ndim, axis).astype(np.float64)) * scale), np.float32)


def quantize(node: RawNode, x: Inputs) -> Array:
    """QuantizeLinear of a constant: the integers."""
    data = _need(x[0])
    axis = int(node.attributes.get("axis", 1))
    zero = x[2] if len(x) > 2 and x[2] is not None else np.zeros((), np.uint8)
    info = np.iinfo(zero.dtype)
    low, high = int_range(node.attributes.get("_bits") or info.bits, info.min < 0, narrow=False)
    q = np.round(data / along(_need(x[1]), data.ndim, axis)) + along(zero, data.ndim, axis).astype(np.int64)
    return np.asarray(np.clip(q, low, high)).astype(zero.dtype)


def int_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Least and greatest integer of a QONNX quantiser."""
    if signed:
        return -(2 ** (bits - 1)) + int(narrow), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - int(narrow)


_ROUND: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def quant_bits(array: Array | None) -> int:
    """The bit-width input of a QONNX Quant node; ValueError when it is not a whole number from 1 to 64."""
    value = float(_need(array).ravel()[0])
    if not 1 <= value <= 64 or value != int(value):
        raise ValueError(f"a quantiser of {value:g} bits; expected a whole number from 1 to 64")
    return int(value)


def _quant(node: RawNode, x: Inputs) -> Array:
    data, scale, zero = _need(x[0]).astype(np.float64), _need(x[1]).astype(np.float64), _need(x[2]).astype(np.float64)
    bits = quant_bits(x[3])
    if bits == 1 and node.attributes.get("signed", 1):
        return np.asarray(np.where(data / scale + zero >= 0, scale, -scale), np.float32)
    low, high = int_range(bits, bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 0)))
    mode = str(node.attributes.get("rounding_mode", "ROUND")).upper()
    if mode not in _ROUND:
        raise ValueError(f"rounding mode '{mode}'")
    q = _ROUND[mode](np.clip(data / scale + zero, low, high))
    return np.asarray((q - zero) * scale, np.float32)


def _bipolar(node: RawNode, x: Inputs) -> Array:
    return np.asarray(np.where(_need(x[0]) >= 0, 1.0, -1.0) * _need(x[1]), np.float32)


def _reshape(node: RawNode, x: Inputs) -> Array:
    data = _need(x[0])
    return data.reshape(reshape_dims(_need(x[1]), data.shape, bool(node.attributes.get("allowzero", 0))))


def shape_of(node: RawNode, dims: Sequence[int]) -> Array:
    """What a Shape node gives for a tensor of `dims`; newer opsets may cut a piece out."""
    return np.array(dims[slice(node.attributes.get("start"), node.attributes.get("end"))], np.int64)


_UNARY: dict[str, Callable[[Array], Any]] = {
    "Identity": lambda a: a,
    "Neg": np.negative,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Abs": np.abs,
    "Reciprocal": lambda a: 1 / a,
}
_BINARY: dict[str, Callable[[Array, Array], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Equal": np.equal,
    "MatMul": np.matmul,
}
_RULES: dict[str, Callable[[RawNode, Inputs], Array]] = {
    "Constant": _constant,
    "Cast": _cast,
    "Slice": _slice,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Expand": _expand,
    "ConstantOfShape": _filled,
    "Range": _range,
    "Reshape": _reshape,
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": quantize,
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "Concat": lambda n, x: np.concatenate([_need(v) for v in x], axis=int(n.attributes["axis"])),
    "Gather": lambda n, x: np.take(_need(x[0]), _need(x[1]).astype(np.int64), axis=int(n.attributes.get("axis", 0))),
    "Transpose": lambda n, x: np.transpose(_need(x[0]), n.attributes.get("perm")),
    "Shape": lambda n, x: shape_of(n, _need(x[0]).shape),
    "Where": lambda n, x: np.where(_need(x[0]), _need(x[1]), _need(x[2])),
    "ReduceProd": lambda n, x: np.prod(_need(x[0]), keepdims=bool(n.attributes.get("keepdims", 1)), dtype=np.int64),
}

QUANT_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
QUANT_OPS = ("Quant", "IntQuant", "BipolarQuant")


def foldable(node: RawNode) -> bool:
    """Whether there is a rule for this operator."""
    if node.op in QUANT_OPS:
        return node.domain in QUANT_DOMAINS
    return node.domain == "" and (node.op in _RULES or node.op in _UNARY or node.op in _BINARY)


def fold(node: RawNode, inputs: Inputs) -> Array:
    """The node's first output; InputError when its constants do not fit the operator."""
    try:
        with np.errstate(all="ignore"):
            if node.op in _UNARY:
                out = np.asarray(_UNARY[node.op](_need(inputs[0])))
            elif node.op in _BINARY:
                left, right = _need(inputs[0]), _need(inputs[1])
                if node.op != "MatMul":
                    _limit(np.broadcast_shapes(left.shape, right.shape))
                out = np.asarray(_BINARY[node.op](left, right))
            else:
                out = np.asarray(_RULES[node.op](node, inputs))
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        raise InputError(
            f"node '{node.name}' ({node}): its constants do not fit: {' '.join(str(error).split())}"
        ) from None
    if out.size > MAX_ELEMENTS:
        raise InputError(f"node '{node.name}' ({node}): a constant of shape {out.shape} is too large")
    return out
