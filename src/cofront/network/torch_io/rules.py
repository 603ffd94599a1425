"""What each ATen operator becomes: one rule per operator; what has no rule is named by the caller."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx

from cofront.network.ops import (
    Activation,
    ActivationKind,
    Add,
    ChannelShuffle,
    Concat,
    Conv2d,
    GlobalPool,
    Linear,
    Mul,
    Padding,
    Pool2d,
)
from cofront.network.torch_io.module import fold
from cofront.network.torch_io.state import NO_PAD, Rule, Translation, Unsupported, Value, arguments, pair, short


def _args(node: fx.Node, *defaults: Any, names: tuple[str, ...] = ()) -> list[Any]:
    """The node's arguments with `defaults` for those absent; `names` finds keyword arguments."""
    out: list[Any] = arguments(node)[: len(defaults)] + list(defaults[len(node.args) :])
    for i, name in enumerate(names):
        if name in node.kwargs:
            out[i] = node.kwargs[name]
    return out


def _identity(t: Translation, node: fx.Node) -> Value:
    return t.value(node.args[0])


def _dropout(t: Translation, node: fx.Node) -> Value:
    if node.args[2]:
        raise Unsupported("in training mode")
    return t.value(node.args[0])


def _padding(value: Value, pad: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> Padding:
    if pad == "valid":
        sides = NO_PAD
    elif pad == "same":
        th, tw = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        sides = (th // 2, tw // 2, th - th // 2, tw - tw // 2)
    else:
        ph, pw = pair(pad)
        sides = (ph, pw, ph, pw)
    a, b = sides, value.pad
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])


def _conv(t: Translation, node: fx.Node) -> Value:
    x, w, b, stride, pad, dilation, groups = _args(node, None, None, None, 1, 0, 1, 1)
    if short(node) == "convolution":
        transposed, groups = arguments(node)[6], arguments(node)[8]
        if transposed:
            raise Unsupported("transposed")
    value, weight, bias = t.value(x), t.constant(w), t.constant(b)
    assert weight is not None
    source = t.resolve(replace(value, pad=NO_PAD))
    kernel, dil = (int(weight.shape[2]), int(weight.shape[3])), pair(dilation)
    sides = _padding(value, pad, kernel, dil)
    op = Conv2d(len(weight), kernel, pair(stride), sides, int(groups), dil, bias=bias is not None, norm=False)
    out = t.add(op, source, name=t.owner(w, "conv"))
    t.weights[f"{out.name}.weight"] = weight
    if bias is not None:
        t.weights[f"{out.name}.bias"] = bias
    return out


def _linear(t: Translation, node: fx.Node) -> Value:
    x, w, b = _args(node, None, None, None)
    weight, bias = t.constant(w), t.constant(b)
    assert weight is not None
    if len(t.value(x).shape) != 1:
        raise Unsupported(f"on a tensor of shape {t.value(x).shape} (flatten it first)")
    out = t.add(Linear(len(weight), bias=bias is not None), t.source(x), name=t.owner(w, "linear"))
    t.weights[f"{out.name}.weight"] = weight
    if bias is not None:
        t.weights[f"{out.name}.bias"] = bias
    return out


def _batch_norm(t: Translation, node: fx.Node) -> Value:
    x, gamma, beta, mean, var, training, _, eps = arguments(node)[:8]
    if training:
        raise Unsupported("in training mode")
    value = t.value(x)
    stats = t.running(mean, var)
    merged = t.merge_norm(node, value)
    if merged is not None:
        return merged
    if len(value.shape) != 3:
        raise Unsupported("on a vector, except behind a linear layer")
    # A norm with no layer to fold into is a 1 x 1 depthwise convolution: as many parameters, one MAC per element.
    c = value.shape[0]
    op = Conv2d(c, (1, 1), groups=c, bias=True, norm=False)
    out = t.add(op, t.resolve(value), name=t.owner(gamma, "norm"))
    w, b = fold(np.ones((c, 1, 1, 1)), None, t.constant(gamma), t.constant(beta), *stats, eps)
    t.weights[f"{out.name}.weight"], t.weights[f"{out.name}.bias"] = w, b
    return out


def _activation(kind: ActivationKind) -> Rule:
    def rule(t: Translation, node: fx.Node) -> Value:
        value = t.value(node.args[0])
        if kind == "relu6" and value.pending == "+3":
            return replace(value, pending="h6")
        return _unary(t, kind, value)

    return rule


def _unary(t: Translation, kind: ActivationKind, value: Value) -> Value:
    """An activation commutes with reshapes, so it stays on the node as it is."""
    if value.pending or value.pad != NO_PAD:
        t.resolve(value)
    out = t.add(Activation(kind), value.name, name=f"{value.name}.act")
    return replace(value, name=out.name)


