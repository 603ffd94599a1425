"""Ceil-mode pooling with explicit padding: ONNX changed its rule for the last window from opset to opset."""

from __future__ import annotations

from dataclasses import replace

from cofront.network.ops import Pool2d, Shape


def explicit(op: Pool2d, shape: Shape) -> Pool2d:
    """The same pooling of a (c, h, w) map with just the padding that its windows reach, in floor mode.

    An average that counts its padding but not what hangs over it stays as it is: no padding says that.
    """
    top, left, bottom, right = op.padding
    _, rows, columns = op.out_shape((shape,))
    below = max(0, (rows - 1) * op.stride[0] + op.kernel[0] - shape[1] - top)
    beside = max(0, (columns - 1) * op.stride[1] + op.kernel[1] - shape[2] - left)
    counts = op.kind == "avg" and op.count_include_pad and any((top, left, below, beside))
    if counts and (below > bottom or beside > right):
        return op
    pads = (top, left, below, beside)
    include = op.kind == "max" or counts or not any(pads)
    return replace(op, padding=pads, ceil_mode=False, count_include_pad=include)
