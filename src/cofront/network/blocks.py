"""Block labels for networks that come without them, so that an accelerator can run several layers in one call."""

from __future__ import annotations

import math
from dataclasses import replace

from cofront.network.graph import Network, Node
from cofront.network.ops import Conv2d


def _role(network: Network, node: Node) -> str:
    op = node.op
    if not isinstance(op, Conv2d):
        return "other"
    channels, height, width = network.in_shapes(node)[0]
    if op.is_depthwise(channels):
        return "dw"
    if height * width == 1 or math.prod(network.shapes[node.name][1:]) == 1:
        return "other"  # a matrix on a pooled vector
    return "conv" if op.groups == 1 else "other"


def label_blocks(network: Network) -> Network:
    """A copy whose nodes carry `block` labels "u1", "u2", ...; nodes that have one keep it.

    A block ends only where a single tensor is alive, so residual units and squeeze-excites stay whole; across such
    points a convolution, the depthwise convolution behind it and the pointwise one behind that stay together, as
    accelerators fuse them.
    """
    last_use = {name: i for i, node in enumerate(network.nodes) for name in node.inputs}
    open_until = -1  # index of the last reader of any tensor older than the previous node's
    count = 0
    roles: list[str] = []
    out = [network.nodes[0]]
    for i, node in enumerate(network.nodes[1:], 1):
        previous = network.nodes[i - 1]
        alone = open_until < i and node.inputs == (previous.name,)
        role = _role(network, node)
        is_layer = node.op.weight_shape(network.in_shapes(node)) is not None
        if count == 0 or (alone and is_layer and not _continues(roles, role)):
            count += 1
            roles = []
        if is_layer:
            roles.append(role)
        out.append(replace(node, block=node.block or f"u{count}"))
        open_until = max(open_until, last_use.get(previous.name, i))
    return Network(network.name, tuple(out))


def _continues(roles: list[str], role: str) -> bool:
    """Whether a layer joins a block of `roles`: conv, then dw, then conv (a squeeze-excite may stand between)."""
    convs = [r for r in roles if r != "other"]
    if role == "dw":
        return convs == ["conv"]
    return role == "conv" and bool(convs) and convs[-1] == "dw" and len(convs) <= 2