def _clamp(t: Translation, node: fx.Node) -> Value:
    if short(node).startswith("hardtanh"):
        _, low, high = _args(node, None, -1.0, 1.0, names=("self", "min_val", "max_val"))
    else:
        _, low, high = _args(node, None, None, None, names=("self", "min", "max"))
    if (low, high) == (0, None):
        return _activation("relu")(t, node)
    if (low, high) == (0, 6):
        return _activation("relu6")(t, node)
    raise Unsupported(f"to [{low}, {high}] (only [0, 6] and [0, inf))")


def _scalar(t: Translation, node: fx.Node, value: Value, op: str, constant: float) -> Value:
    """The steps of relu6(x + 3) / 6 and x * relu6(x + 3) / 6."""
    if op == "add" and constant == 3 and not value.pending:
        return replace(value, pending="+3")
    sixth = (op == "div" and constant == 6) or (op == "mul" and math.isclose(constant, 1 / 6, rel_tol=1e-4))
    if sixth and value.pending in ("h6", "x h6"):
        return _unary(t, "hsigmoid" if value.pending == "h6" else "hswish", replace(value, pending=""))
    raise Unsupported(f"with the constant {constant:g}")


def _binary(op: str) -> Rule:
    def rule(t: Translation, node: fx.Node) -> Value:
        a, b = arguments(node)[:2]
        if node.kwargs.get("alpha", 1) != 1:
            raise Unsupported(f"with alpha = {node.kwargs['alpha']}")
        for x, y in ((a, b), (b, a)):
            if isinstance(y, int | float) and not (op == "div" and x is b):
                return _scalar(t, node, t.value(x), op, float(y))
        if op == "div":
            raise Unsupported("of two tensors")
        u, v = t.value(a), t.value(b)
        if op == "mul":
            gated = _gated(t, u, v) or _gated(t, v, u)
            if gated is not None:
                return gated
        inputs = [t.resolve(u), t.resolve(v)]
        return t.add(Add() if op == "add" else Mul(), *inputs, name=op)

    return rule


def _gated(t: Translation, x: Value, gate: Value) -> Value | None:
    """x * sigmoid(x) and x * hard-sigmoid(x), written out."""
    if gate.pending == "h6" and replace(gate, pending="") == x:
        return replace(gate, pending="x h6")
    node = t.node(gate.name)
    if isinstance(node.op, Activation) and node.inputs == (x.name,) and not gate.pending and gate.shape == x.shape:
        kinds: dict[str, ActivationKind] = {"sigmoid": "silu", "hsigmoid": "hswish"}
        if node.op.kind in kinds and not x.pending and x.pad == NO_PAD:
            return _unary(t, kinds[node.op.kind], x)
    return None


def _concat(t: Translation, node: fx.Node) -> Value:
    items, dim = _args(node, None, 0, names=("tensors", "dim"))
    rank = len(node.meta["val"].shape)
    if dim % rank != 1:
        raise Unsupported(f"along dimension {dim} (only the channels, dimension 1)")
    return t.add(Concat(), *[t.source(i) for i in items], name="concat")


def _pool(kind: str) -> Rule:
    def rule(t: Translation, node: fx.Node) -> Value:
        if kind == "max":
            x, kernel, stride, pad, dilation, ceil = _args(node, None, 1, [], 0, 1, False)
            include = True
            if pair(dilation) != (1, 1):
                raise Unsupported("with dilation")
        else:
            x, kernel, stride, pad, ceil, include, divisor = _args(node, None, 1, [], 0, False, True, None)
            if divisor is not None:
                raise Unsupported("with divisor_override")
        source = t.source(x)
        k, (ph, pw) = pair(kernel), pair(pad)
        if kind == "avg" and k == t.shapes[source][1:] and (ph, pw) == (0, 0):
            return t.add(GlobalPool(), source, name=f"{source}.pool")
        op = Pool2d(kind, k, pair(stride or kernel), (ph, pw, ph, pw), bool(ceil), bool(include))  # type: ignore[arg-type]
        return t.add(op, source, name=f"{source}.pool")

    return rule


