"""Handlers of the operators that move or cut shapes: reshape and its kin, transpose, means, concatenation, padding."""

from __future__ import annotations

from dataclasses import replace

from cofront.network.onnx_io import constants
from cofront.network.onnx_io.draft import NCHW, Refusal, Value
from cofront.network.onnx_io.layers import global_average, global_maximum
from cofront.network.onnx_io.load import RawNode
from cofront.network.onnx_io.reader import Handler, Reader, size
from cofront.network.ops import ChannelShuffle, Concat, Flatten, Padding


def _known(r: Reader, n: RawNode, i: int, what: str) -> list[int]:
    array = r.const(n.input(i))
    if array is None:
        raise Refusal(f"has {what} that are not constant")
    return [int(v) for v in array.ravel()]


def _axes(r: Reader, n: RawNode, rank: int) -> list[int] | None:
    """The node's axes from 0 on; `rank` is the number of dimensions that they count."""
    if n.input(1) and r.const(n.input(1)) is None:
        raise Refusal("has axes that are not constant")
    found = constants.axes(n, [None, r.const(n.input(1)) if n.input(1) else None])
    if found is not None and any(not -rank <= a < rank for a in found):
        raise Refusal(f"has axes {found} for a tensor of {rank} dimensions")
    return None if found is None else sorted(a % rank for a in found)


def reshaped(r: Reader, n: RawNode, v: Value, dims: tuple[int, ...]) -> Value:
    """`v` with other dimensions: an alias, a Flatten, a vector lifted to a map, or half of a channel shuffle."""
    shape = r.shape(v)
    if any(v.pad) or v.flat is not None:
        raise Refusal("reshapes a tensor that is padded or flattened with its channels last")
    if dims == v.dims:
        return v
    if not dims or dims[0] != v.dims[0]:
        raise Refusal(f"mixes the batch with other dimensions: {r.show(v.dims)} to {r.show(dims)}")
    if v.split:
        return _merged(r, n, v, dims)
    line = sum(d != 1 for d in dims[1:]) <= 1  # one dimension beside the batch, and ones
    if v.pixel and line and len(dims) > 1:
        if len(dims) == 2 and len(shape) == 3:
            return _flatten(r, n, v, dims)
        node = r.draft.lift(v.node) if len(dims) > 2 else v.node
        where = next((i for i, d in enumerate(dims[1:], start=1) if d != 1), 1)
        perm = (0, 1, 2, 3) if where == 1 else (0, 2, 1, 3) if where == 2 else (0, 2, 3, 1)
        return replace(v, node=node, dims=dims, perm=perm)
    if len(shape) == 3 and len(v.dims) == 4:
        c, h, w = shape
        if len(dims) == 2:
            return _flatten(r, n, v, dims)
        halves = dims[1:3]
        if v.perm == NCHW and size(halves) == c and dims[3:] in ((h, w), (h * w,)):
            return replace(v, dims=dims, split=halves[0])
    raise Refusal(f"changes the shape {r.show(v.dims)} to {r.show(dims)}")


def _flatten(r: Reader, n: RawNode, v: Value, dims: tuple[int, ...]) -> Value:
    shape = r.shape(v)
    out = r.draft.emit(n.name, Flatten(), [v.node], n.outputs[0])
    r.draft.layers[out.node].out_bits = v.bits
    moved = v.perm != NCHW and not v.pixel
    if moved and v.perm != (0, 2, 3, 1):
        raise Refusal("flattens a tensor whose dimensions were transposed")
    return replace(out, dims=dims, bits=v.bits, flat=(shape[0], shape[1], shape[2]) if moved else None)


def _merged(r: Reader, n: RawNode, v: Value, dims: tuple[int, ...]) -> Value:
    whole = (v.dims[0], *r.shape(v))
    if dims != whole:
        raise Refusal(f"changes a tensor split into channel groups to {r.show(dims)}; expected {r.show(whole)}")
    if not v.mixed:
        return replace(v, dims=dims, split=0)
    out = r.draft.emit(n.name, ChannelShuffle(v.split), [v.node], n.outputs[0])
    r.draft.layers[out.node].out_bits = v.bits
    return replace(out, dims=dims, bits=v.bits)


def reshape(r: Reader, n: RawNode) -> Value:
    v = r.pending(n.input(0))
    target = r.const(n.input(1))
    if target is None and "shape" in n.attributes:  # opset 1
        target = constants.fold(RawNode("", "Constant", "", (), (), {"value_ints": n.attributes["shape"]}), [])
    if target is None:
        raise Refusal("has a target shape that is not constant")
    return reshaped(r, n, v, constants.reshape_dims(target, v.dims, bool(n.attributes.get("allowzero", 0))))


def flatten(r: Reader, n: RawNode) -> Value:
    v = r.pending(n.input(0))
    axis = int(n.attributes.get("axis", 1))
    axis = axis + len(v.dims) if axis < 0 else axis
    return reshaped(r, n, v, (size(v.dims[:axis]), size(v.dims[axis:])))


def squeeze(r: Reader, n: RawNode) -> Value:
    v = r.pending(n.input(0))
    axes = _axes(r, n, len(v.dims))
    drop = {i for i, d in enumerate(v.dims) if d == 1} if axes is None else set(axes)
    if any(v.dims[i] != 1 for i in drop):
        raise Refusal(f"squeezes dimensions of {r.show(v.dims)} that are not 1")
    return reshaped(r, n, v, tuple(d for i, d in enumerate(v.dims) if i not in drop))


