"""A real supernet of a chain space: every option of every layer as a module, from the one Network description.

Each option has weights of its own, as in FBNet and LightNAS; an option without layers is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cofront.errors import UsageError
from cofront.network.pytorch import to_torch
from cofront.problem import IntArray
from cofront.search.gradient.choices import Layers
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.task import Split, relaxed_choice
from cofront.space.base import Layered


class Supernet(Protocol):
    """Anything that computes logits (n, classes) of images with a relaxed choice; an `nn.Module` usually."""

    def __call__(self, x: Tensor, relaxed: Relaxed) -> Tensor: ...

    def parameters(self) -> Sequence[nn.Parameter]: ...

    def state_dict(self) -> Mapping[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> object: ...

    def train(self, mode: bool = True) -> object: ...

    def first_bad(self, x: Tensor, relaxed: Relaxed) -> str:
        """The first operator whose output is not finite, or ""."""


def options_run(layers: Layers, relaxed: Relaxed, layer: int) -> list[int]:
    """The options of a layer that a draw runs."""
    if relaxed.paths is not None:
        return cast(list[int], relaxed.paths[layer].tolist())
    return np.flatnonzero(layers.mask[layer]).tolist()


@torch.no_grad()
def first_not_finite(run: Callable[[list[str]], object], x: Tensor) -> str:
    """The first name that `run` puts into its list, which is that of operators whose output is not finite, or ""."""
    if not bool(torch.isfinite(x).all()):
        return "the batch of images"
    bad: list[str] = []
    run(bad)
    return bad[0] if bad else ""


class _Kept(torch.autograd.Function):
    """y times a weight that is 1: y itself, with the gradient of the product; no second tensor is made and kept."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(weight, y)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        weight, y = ctx.saved_tensors
        (g,) = grads
        return (g * y).sum(dtype=torch.float32).to(weight), g


def weighed(weight: Tensor, y: Tensor) -> Tensor:
    """An option's output times its weight (a scalar), in the output's type; the memory of a weight of 1 is y's own."""
    if float(weight.detach()) != 1.0:
        return weight * y
    if not weight.requires_grad:
        return y
    out: Tensor = _Kept.apply(weight, y)  # type: ignore[no-untyped-call]
    return out


class MixedSupernet(nn.Module):
    """Layers of mixed operators: the output of a layer is the sum of its run options' outputs times their weights.

    `layers` come from `layered.trellis`. The hard single path runs, and keeps for the backward pass, one option a
    layer, however many there are.
    """

    def __init__(self, layers: Layers, layered: Layered, seed: int = 0) -> None:
        super().__init__()
        trellis, rng = layered.trellis, np.random.default_rng(seed)
        place = {o.edge: (i, j) for i, options in enumerate(layers.layers) for j, o in enumerate(options)}
        self.layers = layers
        #: per step of the chain: the number of the layer and its modules, or -1 and the one module it always runs
        self.steps: list[tuple[int, nn.ModuleList]] = []
        for node in range(trellis.n_nodes - 1):
            edges = np.flatnonzero(trellis.edge_from == node)
            modules = nn.ModuleList(self._module(layered, int(e), rng) for e in edges)
            if len(edges) > 1 and any(int(e) not in place for e in edges):
                raise UsageError(f"space '{layers.space.name}': these layers were not made from this trellis")
            self.steps.append((place[int(edges[0])][0] if len(edges) > 1 else -1, modules))
        self.modules_of = nn.ModuleList(m for _, m in self.steps)

    @staticmethod
    def _module(layered: Layered, edge: int, rng: np.random.Generator) -> nn.Module:
        fragment = int(layered.edge_fragment[edge])
        return nn.Identity() if fragment < 0 else to_torch(layered.fragments[fragment], rng=rng)

    def forward(self, x: Tensor, relaxed: Relaxed) -> Tensor:
        for layer, modules in self.steps:
            if layer < 0:
                x = modules[0](x)
                continue
            first, *others = options_run(self.layers, relaxed, layer)
            total = weighed(relaxed.weights[layer, first], modules[first](x))
            for o in others:
                total = total + weighed(relaxed.weights[layer, o], modules[o](x))
            x = total
        return x

    @torch.no_grad()
    def first_bad(self, x: Tensor, relaxed: Relaxed) -> str:
        """The first operator in the order of the layers whose output or input is not finite."""
        if not bool(torch.isfinite(x).all()):
            return "the batch of images"
        for layer, modules in self.steps:
            outputs = {}
            for o in options_run(self.layers, relaxed, layer) if layer >= 0 else [0]:
                outputs[o] = modules[o](x)
                if not bool(torch.isfinite(outputs[o]).all()):
                    return self.layers.name(layer, o) if layer >= 0 else "a layer that every network has"
            if layer >= 0:
                outputs = {o: weighed(relaxed.weights[layer, o], y) for o, y in outputs.items()}
            x = torch.stack(list(outputs.values())).sum(0)
        return ""


