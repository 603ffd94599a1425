"""How much work a network is: a few totals that latency on any device tends to follow, whatever the hardware."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cofront.network import Network
from cofront.network.ops import Convolution

#: Multiply-accumulates of dense and of depthwise layers, elements read and written by layers, weights, number of
#: layers, number of grouped layers and of other operators (activations aside, which are fused).
WORK = ("dense_macs", "depthwise_macs", "elements", "weights", "layers", "others")


def network_work(network: Network) -> NDArray[np.float64]:
    """(6,) totals of one network or fragment, in the order of `WORK`."""
    out = np.zeros(len(WORK))
    layers = {n.name for n in network.layers}
    for node in network.nodes[1:]:
        ins = network.in_shapes(node)
        if node.name in layers:
            depthwise = isinstance(node.op, Convolution) and node.op.is_depthwise(ins[0][0])
            weights = node.op.weight_shape(ins)
            assert weights is not None
            out[1 if depthwise else 0] += network.node_macs(node)
            out[2] += math.prod(ins[0]) + math.prod(network.shapes[node.name])
            out[3] += math.prod(weights)
            out[4] += 1
            out[5] += isinstance(node.op, Convolution) and not depthwise and node.op.groups > 1
        elif type(node.op).__name__ not in ("Activation", "Flatten"):
            out[5] += 1
    return out
