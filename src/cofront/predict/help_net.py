"""The network of HELP [HELP21] for many devices at once: architecture branch, device branch, modulator, inner steps.

Parameters are a dictionary; with a leading axis of t tasks every device has its own copy, which is how the inner steps
of all devices of an episode run in one batch. Two differences from the released code are ours: the Kullback-Leibler
terms are means over their entries and over all devices, and initial values follow PyTorch's defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

Params = dict[str, Tensor]

REFERENCES = 10
WIDTH, HIDDEN = 100, 200
#: Layers that the modulator touches, and by how much.
MODULATED = ("fc3", "fc4", "fc5")
STRENGTH = 0.01
Z = len(MODULATED) * (HIDDEN + 1)


@dataclass(frozen=True)
class Shape:
    """What an architecture looks like: `columns` one-hot columns; as `nodes` groups of equal size if it is a graph."""

    columns: int
    nodes: int = 0

    @property
    def node_columns(self) -> int:
        return self.columns // self.nodes if self.nodes else 0


def init_params(shape: Shape, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
    """Initial weights (in, out) and biases; graph layers uniform in +-.05, as released."""

    def uniform(*size: int, bound: float) -> Tensor:
        return (2 * torch.rand(*size, generator=generator, dtype=dtype) - 1) * bound

    out: Params = {}

    def linear(name: str, a: int, b: int) -> None:
        out[f"{name}.w"], out[f"{name}.b"] = uniform(a, b, bound=a**-0.5), uniform(b, bound=a**-0.5)

    if shape.nodes:
        # features of a node: its options, and whether it is the input, the output or the global node
        sizes = [shape.node_columns + 3, *[WIDTH] * 4]
        for i, (a, b) in enumerate(pairwise(sizes), 1):
            out[f"gc{i}.w"], out[f"gc{i}.b"] = uniform(a, b, bound=0.05), uniform(b, bound=0.05)
    else:
        linear("fc1", shape.columns, WIDTH)
        linear("fc2", WIDTH, WIDTH)
    linear("hw1", REFERENCES, WIDTH)
    linear("hw2", WIDTH, WIDTH)
    linear("fc3", HIDDEN, HIDDEN)
    linear("fc4", HIDDEN, HIDDEN)
    linear("fc5", HIDDEN, 1)
    return out


def init_modulator(generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
    """10 -> 10 -> mean and scale of a Gaussian over the 603 factors and offsets."""
    first, second = REFERENCES**-0.5, REFERENCES**-0.5
    return {
        "mod1.w": (2 * torch.rand(REFERENCES, REFERENCES, generator=generator, dtype=dtype) - 1) * first,
        "mod1.b": torch.zeros(REFERENCES, dtype=dtype),
        "mod2.w": (2 * torch.rand(REFERENCES, 2 * Z, generator=generator, dtype=dtype) - 1) * second,
        "mod2.b": torch.zeros(2 * Z, dtype=dtype),
    }


def for_tasks(params: Params, tasks: int) -> Params:
    """A copy of each parameter for each of t tasks, sharing gradients."""
    return {k: v.unsqueeze(0).expand(tasks, *v.shape) for k, v in params.items()}


def modulate(params: Params, modulator: Params, embedding: Tensor, noise: Tensor) -> tuple[Params, Tensor]:
    """Parameters (t, ...) changed by z = mean + scale x noise (t, 603), and the divergence from N(0, 1), (t,).

    Weights are scaled along the input axis by 1 + .01 z, the bias is shifted by .01 z.
    """
    hidden = torch.relu(embedding @ modulator["mod1.w"] + modulator["mod1.b"])
    mean, scale = (hidden @ modulator["mod2.w"] + modulator["mod2.b"]).chunk(2, dim=-1)
    scale = F.softplus(scale) + 1e-6
    z = mean + scale * noise
    divergence = 0.5 * (mean**2 + scale**2 - 1 - 2 * scale.log()).sum(dim=-1)
    out = dict(params)
    for i, name in enumerate(MODULATED):
        factor = z[:, i * HIDDEN : (i + 1) * HIDDEN, None]
        out[f"{name}.w"] = params[f"{name}.w"] * (1 + STRENGTH * factor)
        shift = z[:, len(MODULATED) * HIDDEN + i, None]
        out[f"{name}.b"] = params[f"{name}.b"] + STRENGTH * shift
    return out, divergence


def forward(params: Params, shape: Shape, adjacency: Tensor | None, x: Tensor, embedding: Tensor) -> Tensor:
    """(t, n, f) architectures and (t, 10) devices -> (t, n) scaled latencies; parameters (t, ...)."""

    def linear(name: str, v: Tensor) -> Tensor:
        return torch.baddbmm(params[f"{name}.b"].unsqueeze(1), v, params[f"{name}.w"])

    if shape.nodes:
        assert adjacency is not None
        tasks, n, _ = x.shape
        h = _graph(shape, x)
        for i in range(1, 5):
            flat = h.reshape(tasks, -1, h.shape[-1])
            inner = torch.bmm(flat, params[f"gc{i}.w"]).reshape(tasks, n, shape.nodes + 3, WIDTH)
            h = torch.relu(adjacency @ inner + params[f"gc{i}.b"][:, None, None, :])
        architecture = h[:, :, -1]
    else:
        architecture = torch.relu(linear("fc2", torch.relu(linear("fc1", x))))
    device = torch.relu(linear("hw2", torch.relu(linear("hw1", embedding.unsqueeze(1)))))
    both = torch.cat([architecture, device.expand(-1, architecture.shape[1], -1)], dim=-1)
    hidden = torch.relu(linear("fc4", torch.relu(linear("fc3", both))))
    return linear("fc5", hidden).squeeze(-1)


def _graph(shape: Shape, x: Tensor) -> Tensor:
    """(t, n, nodes + 3, features): input, the operations, output, global."""
    tasks, n, _ = x.shape
    out = x.new_zeros(tasks, n, shape.nodes + 3, shape.node_columns + 3)
    out[:, :, 1 : shape.nodes + 1, : shape.node_columns] = x.reshape(tasks, n, shape.nodes, shape.node_columns)
    for extra, node in enumerate((0, shape.nodes + 1, shape.nodes + 2)):
        out[:, :, node, shape.node_columns + extra] = 1.0
    return out


def adjacency_of(arcs: Tensor) -> Tensor:
    """(s + 3, s + 3) from arcs (s, s) of the operations: input and output joined at the ends, a global node that hears
    all; each node hears itself and what it reads."""
    s = len(arcs)
    full = torch.zeros(s + 3, s + 3)
    full[1 : s + 1, 1 : s + 1] = arcs.float()
    full[0, 1 : s + 1] = (arcs.sum(dim=0) == 0).float()
    full[1 : s + 1, s + 1] = (arcs.sum(dim=1) == 0).float()
    full[: s + 2, s + 2] = 1.0
    return (full + torch.eye(s + 3)).T.contiguous()


def adapt(
    params: Params, rates: Params, shape: Shape, adjacency: Tensor | None, x: Tensor, y: Tensor, embedding: Tensor,
    steps: int = 2, *, second_order: bool = False,
) -> Params:  # fmt: skip
    """Inner steps of Meta-SGD [MetaSGD17]: every parameter has a learnt rate. x (t, n, f), y (t, n)."""
    for _ in range(steps):
        # a sum over tasks of means: each task's parameters see their own loss only
        loss = ((forward(params, shape, adjacency, x, embedding) - y) ** 2).mean(dim=1).sum()
        names = list(params)
        grads = torch.autograd.grad(loss, [params[k] for k in names], create_graph=second_order, allow_unused=True)
        params = {k: params[k] if g is None else params[k] - rates[k] * g for k, g in zip(names, grads, strict=True)}
    return params


def scaled(y: Tensor, low: float, high: float) -> Tensor:
    """Latencies to [.05, .95] by the range of a pool."""
    return 0.9 * (y - low) / max(high - low, 1e-12) + 0.05


def size(params: Params) -> int:
    """Numbers in a dictionary of parameters."""
    return sum(math.prod(v.shape) for v in params.values())
