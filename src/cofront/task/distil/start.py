"""What an operator begins with: a part of the teacher's own weights where it has a place for them, else random ones.

A narrowed unit keeps the inner channels that weigh most, a low-rank one the largest singular values of the teacher's
convolution. How channels are weighed is ours.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cofront.network import Activation, Add, Conv2d, Network
from cofront.network.pytorch import NetworkModule, to_torch
from cofront.network.torch_io.module import Layer
from cofront.space.narrowed import inner_groups


@dataclass(frozen=True)
class Begun:
    """A module to train, and whether its weights came from the teacher."""

    module: NetworkModule
    taught: bool


def begin(
    teacher: NetworkModule, network: Network, name: str, seed: int = 0, place: int = 0, inherit: bool = True
) -> Begun:
    """The operator `network`, called `name`, in the place of the unit that `teacher` computes.

    Random weights are drawn from the seed, the unit's number and the name alone; without `inherit` all are random.
    """
    rng = np.random.default_rng([seed, place, zlib.crc32(name.encode())])
    module = to_torch(network, rng=rng)
    if not inherit:
        return Begun(module, False)
    with torch.no_grad():
        if [n.name for n in network.nodes] == [n.name for n in teacher.network.nodes]:
            _slice(teacher, module)
            return Begun(module, True)
        if name.startswith(("rank", "rows")) and _factorise(teacher, module):
            return Begun(module, True)
    return Begun(module, False)


def _slice(teacher: NetworkModule, module: NetworkModule) -> None:
    """The layers of the same names, without the channels that the narrowed ones lack."""
    kept = {n.name: torch.arange(teacher.network.shapes[n.name][0]) for n in teacher.network.layers}
    reads = {n.name: torch.arange(_reads(teacher.layer(n.name))) for n in teacher.network.layers}
    for group in inner_groups(teacher.network):
        width = module.network.shapes[group[0]][0]
        index = _weightiest(teacher, group, width)
        for name in group:
            kept[name] = index
        reads[_reader(teacher.network, group[-1])] = index
    for node in module.network.layers:
        source, target, rows = teacher.layer(node.name), module.layer(node.name), kept[node.name]
        weight = source.weight[rows]
        target.weight.copy_(weight if weight.shape[1] == 1 else weight[:, reads[node.name]])
        if target.bias is not None and source.bias is not None:
            target.bias.copy_(source.bias[rows])
        if isinstance(target.norm, nn.BatchNorm2d) and isinstance(source.norm, nn.BatchNorm2d):
            state = source.norm.state_dict()
            target.norm.load_state_dict({k: v[rows] if v.ndim else v for k, v in state.items()})


def _reads(layer: Layer) -> int:
    return int(layer.weight.shape[1])


def _reader(network: Network, name: str) -> str:
    """The layer behind an inner one."""
    user = network.consumers[name][0]
    while isinstance(user.op, Activation):
        user = network.consumers[user.name][0]
    return user.name


def _weightiest(teacher: NetworkModule, group: tuple[str, ...], width: int) -> Tensor:
    """(width,) numbers of the channels whose share in what the next layer gives is largest, in order."""
    layer, behind = teacher.layer(group[-1]), teacher.layer(_reader(teacher.network, group[-1]))
    spread = layer.norm.weight.abs() if isinstance(layer.norm, nn.BatchNorm2d) else layer.weight.flatten(1).norm(dim=1)
    weight = behind.weight.transpose(0, 1).flatten(1).norm(dim=1) * spread
    return torch.sort(weight.argsort(descending=True, stable=True)[:width]).values


def _factorise(teacher: NetworkModule, module: NetworkModule) -> bool:
    """A product of two convolutions in the place of one: False where the unit is no single convolution of that size."""
    (first, second), own = (n.name for n in module.network.layers), teacher.network.layers
    if len(own) != 1 or not isinstance(own[0].op, Conv2d) or own[0].op.groups != 1:
        return False
    a, b, weight = module.layer(first), module.layer(second), teacher.layer(own[0].name).weight
    out, read, rows, columns = weight.shape
    rank = len(a.weight)
    if a.weight.shape == (rank, read, rows, columns):
        u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        r = min(rank, len(s))
        a.weight.zero_()[:r] = v[:r].reshape(r, read, rows, columns)
        b.weight.zero_()[:, :r, 0, 0] = u[:, :r] * s[:r]
    elif a.weight.shape == (rank, read, rows, 1) and b.weight.shape == (out, rank, 1, columns):
        u, s, v = torch.linalg.svd(weight.permute(1, 2, 0, 3).reshape(read * rows, out * columns), full_matrices=False)
        r = min(rank, len(s))
        a.weight.zero_()[:r, :, :, 0] = (u[:, :r] * s[:r].sqrt()).T.reshape(r, read, rows)
        b.weight.zero_()[:, :r, 0] = (s[:r, None].sqrt() * v[:r]).reshape(r, out, columns).transpose(0, 1)
    else:
        return False
    source, target = teacher.layer(own[0].name).norm, b.norm
    if isinstance(source, nn.BatchNorm2d) and isinstance(target, nn.BatchNorm2d):
        target.load_state_dict(source.state_dict())
    return True


@torch.no_grad()
def settle(begun: Begun, before: Tensor, after: Tensor) -> None:
    """Statistics of the norms on a unit's input and output (n, c, h, w); the last norm of random weights also gets
    the mean and spread that it has to give, so that an operator starts at the scale of what it learns.
    """
    module, network = begun.module, begun.module.network
    estimate(module, before)
    last = _last_norm(module)
    if begun.taught or last is None:
        return
    adds = any(isinstance(n.op, Add) and network.input.name in n.inputs for n in network.nodes)
    goal = (after - before if adds else after).float()
    last.weight.copy_(goal.std((0, 2, 3)))
    last.bias.copy_(goal.mean((0, 2, 3)))


@torch.no_grad()
def estimate(module: NetworkModule, x: Tensor) -> None:
    """Norms get the statistics of one batch; the module is in eval mode afterwards."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    momentum = [n.momentum for n in norms]
    for norm in norms:
        norm.momentum = 1.0
    module.train()(x)
    for norm, m in zip(norms, momentum, strict=True):
        norm.momentum = m
    module.eval()


def _last_norm(module: NetworkModule) -> nn.BatchNorm2d | None:
    """The norm whose channels are those of the output, if there is one."""
    network, node = module.network, module.network.output
    while isinstance(node.op, Activation | Add):
        node = network.by_name[next(i for i in node.inputs if i != network.input.name)]
    if not isinstance(node.op, Conv2d):
        return None
    norm = module.layer(node.name).norm
    return norm if isinstance(norm, nn.BatchNorm2d) else None
