"""A network of `subgraph32` in floating point, with the supernet's weights and its batch norms folded.

The supernet keeps no batch-norm statistics; they are taken here in real arithmetic, layer by layer, on training images
(`calibrate` takes them under the quantisers instead). What comes out is a trained network like any other: a graph
without bit-widths, and float weights.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cofront.errors import InputError
from cofront.network import Convolution, Linear, Network, Node
from cofront.network.bits import without_bits
from cofront.network.pytorch import NetworkModule, fold_batchnorm, to_torch
from cofront.network.weights import Weights
from cofront.space.subgraph32 import Subgraph32, block_number
from cofront.task.augment import network_input
from cofront.task.data import Images
from cofront.task.release import load_supernet
from cofront.task.subnet import as_point
from cofront.task.supernet import STEM_CONV, Conv, Supernet

#: Training images for the statistics: as many as the quantised networks are calibrated on.
IMAGES = 640


def float_inputs(images: Images, side: int) -> torch.Tensor:
    """uint8 images (n, h, w, c) as the real inputs (n, c, side, side) of a network, channels last."""
    return network_input(torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2), side)


def folded(
    network: Network | npt.ArrayLike, images: Images, net: Supernet | None = None, count: int = IMAGES
) -> tuple[Network, Weights]:
    """The float network of a point (25,) or Network of `subgraph32`, and its folded weights.

    The batch-norm statistics are those of the first `count` of `images` (n, h, w, 3), training images. `net` None means
    the weights that ship. InputError for another network and for fewer than 16 images.
    """
    graph = network if isinstance(network, Network) else Subgraph32().network(as_point(network))
    graph = without_bits(graph)
    if len(images) < 16:
        raise InputError(f"batch-norm statistics need at least 16 images, got {len(images)}")
    module = to_torch(graph)
    _copy(module, net or load_supernet()[0])
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0  # one batch, and its statistics alone
    with torch.no_grad():
        module.train()(float_inputs(images[:count], graph.shapes[graph.input.name][1]))
    return graph, fold_batchnorm(module)


def _copy(module: NetworkModule, net: Supernet) -> None:
    """The supernet's slices into a module of one of its networks."""
    with torch.no_grad():
        for node in module.network.layers:
            layer = module.layer(node.name)
            if isinstance(node.op, Linear) and node.name == "head":
                assert layer.bias is not None
                layer.weight.copy_(net.linear[:, : layer.weight.shape[1]])
                layer.bias.copy_(net.bias)
                continue
            conv = _conv(module.network, node)
            if conv.name not in net.weights or layer.norm is None:
                raise InputError(f"node '{node.name}' is not of a network of subgraph32")
            weight = net.weight(conv)
            if weight.shape != layer.weight.shape:
                raise InputError(
                    f"node '{node.name}' has weights {tuple(layer.weight.shape)}, the supernet's are other"
                )
            layer.weight.copy_(weight)
            layer.norm.weight.copy_(net.gammas[conv.name][: conv.cout])
            layer.norm.bias.copy_(net.betas[conv.name][: conv.cout])


def _conv(network: Network, node: Node) -> Conv:
    """The supernet's convolution that a node `s<stage>b<position>.<part>` stands for."""
    op = cast(Convolution, node.op)
    if node.name == "stem":
        return STEM_CONV
    label, _, part = node.name.partition(".")
    kind = "dw" if f"{label}.dw" in network.by_name else "full"
    index = {"expand": 0, "dw": 1, "conv": 0, "project": 2 if kind == "dw" else 1}.get(part)
    shape = op.weight_shape(network.in_shapes(node)) if isinstance(op, Convolution) else ()
    if index is None or len(label) != 4 or not (label[1] + label[3]).isdigit() or not shape:
        raise InputError(f"node '{node.name}' is not of a network of subgraph32")
    slot = block_number(int(label[1]), int(label[3])) - 1
    relu = part != "project"
    return Conv(f"b{slot}_{kind}{index}", shape[1], shape[0], op.kernel[0], op.stride[0], part == "dw", relu)
