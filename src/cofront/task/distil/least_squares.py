"""The last convolution of an operator, solved: the weights of least square error to the teacher's output, exactly.

What comes before the last convolution is taken as it is. Gradient steps then have the inner layers to learn, and a
second solution at their end takes the noise of the steps out. Ours: nothing is known of the paper doing this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cofront.network import Activation, Add, ChannelShuffle, Conv2d, Network, Node
from cofront.network.pytorch import NetworkModule
from cofront.task.distil.restore import LEAST_STD
from cofront.task.distil.units import assembled

#: Share of the features' mean square that is added to the diagonal: features that are alike would not be solvable.
RIDGE = 1e-5
#: Features per group (weights of one output) beyond which it is not solved: the matrix has their square.
MOST_FEATURES = 2400


@dataclass(frozen=True)
class _Last:
    """The convolution to solve, whether the unit's input is added to what it gives, and the shuffle behind it."""

    node: Node
    adds: bool
    shuffle: int


def before_activation(teacher: NetworkModule) -> NetworkModule:
    """The unit without the activation that it ends in, if it does: what a linear layer can be fitted to."""
    network = teacher.network
    if not isinstance(network.output.op, Activation):
        return teacher
    return assembled(Network(network.name, network.nodes[:-1]), [teacher])


def _last(network: Network) -> _Last | None:
    node, adds, shuffle = network.output, False, 0
    if isinstance(node.op, Activation):
        node = network.by_name[node.inputs[0]]
    if isinstance(node.op, Add):
        if network.input.name not in node.inputs or len(node.inputs) != 2:
            return None
        adds, node = True, network.by_name[next(i for i in node.inputs if i != network.input.name)]
    if isinstance(node.op, ChannelShuffle):
        shuffle, node = node.op.groups, network.by_name[node.inputs[0]]
    if not isinstance(node.op, Conv2d):
        return None
    reads = network.in_shapes(node)[0][0] // node.op.groups * node.op.kernel[0] * node.op.kernel[1]
    same_sides = node.op.padding[:2] == node.op.padding[2:]
    few = reads <= MOST_FEATURES and node.op.groups <= 16
    return _Last(node, adds, shuffle) if few and same_sides else None


@torch.no_grad()
def solve_last(module: NetworkModule, teacher: NetworkModule, batches: Sequence[Tensor]) -> bool:
    """Sets the last convolution (and its norm) of `module` from inputs of the unit, each (n, c, h, w).

    `teacher` computes the unit without its last activation. False where the operator does not end in a convolution
    that can be solved; it is then left as it is.
    """
    last = _last(module.network)
    if last is None:
        return False
    op, layer = last.node.op, module.layer(last.node.name)
    assert isinstance(op, Conv2d)
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    sums: tuple[Tensor, Tensor, Tensor] | None = None
    module.eval()
    for x in batches:
        seen.clear()
        module(x)
        goal = teacher(x) - x if last.adds else teacher(x)
        if last.shuffle:
            goal = F.channel_shuffle(goal, goal.shape[1] // last.shuffle)  # undoes a shuffle of that many groups
        features, wanted = _columns(seen[0].float(), op), goal.float().permute(1, 0, 2, 3).flatten(1)
        wanted = wanted.reshape(op.groups, -1, wanted.shape[1])
        gram, cross = features @ features.transpose(1, 2), features @ wanted.transpose(1, 2)
        square = wanted.square().sum((1, 2))
        new = gram.double(), cross.double(), square.double()
        sums = new if sums is None else (sums[0] + new[0], sums[1] + new[1], sums[2] + new[2])
    hook.remove()
    assert sums is not None
    _set(layer, op, *_solved(sums[0], sums[1]))
    return True


def _columns(x: Tensor, op: Conv2d) -> Tensor:
    """(groups, features + 1, positions): what each output is a weighted sum of, and a 1 for the bias."""
    x = x.contiguous()
    if op.kernel == (1, 1) and op.stride == (1, 1):
        columns = x.permute(1, 0, 2, 3).flatten(1)
    else:
        found = F.unfold(x, op.kernel, op.dilation, op.padding[:2], op.stride)
        columns = found.permute(1, 0, 2).flatten(1)
    columns = columns.reshape(op.groups, -1, columns.shape[1])
    return torch.cat([columns, torch.ones_like(columns[:, :1])], 1)


def _solved(gram: Tensor, cross: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights (groups, features, outputs), bias, and mean and variance of what the weights give without the bias."""
    positions = gram[:, -1, -1]
    diagonal = gram.diagonal(dim1=1, dim2=2)
    ridge = RIDGE * diagonal[:, :-1].mean(1, keepdim=True).clamp_min(1e-12)
    regular = gram + torch.diag_embed(torch.cat([ridge.expand(-1, gram.shape[1] - 1), torch.zeros_like(ridge)], 1))
    solution = torch.linalg.solve(regular, cross)
    weight, bias = solution[:, :-1], solution[:, -1]
    mean = (gram[:, -1:, :-1] @ weight)[:, 0] / positions[:, None]
    square = torch.einsum("gfo,gfe,geo->go", weight, gram[:, :-1, :-1], weight) / positions[:, None]
    return weight, bias, mean, (square - mean.square()).clamp_min(LEAST_STD**2)


def _set(layer: nn.Module, op: Conv2d, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> None:
    """The layer gives weight * x + bias in eval mode; a norm has the statistics of weight * x."""
    target, norm = layer.weight, layer.norm
    assert isinstance(target, Tensor)
    target.copy_(weight.transpose(1, 2).reshape(target.shape))
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None and norm.running_var is not None
        flat_mean, flat_variance = mean.flatten().float(), variance.flatten().float()
        norm.running_mean.copy_(flat_mean)
        norm.running_var.copy_(flat_variance)
        norm.weight.copy_(torch.sqrt(flat_variance + norm.eps))
        norm.bias.copy_(bias.flatten().float() + flat_mean)
    elif isinstance(layer.bias, Tensor):
        layer.bias.copy_(bias.flatten().float())