class Batches(Protocol):
    """Images of one split. A batch is a function of epoch and number."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def __call__(self, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        """Images (batch, c, h, w) and labels (batch,)."""

    def plain(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Images and labels `first` to `last`, as they are: fewer where the split ends."""


class TensorBatches:
    """Images (n, c, h, w) with labels (n,), as they are. The last, smaller batch of an epoch is left out."""

    def __init__(self, x: Tensor, y: Tensor, batch: int, seed: int = 0) -> None:
        if len(x) != len(y) or len(x) < batch:
            raise UsageError(
                f"expected as many labels as images and at least one batch of {batch}, "
                f"got {len(x)} images and {len(y)} labels"
            )
        self.x, self.y, self.batch, self.seed = x, y, batch, seed
        self._order: tuple[int, Tensor] = (-1, y)

    def __len__(self) -> int:
        return len(self.x) // self.batch

    def __call__(self, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        if self._order[0] != epoch:
            g = torch.Generator().manual_seed((self.seed << 24) + epoch)
            self._order = epoch, torch.randperm(len(self.x), generator=g)
        rows = self._order[1][number * self.batch : (number + 1) * self.batch]
        return self.x[rows], self.y[rows]

    def plain(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        return self.x[first:last], self.y[first:last]


class SupernetTask:
    """Cross-entropy of a supernet on two splits.

    Evaluation is on the first `judged` images of `judge_on` (the architecture's split unless given), `chunk` at a time,
    with the batch statistics of those: the running ones are of all paths together. `told` names the images, so that a
    checkpoint of others is refused.
    """

    def __init__(
        self,
        layers: Layers,
        net: Supernet,
        weights: Batches,
        architecture: Batches,
        *,
        judge_on: Batches | None = None,
        smoothing: float = 0.0,
        judged: int = 1000,
        chunk: int = 500,
        told: str = "",
    ) -> None:
        self.layers, self.net, self.smoothing, self.judged, self.chunk = layers, net, smoothing, judged, chunk
        self.judge_on, self.told = judge_on or architecture, f"{told} smoothing {smoothing}"
        self.data: dict[Split, Batches] = {"weights": weights, "architecture": architecture}

    def parameters(self) -> Sequence[nn.Parameter]:
        return list(self.net.parameters())

    def batches(self, split: Split) -> int:
        return len(self.data[split])

    def loss(self, relaxed: Relaxed, split: Split, epoch: int, number: int) -> Tensor:
        x, y = self.data[split](epoch, number)
        self.net.train(True)
        return F.cross_entropy(self.net(x, relaxed).float(), y, label_smoothing=self.smoothing).double().cpu()

    def evaluate(self, choice: IntArray) -> float:
        return self.judge(choice)[0]

    @torch.no_grad()
    def judge(self, choice: IntArray) -> tuple[float, float]:
        """Cross-entropy and accuracy of one architecture (l,)."""
        before = {k: v.clone() for k, v in self.net.state_dict().items() if "running" in k or "tracked" in k}
        self.net.train(True)
        loss, right, seen = 0.0, 0, 0
        relaxed = relaxed_choice(self.layers, choice)
        for first in range(0, self.judged, self.chunk):
            x, y = self.judge_on.plain(first, min(first + self.chunk, self.judged))
            if not len(x):
                break
            logits = self.net(x, relaxed).float()
            loss += float(F.cross_entropy(logits, y, reduction="sum"))
            right, seen = right + int((logits.argmax(1) == y).sum()), seen + len(x)
        now = self.net.state_dict()
        for k, v in before.items():  # an evaluation leaves no trace in the running statistics
            now[k].copy_(v)
        return loss / seen, right / seen

    def suspect(self, relaxed: Relaxed, split: Split, epoch: int, number: int) -> str:
        return self.net.first_bad(self.data[split](epoch, number)[0], relaxed)

    def state(self) -> dict[str, Tensor]:
        return dict(self.net.state_dict())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.net.load_state_dict(state)
