"""Handlers of activations, element-wise arithmetic, and the operators without effect at inference."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from cofront.network.onnx_io.draft import Refusal, Value
from cofront.network.onnx_io.layers import affine
from cofront.network.onnx_io.load import RawNode
from cofront.network.onnx_io.patterns import clip_bounds, is_hard_sigmoid
from cofront.network.onnx_io.reader import Handler, Reader
from cofront.network.ops import Activation, ActivationKind, Add, Mul, Op

Array = NDArray[Any]
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def _activation(r: Reader, n: RawNode, kind: ActivationKind) -> Value:
    x = r.value(n.input(0))
    v = r.draft.emit(n.name, Activation(kind), [x.node], n.outputs[0])
    return replace(x, node=v.node, bits=None)


def relu(r: Reader, n: RawNode) -> Value:
    return _activation(r, n, "relu")


def sigmoid(r: Reader, n: RawNode) -> Value:
    return _activation(r, n, "sigmoid")


def hard_swish(r: Reader, n: RawNode) -> Value:
    return _activation(r, n, "hswish")


def hard_sigmoid(r: Reader, n: RawNode) -> Value:
    if not is_hard_sigmoid(n):
        raise Refusal("is not relu6(x + 3) / 6, the hard sigmoid that cofront has")
    return _activation(r, n, "hsigmoid")


def swish(r: Reader, n: RawNode) -> Value:
    if not math.isclose(float(n.attributes.get("alpha", 1)), 1):
        raise Refusal("has alpha other than 1")
    return _activation(r, n, "silu")


def clip(r: Reader, n: RawNode) -> Value:
    bounds = clip_bounds(n, r.consts)
    if bounds is None:
        raise Refusal("has bounds that are not constant")
    if bounds == (0, 6):
        return _activation(r, n, "relu6")
    if bounds == (0, math.inf):
        return _activation(r, n, "relu")
    if bounds == (-math.inf, math.inf):
        return r.value(n.input(0))
    raise Refusal(f"clips to [{bounds[0]:g}, {bounds[1]:g}]; cofront has [0, 6] and [0, inf]")


def _aligned(r: Reader, v: Value, c: Array) -> Array:
    """A constant operand as one number per channel, (c,) or scalar; Refusal when it varies otherwise."""
    rank, channels = len(v.dims), r.shape(v)[0]
    if c.ndim > rank:
        raise Refusal(f"has a constant of shape {c.shape}, which makes more dimensions of {r.show(v.dims)}")
    if c.size == 1:
        return np.asarray(c.ravel()[0], np.float64)
    axis = v.perm.index(1) if rank == 4 else next((i for i, d in enumerate(v.dims) if i and d == channels), 1)
    full = (1,) * (rank - c.ndim) + c.shape
    wanted = tuple(channels if i == axis else 1 for i in range(rank))
    if full != wanted or v.flat is not None:
        raise Refusal(f"has a constant of shape {c.shape}; expected one number, or one per channel")
    return c.ravel().astype(np.float64)


def _binary(r: Reader, n: RawNode) -> Value:
    """Add, Sub, Mul, Div: with a constant an affine map per channel, else element-wise on two tensors."""
    if len(n.inputs) != 2:
        raise Refusal(f"has {len(n.inputs)} inputs")
    left, right = (r.const(i) for i in n.inputs)
    if left is None and right is None:
        if n.op in ("Sub", "Div"):
            raise Refusal("takes two tensors")
        return _combine(r, n, Add() if n.op == "Add" else Mul())
    c = left if left is not None else right
    assert c is not None
    k = _aligned(r, r.value(n.inputs[1] if left is not None else n.inputs[0]), c)
    one, zero = np.ones(()), np.zeros(())
    if n.op == "Add":
        return affine(r, n, one, k)
    if n.op == "Mul":
        return affine(r, n, k, zero)
    if n.op == "Sub":
        return affine(r, n, -one, k) if left is not None else affine(r, n, one, -k)
    if left is not None:
        raise Refusal("divides by a tensor")
    with np.errstate(all="ignore"):
        return affine(r, n, 1 / k, zero)


def _combine(r: Reader, n: RawNode, op: Op) -> Value:
    values = [r.value(i) for i in n.inputs]
    big = max(values, key=lambda v: math.prod(v.dims))
    shape, rank = r.shape(big), len(big.dims)
    for v in values:
        same = r.shape(v) == shape and v.dims == big.dims
        gate = r.shape(v) == (shape[0],) + (1,) * (len(shape) - 1) and len(v.dims) == rank
        # A broadcast operand must lie as the big one does: its channels on the same axis.
        lies = v.perm == big.perm or (rank == 4 and v.pixel and v.dims[big.perm.index(1)] == shape[0])
        if not (same or gate) or not lies or v.flat != big.flat:
            raise Refusal(f"combines tensors of shapes {' and '.join(r.show(v.dims) for v in values)}")
    nodes = [v.node for v in values]
    if isinstance(op, Mul) and r.graph.metadata.nodes:  # cofront writes a product of more than two in parts
        first = r.draft.layers[nodes[0]]
        if first.name.startswith(f"{n.name}.part") and isinstance(first.op, Mul) and r.uses[n.inputs[0]] == 1:
            nodes = [*r.draft.layers.pop(first.name).inputs, *nodes[1:]]
    v = r.draft.emit(n.name, op, nodes, n.outputs[0])
    return replace(big, node=v.node, bits=None)


def total(r: Reader, n: RawNode) -> Value:
    """Sum of any number of tensors."""
    return _combine(r, n, Add()) if len(n.inputs) > 1 else r.value(n.input(0))


def same(r: Reader, n: RawNode) -> Value:
    return r.pending(n.input(0))


def dropout(r: Reader, n: RawNode) -> Value:
    training = r.const(n.input(2)) if n.input(2) else np.zeros(())
    if training is None or np.any(training) or n.attributes.get("is_test", 1) == 0:
        raise Refusal("is in training mode; export the module after eval()")
    return r.pending(n.input(0))


def cast(r: Reader, n: RawNode) -> Value:
    if n.attributes.get("to") not in _FLOATS and not r.is_tail(n.outputs[0]):
        raise Refusal("rounds to integers")
    return r.pending(n.input(0))


def last(r: Reader, n: RawNode) -> Value:
    """Softmax and arg max behind the network: they do not change the predicted class, and no accelerator runs them."""
    if not r.is_tail(n.outputs[0]):
        raise Refusal("stands inside the network; cofront drops it only at the end")
    r.notes.append(f"'{n.name}' ({n}) at the end was dropped; the output is what it reads")
    return r.value(n.input(0))


HANDLERS: dict[str, Handler] = {
    "Relu": relu,
    "Sigmoid": sigmoid,
    "HardSwish": hard_swish,
    "HardSigmoid": hard_sigmoid,
    "Swish": swish,
    "Clip": clip,
    "Add": _binary,
    "Sub": _binary,
    "Mul": _binary,
    "Div": _binary,
    "Sum": total,
    "Identity": same,
    "Dropout": dropout,
    "Cast": cast,
    "Softmax": last,
    "LogSoftmax": last,
    "ArgMax": last,
}
