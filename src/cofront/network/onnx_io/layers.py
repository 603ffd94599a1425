"""Handlers of the operators with weights or windows: convolution, matrices, batch normalisation, pooling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError
from cofront.network.onnx_io.draft import Refusal, Value
from cofront.network.onnx_io.load import RawNode
from cofront.network.onnx_io.reader import Handler, Reader, positive
from cofront.network.ops import Activation, Conv2d, GlobalPool, Linear, Padding, Pool2d

Array = NDArray[Any]
_NON_NEGATIVE = {"relu", "relu6", "sigmoid", "hsigmoid"}


def _weight(r: Reader, n: RawNode, i: int, ndim: int) -> Array:
    w = r.const(n.input(i))
    if w is None:
        raise Refusal("has weights that are not constant")
    if w.ndim != ndim:
        raise Refusal(f"has weights of {w.ndim} dimensions; cofront has 2-d convolutions and matrices only")
    if 0 in w.shape:
        raise InputError(f"node '{n.name}' has weights of shape {w.shape}; the model is damaged")
    return w


def _bias(r: Reader, n: RawNode, i: int, count: int) -> Array | None:
    name = n.input(i)
    if not name:
        return None
    b = r.const(name)
    if b is None:
        raise Refusal("has biases that are not constant")
    if b.size not in (1, count) or (b.size > 1 and b.shape[-1] != b.size):
        raise InputError(f"node '{n.name}' has biases of shape {b.shape}; expected ({count},)")
    return np.broadcast_to(b.ravel(), (count,))


def _window(
    n: RawNode, size: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[tuple[int, int], Padding, tuple[int, int]]:
    """Strides, padding (explicit), dilations of a convolution or pool over a map of `size`."""
    a = n.attributes
    stride = positive(a.get("strides", (1, 1)), 2, f"node '{n.name}': strides")
    dilation = positive(a.get("dilations", (1, 1)), 2, f"node '{n.name}': dilations")
    auto = a.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = positive(a.get("pads", (0, 0, 0, 0)), 4, f"node '{n.name}': pads", least=0)
    elif auto == "VALID":
        pads = (0, 0, 0, 0)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for s, k, st, d in zip(size, kernel, stride, dilation, strict=True):
            total = max(0, (-(-s // st) - 1) * st + d * (k - 1) + 1 - s)
            small, large = total // 2, total - total // 2
            begin.append(small if auto == "SAME_UPPER" else large)
            end.append(large if auto == "SAME_UPPER" else small)
        pads = (*begin, *end)
    else:
        raise InputError(f"node '{n.name}': auto_pad is '{auto}'; ONNX has NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    return (stride[0], stride[1]), (pads[0], pads[1], pads[2], pads[3]), (dilation[0], dilation[1])


def _sum(a: Padding, b: Padding) -> Padding:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])


def conv(r: Reader, n: RawNode) -> Value:
    x, w = r.map(n.input(0)), _weight(r, n, 1, 4)
    c, height, width = r.shape(x)
    groups = int(n.attributes.get("group", 1))
    cout, kernel = w.shape[0], (w.shape[2], w.shape[3])
    if groups < 1 or w.shape[1] * groups != c or cout % groups:
        raise InputError(
            f"node '{n.name}': weights of shape {w.shape} in {groups} group(s) do not fit an input of {c} channels"
        )
    stated = tuple(n.attributes.get("kernel_shape", kernel))
    if stated != kernel:
        raise InputError(f"node '{n.name}': kernel_shape {stated} is not that of its weights, {kernel}")
    top, left, bottom, right = x.pad
    stride, pads, dilation = _window(n, (height + top + bottom, width + left + right), kernel)
    bias = _bias(r, n, 2, cout)
    op = Conv2d(cout, kernel, stride, _sum(pads, x.pad), groups, dilation, bias=bias is not None, norm=False)
    return _layer(r, n, op, x, w, bias, r.bits.get(n.input(1)))


def _layer(
    r: Reader, n: RawNode, op: Conv2d | Linear, x: Value, w: Array, b: Array | None, weight_bits: int | None
) -> Value:
    v = r.draft.emit(n.name, op, [x.node], n.outputs[0], in_bits=x.bits, weight_bits=weight_bits)
    if (other := r.weight_of.setdefault(n.input(1), n.name)) != n.name:
        r.notes.append(f"'{n.name}' ({n}) has the weights of '{other}': stored and counted once for each")
    r.draft.parameters(v.node, w, b)
    return replace(v, dims=(x.dims[0], *r.shape(v)))


def _linear(r: Reader, n: RawNode, w: Array, b: Array | None, weight_bits: int | None) -> Value:
    """A linear layer with weights (cout, cin)."""
    x = r.vector(n.input(0))
    if w.shape[1] != x.dims[1]:
        raise InputError(f"node '{n.name}': weights of {w.shape[1]} inputs do not fit {x.dims[1]} features")
    if x.flat is not None:  # the features are in the order (h, w, c), ours in (c, h, w)
        c, height, width = x.flat
        w = w.reshape(-1, height, width, c).transpose(0, 3, 1, 2).reshape(w.shape)
    return _layer(r, n, Linear(w.shape[0], bias=b is not None), x, w, b, weight_bits)


def gemm(r: Reader, n: RawNode) -> Value:
    a = n.attributes
    w = _weight(r, n, 1, 2)
    if a.get("transA", 0):
        raise Refusal("transposes its input")
    w = w if a.get("transB", 0) else w.T
    b = _bias(r, n, 2, w.shape[0])
    alpha, beta = float(a.get("alpha", 1)), float(a.get("beta", 1))
    return _linear(r, n, w * w.dtype.type(alpha), None if b is None else b * b.dtype.type(beta), r.bits.get(n.input(1)))


def matmul(r: Reader, n: RawNode) -> Value:
    if n.input(0) in r.consts:
        raise Refusal("multiplies a constant matrix from the left")
    return _linear(r, n, _weight(r, n, 1, 2).T, None, r.bits.get(n.input(1)))


def affine(r: Reader, n: RawNode, a: Array, b: Array, norm: bool = False) -> Value:
    """a x + b per channel, each (c,) or scalar: folded into the layer before it, else a 1 x 1 depthwise convolution."""
    name = next(i for i in n.inputs if i in r.values)
    x = r.value(name)
    if np.all(a == 1) and np.all(b == 0) and not norm:
        return x
    layer = r.draft.layers[x.node]
    if isinstance(layer.op, Conv2d | Linear) and r.sole(name) and not r.draft.users(x.node):
        r.draft.scale(layer, a, b, norm)
        layer.tensor = n.outputs[0]
        return x
    c = layer.shape[0]
    if len(layer.shape) != 3:
        raise Refusal("scales or shifts a vector that no linear layer computes")
    op = Conv2d(c, (1, 1), groups=c, bias=not norm, norm=norm)
    v = r.draft.emit(n.name, op, [x.node], n.outputs[0], in_bits=x.bits)
    r.draft.parameters(v.node, np.broadcast_to(a, (c,)).reshape(c, 1, 1, 1), np.broadcast_to(b, (c,)))
    r.notes.append(f"'{n.name}' ({n}) follows no convolution; read as a 1 x 1 depthwise convolution")
    return replace(x, node=v.node, bits=None)


def batch_norm(r: Reader, n: RawNode) -> Value:
    # Before opset 14 more than one output says that it trains.
    several = sum(map(bool, n.outputs)) > 1 and not n.attributes.get("is_test", 0)
    if n.attributes.get("training_mode", 0) or several:
        raise Refusal("is in training mode; export the module after eval()")
    x = r.value(n.input(0))
    c = r.shape(x)[0]
    if x.flat is not None or (len(x.dims) == 4 and x.perm[1] != 1 and not x.pixel):
        raise Refusal("normalises a tensor whose channels are not its second dimension")
    parts = [r.const(n.input(i)) for i in range(1, 5)]
    if any(p is None for p in parts):
        raise Refusal("has statistics that are not constant")
    if any(p is not None and p.shape != (c,) for p in parts):
        shapes = [p.shape for p in parts if p is not None]
        raise InputError(f"node '{n.name}': statistics of shapes {shapes} do not fit {c} channels")
    scale, offset, mean, var = (np.asarray(p, np.float64) for p in parts)
    with np.errstate(all="ignore"):
        a = scale / np.sqrt(var + float(n.attributes.get("epsilon", 1e-5)))
        return affine(r, n, a, offset - mean * a, norm=True)


def pool(r: Reader, n: RawNode) -> Value:
    x = r.map(n.input(0))
    kind = "max" if n.op == "MaxPool" else "avg"
    if "kernel_shape" not in n.attributes or len(n.attributes["kernel_shape"]) != 2:
        raise Refusal("pools over other than two dimensions")
    kh, kw = positive(n.attributes["kernel_shape"], 2, f"node '{n.name}': kernel_shape")
    _, height, width = r.shape(x)
    top, left, bottom, right = x.pad
    stride, pads, dilation = _window(n, (height + top + bottom, width + left + right), (kh, kw))
    if dilation != (1, 1):
        raise Refusal("has dilations")
    include = bool(n.attributes.get("count_include_pad", 0)) or not any(pads)
    if any(x.pad):
        source = r.draft.layers[x.node].op
        if kind == "max" and not (isinstance(source, Activation) and source.kind in _NON_NEGATIVE):
            raise Refusal("takes the maximum over padding with zeros")
        if kind == "avg" and not include:
            raise Refusal("averages over two kinds of padding")
        if max(above + below for above, below in zip(pads, x.pad, strict=True)) >= min(kh, kw):
            raise Refusal("has windows that lie in the padding before it")
    ceil = bool(n.attributes.get("ceil_mode", 0))
    op = Pool2d("max" if kind == "max" else "avg", (kh, kw), stride, _sum(pads, x.pad), ceil, include or kind == "max")
    padded = (r.shape(x)[0], height + top + bottom, width + left + right)
    if op.out_shape((r.shape(x),)) != replace(op, padding=pads).out_shape((padded,)):
        raise Refusal("rounds its size up over the padding before it")
    v = r.draft.emit(n.name, op, [x.node], n.outputs[0])
    if kind == "max":
        r.draft.layers[v.node].out_bits = x.bits
    return replace(v, dims=(x.dims[0], *r.shape(v)), bits=x.bits if kind == "max" else None)


def global_average(r: Reader, n: RawNode) -> Value:
    x = r.map(r_input := n.input(0))
    if any(x.pad):
        raise Refusal(f"averages '{r_input}' with its padding")
    v = r.draft.emit(n.name, GlobalPool(), [x.node], n.outputs[0])
    return replace(v, dims=(x.dims[0], *r.shape(v)))


def global_maximum(r: Reader, n: RawNode) -> Value:
    x = r.map(n.input(0))
    if any(x.pad):
        raise Refusal("takes the maximum over padding")
    _, height, width = r.shape(x)
    v = r.draft.emit(n.name, Pool2d("max", (height, width), (1, 1)), [x.node], n.outputs[0])
    r.draft.layers[v.node].out_bits = x.bits
    return replace(v, dims=(x.dims[0], *r.shape(v)), bits=x.bits)


HANDLERS: dict[str, Handler] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": global_average,
    "GlobalMaxPool": global_maximum,
}