def _adaptive(t: Translation, node: fx.Node) -> Value:
    source = t.source(node.args[0])
    size = t.shapes[source][1:]
    want = pair(arguments(node)[1])
    if want == (1, 1):
        return t.add(GlobalPool(), source, name=f"{source}.pool")
    if want == size:
        return t.value(node.args[0])
    if size[0] % want[0] or size[1] % want[1]:
        raise Unsupported(f"from {size} to {want}, which does not divide evenly")
    kernel = (size[0] // want[0], size[1] // want[1])
    return t.add(Pool2d("avg", kernel, kernel), source, name=f"{source}.pool")


def _mean(t: Translation, node: fx.Node) -> Value:
    x, dims, keep = _args(node, None, None, False, names=("self", "dim", "keepdim"))
    value = t.value(x)
    rank = len(value.shape) + 1
    axes = sorted(d % rank for d in dims) if dims else []
    have = t.shapes[value.name]
    shape = (have[0], 1, 1) if keep and rank == 4 else (have[0],)
    whole = len(have) == 3 and math.prod(value.shape[1:]) == math.prod(have[1:]) and value.shape[0] == have[0]
    if whole and value.pending == "" and value.pad == NO_PAD and axes == list(range(1 + 1, rank)):
        pooled = t.add(GlobalPool(), value.name, name=f"{value.name}.pool")
        return replace(pooled, shape=shape if not keep or rank == 4 else pooled.shape)
    if value.pending == "" and value.shape == have and axes == [3] and not keep:
        return Value(value.name, have[:2], pending="row mean")
    if value.pending == "row mean" and axes == [2] and not keep:
        return replace(t.add(GlobalPool(), value.name, name=f"{value.name}.pool"), shape=(have[0],))
    raise Unsupported(f"over dimensions {dims} (only over height and width)")


def _reshape(t: Translation, node: fx.Node) -> Value:
    value = t.value(node.args[0])
    batch, *rest = node.meta["val"].shape
    shape = tuple(int(r) for r in rest)
    if batch != t.batch or not shape:
        raise Unsupported("that mixes the batch with other dimensions")
    if value.pad != NO_PAD or value.pending not in ("", "swap"):
        t.resolve(value)
    if value.pending == "swap":
        if shape != t.shapes[value.name]:
            raise Unsupported(f"of a transposed tensor to {shape}")
        return t.add(ChannelShuffle(value.groups), value.name, name=f"{value.name}.shuffle")
    return Value(value.name, shape)


def _transpose(t: Translation, node: fx.Node) -> Value:
    value = t.value(node.args[0])
    rank = len(value.shape) + 1
    if short(node) == "permute":
        order = [d % rank for d in arguments(node)[1]]
    else:
        order = list(range(rank))
        i, j = (int(d) % rank for d in arguments(node)[1:3])
        order[i], order[j] = order[j], order[i]
    have = t.shapes[value.name]
    grouped = len(have) == 3 and rank >= 4 and math.prod(value.shape[:2]) == have[0] and not value.pending
    if not grouped or value.pad != NO_PAD or order != [0, 2, 1, *range(3, rank)]:
        raise Unsupported("except in a channel shuffle")
    g, per = value.shape[:2]
    return Value(value.name, (per, g, *value.shape[2:]), pending="swap", groups=g)


def _pad(t: Translation, node: fx.Node) -> Value:
    value = t.value(node.args[0])
    sides = [int(s) for s in arguments(node)[1]]
    rest = [*node.args[2:], *node.kwargs.values()]
    if any(r not in ("constant", None, 0) for r in rest) or min(sides) < 0 or len(value.shape) != 3:
        raise Unsupported("other than by zeros around a map")
    sides += [0] * (6 - len(sides))
    left, right, top, bottom, *channels = sides
    if any(channels):
        raise Unsupported("of the channels")
    t.resolve(replace(value, pad=NO_PAD))
    p = value.pad
    return replace(value, pad=(p[0] + top, p[1] + left, p[2] + bottom, p[3] + right))


def _shuffle(t: Translation, node: fx.Node) -> Value:
    source = t.source(node.args[0])
    return t.add(ChannelShuffle(int(arguments(node)[1])), source, name=f"{source}.shuffle")


RULES: dict[str, Rule] = {
    "conv2d": _conv,
    "convolution": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "relu": _activation("relu"),
    "relu6": _activation("relu6"),
    "hardswish": _activation("hswish"),
    "hardsigmoid": _activation("hsigmoid"),
    "sigmoid": _activation("sigmoid"),
    "silu": _activation("silu"),
    "hardtanh": _clamp,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "add": _binary("add"),
    "mul": _binary("mul"),
    "div": _binary("div"),
    "cat": _concat,
    "concat": _concat,
    "max_pool2d": _pool("max"),
    "avg_pool2d": _pool("avg"),
    "adaptive_avg_pool2d": _adaptive,
    "mean": _mean,
    "view": _reshape,
    "reshape": _reshape,
    "flatten": _reshape,
    "unflatten": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "transpose": _transpose,
    "permute": _transpose,
    "channel_shuffle": _shuffle,
    "native_channel_shuffle": _shuffle,
    "pad": _pad,
    "constant_pad_nd": _pad,
    "contiguous": _identity,
    "clone": _identity,
    "detach": _identity,
    "alias": _identity,
    "lift_fresh_copy": _identity,
}