def unsqueeze(r: Reader, n: RawNode) -> Value:
    v = r.pending(n.input(0))
    count = len(n.attributes["axes"]) if "axes" in n.attributes else len(_known(r, n, 1, "axes"))
    axes = _axes(r, n, len(v.dims) + count) or []
    dims = list(v.dims)
    for a in axes:
        dims.insert(a, 1)
    return reshaped(r, n, v, tuple(dims))


def transpose(r: Reader, n: RawNode) -> Value:
    v = r.pending(n.input(0))
    perm = tuple(int(p) for p in n.attributes.get("perm", range(len(v.dims))[::-1]))
    if sorted(perm) != list(range(len(v.dims))) or any(v.pad):
        raise Refusal(f"permutes {r.show(v.dims)} by {list(perm)}")
    dims = tuple(v.dims[p] for p in perm)
    if perm == tuple(range(len(perm))):
        return v
    if v.split and perm[:3] == (0, 2, 1) and perm[3:] == tuple(range(3, len(perm))):
        return replace(v, dims=dims, mixed=not v.mixed)
    if not v.split and len(dims) == 4 and perm[0] == 0:
        return replace(v, dims=dims, perm=tuple(v.perm[p] for p in perm))
    raise Refusal(f"permutes {r.show(v.dims)} by {list(perm)}")


def reduce(r: Reader, n: RawNode) -> Value:
    """ReduceMean and ReduceMax over height and width."""
    v = r.value(n.input(0))
    axes = _axes(r, n, len(v.dims)) or []
    if len(v.dims) != 4 or len(r.shape(v)) != 3 or sorted(v.perm[a] for a in axes) != [2, 3]:
        raise Refusal(f"reduces {r.show(v.dims)} over axes {axes}; expected height and width")
    whole = RawNode(n.name, n.op, "", (n.input(0),), n.outputs, {})
    r.values[n.input(0)] = replace(v, perm=NCHW, dims=(v.dims[0], *r.shape(v)))
    out = (global_average if n.op == "ReduceMean" else global_maximum)(r, whole)
    r.values[n.input(0)] = v
    kept = tuple(1 if i in axes else d for i, d in enumerate(v.dims))
    out = replace(out, dims=kept, perm=v.perm)
    if n.attributes.get("keepdims", 1):
        return out
    return _flatten(r, replace(n, name=f"{n.name}.flatten"), out, (kept[0], r.shape(v)[0]))


def concat(r: Reader, n: RawNode) -> Value:
    values = [r.value(i) for i in n.inputs]
    first = values[0]
    rank = len(first.dims)
    axis = int(n.attributes["axis"]) % rank
    channels = first.perm.index(1) if rank == 4 else 1
    if any(len(v.dims) != rank or v.perm != first.perm or v.flat for v in values) or axis != channels:
        raise Refusal("joins along other than the channels")
    if len(values) == 1:
        return first
    shapes = [r.shape(v) for v in values]
    if len({(len(s), *s[1:]) for s in shapes}) != 1:
        raise Refusal(f"joins tensors of shapes {', '.join(r.show(v.dims) for v in values)}")
    out = r.draft.emit(n.name, Concat(), [v.node for v in values], n.outputs[0])
    bits = {v.bits for v in values}
    dims = tuple(sum(v.dims[axis] for v in values) if i == axis else d for i, d in enumerate(first.dims))
    return replace(first, node=out.node, dims=dims, bits=bits.pop() if len(bits) == 1 else None)


def pad(r: Reader, n: RawNode) -> Value:
    """Zero padding of height and width waits for the convolution or pool behind it."""
    v = r.pending(n.input(0))
    pads = [int(p) for p in n.attributes["pads"]] if "pads" in n.attributes else _known(r, n, 1, "pads")
    fill = r.const(n.input(2)) if n.input(2) else None
    value = float(fill.ravel()[0]) if fill is not None and fill.size else float(n.attributes.get("value", 0))
    rank = len(v.dims)
    axes = _known(r, n, 3, "axes") if n.input(3) else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise Refusal(f"has {len(pads)} pads for {len(axes)} axes")
    if not any(pads):
        return v
    if rank != 4 or v.split or len(r.shape(v)) != 3 or n.attributes.get("mode", "constant") != "constant" or value:
        raise Refusal("pads with other than zeros, or other than images")
    sides = {2: [0, 0], 3: [0, 0]}
    dims = list(v.dims)
    for i, axis in enumerate(axes):
        begin, end = pads[i], pads[i + len(axes)]
        ours = v.perm[axis % rank]
        if (begin or end) and (ours not in sides or begin < 0 or end < 0):
            raise Refusal("pads the batch or the channels, or cuts")
        if begin or end:
            sides[ours][0] += begin
            sides[ours][1] += end
            dims[axis % rank] += begin + end
    more: Padding = (sides[2][0], sides[3][0], sides[2][1], sides[3][1])
    t, l, b, w = (x + y for x, y in zip(v.pad, more, strict=True))
    return replace(v, pad=(t, l, b, w), dims=tuple(dims))


HANDLERS: dict[str, Handler] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "ReduceMean": reduce,
    "ReduceMax": reduce,
    "Concat": concat,
    "Pad": pad,
}
