"""How much quantising each layer is expected to raise the loss, from its curvature: two second-order models.

Both expand the mean cross entropy around the trained weights and the activations they give: half the sum of d' G d
over layers, d the change that rounding makes and G the Gauss-Newton matrix, without cross terms.

- `hessian`: the mean of G's diagonal over a layer times |d|^2, as HAWQ-V2 [HAWQV2], which HAO minimises [HAO21];
- `fisher`: the sum of G_ii d_i^2, element by element: G is the Fisher information, the covariance of scores.

One backward pass per draw serves every layer, every width and both models: with v drawn from the covariance of a
one-hot class, E[(J'v)^2] is the diagonal of G. Piecewise-linear networks have no other second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cofront.errors import UsageError
from cofront.network.pytorch import NetworkModule

SAMPLES, BATCH = 16, 32


class Quantisers(Protocol):
    """What rounds: the weights of a layer, and what a layer reads."""

    def weight(self, layer: str, bits: int) -> Tensor:
        """The quantised weights of a layer, in their shape."""

    def read(self, layer: str, x: Tensor, bits: int) -> Tensor:
        """What a layer reads, quantised."""


@dataclass(frozen=True)
class LossTables:
    """Expected rise of the mean loss, in nats: by weight bits (l, w) and by activation bits (l, a), layer by layer.

    Activation widths of a layer whose input's width is given (the network's input) are 0 throughout. `model` names
    what says so; `stderr` is the largest relative standard error of what was estimated by draws.
    """

    model: str
    layers: tuple[str, ...]
    weight_bits: tuple[int, ...]
    act_bits: tuple[int, ...]
    weight: NDArray[np.float64]
    act: NDArray[np.float64]
    stderr: float = 0.0

    def joint(self) -> NDArray[np.float64]:
        """(l, w * a) both together, activation bits fastest."""
        both = self.weight[:, :, None] + self.act[:, None, :]
        return both.reshape(len(self.layers), -1)

    def falling(self) -> Self:
        """The same without noise: no rise below 0, and none that is less at fewer bits than at more."""
        weight, act = (
            np.maximum.accumulate(np.maximum(t, 0.0)[:, ::-1], axis=1)[:, ::-1].copy() for t in (self.weight, self.act)
        )
        return replace(self, weight=weight, act=act)

    def rise(self, layer: str, weight_bits: int, act_bits: int) -> float:
        """Of one layer alone."""
        i = self.layers.index(layer)
        by_weight = self.weight[i, self.weight_bits.index(weight_bits)]
        return float(by_weight + self.act[i, self.act_bits.index(act_bits)])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `LossTables.from_dict` reads it."""
        return {**asdict(self), "weight": self.weight.tolist(), "act": self.act.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The tables of `to_dict`; KeyError, TypeError or ValueError for anything else."""
        shape = len(data["layers"])
        weight, act = np.array(data["weight"], np.float64), np.array(data["act"], np.float64)
        if weight.shape != (shape, len(data["weight_bits"])) or act.shape != (shape, len(data["act_bits"])):
            raise ValueError(f"tables of {weight.shape} and {act.shape} for {shape} layers")
        widths = tuple(int(b) for b in data["weight_bits"]), tuple(int(b) for b in data["act_bits"])
        return cls(str(data["model"]), tuple(data["layers"]), *widths, weight, act, float(data["stderr"]))

    def of(self, weight_bits: NDArray[np.int64], act_bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) expected rise for widths (n, l) of weights and activations."""
        rows = np.arange(len(self.layers))
        w = np.searchsorted(self.weight_bits, weight_bits)
        a = np.searchsorted(self.act_bits, act_bits)
        return np.asarray((self.weight[rows, w] + self.act[rows, a]).sum(axis=1), np.float64)


@dataclass
class _Sums:
    """Of one layer's reads, over all images: the trace, the elements, and by width |d|^2 and sum of G_ii d_i^2."""

    trace: float = 0.0
    count: int = 0
    squared: dict[int, float] = field(default_factory=dict)
    weighted: dict[int, float] = field(default_factory=dict)


def curvature_tables(
    module: NetworkModule,
    quantisers: Quantisers,
    inputs: Tensor,
    *,
    weight_bits: Sequence[int],
    act_bits: Sequence[int],
    fixed_reads: Sequence[str] = (),
    samples: int = SAMPLES,
    batch: int = BATCH,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[LossTables, LossTables]:
    """The `hessian` and the `fisher` tables of a network in eval mode on `inputs` (n, c, h, w), real numbers.

    Widths ascend. `fixed_reads` are layers whose reads keep their width. `samples` draws for each batch; `on_progress`
    gets the number of images done. UsageError without images or draws.
    """
    if not len(inputs) or samples < 1:
        raise UsageError(f"sensitivities need images and at least one draw, got {len(inputs)} images, {samples} draws")
    names = [n.name for n in module.network.layers]
    squares = {n: torch.zeros_like(module.layer(n).weight) for n in names}
    draws: dict[str, list[float]] = {n: [] for n in names}
    sums = {n: _Sums() for n in names}
    generator = torch.Generator().manual_seed(seed)
    widths = {n: () if n in fixed_reads else tuple(act_bits) for n in names}
    with _Reads(module, names) as reads:
        for start in range(0, len(inputs), batch):
            _one_batch(module, reads, inputs[start : start + batch], len(inputs), samples, generator, squares, draws)
            for n in names:
                _add_reads(sums[n], quantisers, n, *reads.taken(n), widths[n])
            if on_progress is not None:
                on_progress(min(start + batch, len(inputs)))
    return _tables(quantisers, module, names, (tuple(weight_bits), tuple(act_bits)), squares, sums, _stderr(draws))


class _Reads:
    """While it is open, keeps what each layer reads, as a tensor of the layer's own, and sums squares of gradients."""

    def __init__(self, module: NetworkModule, names: Sequence[str]) -> None:
        self.module, self.names = module, names
        self.read: dict[str, Tensor] = {}
        self.square: dict[str, Tensor] = {}

    def __enter__(self) -> _Reads:
        self.module.eval()
        self.graded = {p: p.requires_grad for p in self.module.parameters()}
        for p in self.graded:
            p.requires_grad_(False)
        for n in self.names:
            self.module.layer(n).weight.requires_grad_(True)

        def keep(name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
            def hook(_: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                x = args[0] if args[0].requires_grad else args[0].detach().requires_grad_()
                self.read[name] = x.view_as(x)  # a tensor of its own: others may read the same one
                return (self.read[name],)

            return hook

        self.hooks = [self.module.layer(n).register_forward_pre_hook(keep(n)) for n in self.names]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
        for p, graded in self.graded.items():
            p.requires_grad_(graded)
        self.read, self.square = {}, {}

    def taken(self, name: str) -> tuple[Tensor, Tensor]:
        return self.read[name].detach(), self.square[name]


def _one_batch(
    module: NetworkModule,
    reads: _Reads,
    x: Tensor,
    total: int,
    samples: int,
    generator: torch.Generator,
    squares: dict[str, Tensor],
    draws: dict[str, list[float]],
) -> None:
    """Adds the batch's share of the diagonals by weights; those by reads are left in `reads`."""
    names = list(squares)
    with torch.enable_grad():
        logits = module(x)
    weights = [module.layer(n).weight for n in names]
    inner = [reads.read[n] for n in names]
    p = logits.detach().softmax(1)
    reads.square = {n: torch.zeros_like(t) for n, t in zip(names, inner, strict=True)}
    for _ in range(samples):
        drawn = torch.multinomial(p, 1, generator=generator)
        v = (torch.zeros_like(p).scatter_(1, drawn, 1.0) - p) / total**0.5
        grads = torch.autograd.grad(logits, [*weights, *inner], v, retain_graph=True)
        for n, by_weight, by_read in zip(names, grads, grads[len(names) :], strict=False):
            squares[n].addcmul_(by_weight, by_weight, value=1 / samples)
            reads.square[n].addcmul_(by_read, by_read, value=1 / samples)
            draws[n].append(float(by_weight.square().sum()))


def _add_reads(sums: _Sums, quantisers: Quantisers, name: str, x: Tensor, f: Tensor, widths: Sequence[int]) -> None:
    sums.trace += float(f.sum())
    sums.count += f.numel()
    for bits in widths:
        d = (quantisers.read(name, x, bits) - x).square_()
        sums.squared[bits] = sums.squared.get(bits, 0.0) + float(d.sum())
        sums.weighted[bits] = sums.weighted.get(bits, 0.0) + float(torch.dot(d.flatten(), f.flatten()))


def _stderr(draws: dict[str, list[float]]) -> float:
    """The worst relative standard error of a layer's trace, of layers that have a hundredth of the largest."""
    mean = {n: float(np.mean(v)) for n, v in draws.items()}
    least = max(mean.values()) / 100
    errors = [
        float(np.std(v, ddof=1) / len(v) ** 0.5) / mean[n] for n, v in draws.items() if len(v) > 1 and mean[n] > least
    ]
    return max(errors, default=float("inf"))


def _tables(
    quantisers: Quantisers,
    module: NetworkModule,
    names: Sequence[str],
    widths: tuple[tuple[int, ...], tuple[int, ...]],
    squares: dict[str, Tensor],
    sums: dict[str, _Sums],
    stderr: float,
) -> tuple[LossTables, LossTables]:
    weight_bits, act_bits = widths
    out = []
    for model in ("hessian", "fisher"):
        by_weight, by_read = np.zeros((len(names), len(weight_bits))), np.zeros((len(names), len(act_bits)))
        for i, n in enumerate(names):
            w, f, s = module.layer(n).weight.detach(), squares[n], sums[n]
            for j, bits in enumerate(weight_bits):
                d = (quantisers.weight(n, bits) - w).square()
                by_weight[i, j] = 0.5 * float(f.mean() * d.sum() if model == "hessian" else (f * d).sum())
            for j, bits in enumerate(act_bits):
                mean = s.trace / s.count * s.squared.get(bits, 0.0)
                by_read[i, j] = 0.5 * (mean if model == "hessian" else s.weighted.get(bits, 0.0))
        out.append(LossTables(model, tuple(names), weight_bits, act_bits, by_weight, by_read, stderr))
    return out[0], out[1]
