"""The teacher, unit by unit: what each unit takes and gives on images, and the rest of the network behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cofront.errors import InputError
from cofront.network import Network, stack
from cofront.network.pytorch import NetworkModule, to_torch
from cofront.task.augment import network_input
from cofront.task.data import Images
from cofront.task.distil.restore import restored

#: Images whose statistics the teacher's norms get.
STATISTICS = 512


def inputs_of(network: Network, x: Images) -> Tensor:
    """Images (n, h, w, 3) uint8 as the network's inputs (n, 3, side, side), resized where its side is another."""
    _, side, _ = network.shapes[network.input.name]
    return network_input(torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2), side)


def assembled(network: Network, modules: Iterable[NetworkModule]) -> NetworkModule:
    """A module of `network` whose layers are copies of those of the same name in `modules`, norms included.

    InputError when no module has one of the layers.
    """
    known = {node.name: module.layer(node.name) for module in modules for node in module.network.layers}
    missing = [n.name for n in network.layers if n.name not in known]
    if missing:
        raise InputError(f"network '{network.name}': no trained layer '{missing[0]}' among its parts")
    out = NetworkModule(network)
    for node in network.layers:
        out.layer(node.name).load_state_dict(known[node.name].state_dict())
    return out.eval()


class Teacher:
    """A trained network in its parts, in eval mode; its norms have the statistics of training images x (n, h, w, 3).

    `parts` stacked are the network, with norms (see `with_norms`); `weights` are folded.
    """

    def __init__(self, parts: Sequence[Network], weights: Mapping[str, NDArray[np.float32]], x: Images) -> None:
        self.parts, self.weights = tuple(parts), dict(weights)
        self.network = stack(parts[0].name if len(parts) == 1 else "teacher", parts)
        whole = restored(self.network, self.weights, inputs_of(self.network, x[:STATISTICS]))
        self.modules = [assembled(p, [whole]) for p in parts]
        for module in self.modules:
            module.requires_grad_(False)

    @torch.no_grad()
    def features(self, x: Tensor) -> list[Tensor]:
        """(l + 1) tensors: the input of every unit, and the logits (n, classes)."""
        out = [x]
        for module in self.modules:
            out.append(module(out[-1]))
        return out

    @torch.no_grad()
    def behind(self, i: int, h: Tensor) -> Tensor:
        """The logits (n, classes) when unit i gives h: the later units are the teacher's."""
        for module in self.modules[i + 1 :]:
            h = module(h)
        return h


def quick(network: Network, weights: Mapping[str, NDArray[np.float32]], dtype: torch.dtype) -> NetworkModule:
    """The network for judging alone, in `dtype`: norms folded into the layers, nothing to be trained."""
    from dataclasses import replace

    from cofront.network import Conv2d

    nodes = [
        replace(n, op=replace(n.op, norm=False, bias=True)) if isinstance(n.op, Conv2d) and n.op.norm else n
        for n in network.nodes
    ]
    module = to_torch(Network(network.name, tuple(nodes)), weights).eval().requires_grad_(False)
    return module.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
