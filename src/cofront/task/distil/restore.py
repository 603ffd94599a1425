"""Batch norms put back where they were folded: the same function, but one that can be trained further.

A folded layer is `conv(x) + bias`. As a module its batch norm holds the identity, so that in training mode it would
normalise what was never meant to be. Here the norm gets the statistics of the layer's own output on images, and a scale
and offset that undo them: in eval mode nothing changes, and in training mode next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cofront.errors import InputError
from cofront.network import Conv2d, Network
from cofront.network.pytorch import NetworkModule, to_torch

#: The least standard deviation that a norm is given: a channel that is always the same keeps its value.
LEAST_STD = 1e-3


def with_norms(network: Network) -> Network:
    """The same network in floating point, with a norm in the place of the bias of every convolution on a map.

    A file that was read has folded norms as biases; as weights (`network.weights`) the two are the same.
    """
    nodes = []
    for node in network.nodes:
        op = node.op
        if isinstance(op, Conv2d) and op.bias and not op.norm and network.shapes[node.name][1:] != (1, 1):
            op = replace(op, bias=False, norm=True)
        nodes.append(replace(node, op=op, weight_bits=None, in_bits=None, out_bits=None))
    return Network(network.name, tuple(nodes))


@torch.no_grad()
def restored(network: Network, weights: Mapping[str, NDArray[np.float32]], x: Tensor) -> NetworkModule:
    """The module of a trained network whose norms have the statistics of images x (n, c, h, w), in eval mode.

    InputError when fewer than two images are given.
    """
    if len(x) < 2:
        raise InputError(f"batch-norm statistics need at least 2 images, got {len(x)}")
    module = to_torch(network, weights).eval()
    found: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = []
    for node in network.layers:
        norm = module.layer(node.name).norm
        if norm is None:
            continue

        def keep(_: nn.Module, inputs: tuple[Tensor, ...], name: str = node.name) -> None:
            flat = inputs[0].float()
            found[name] = flat.mean((0, 2, 3)), flat.var((0, 2, 3))

        hooks.append(norm.register_forward_pre_hook(keep))
    module(x)
    for hook in hooks:
        hook.remove()
    for name, (mean, var) in found.items():
        norm = module.layer(name).norm
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        var = var.clamp_min(LEAST_STD**2)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias.add_((mean - norm.running_mean) * scale)
        norm.weight.copy_(scale * torch.sqrt(var + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
    return module
