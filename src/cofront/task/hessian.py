"""Hutchinson's estimate of Hessian traces: how curved the loss is along each group of weights.

HAO weighs the squared weight error of a bit-width by this trace [HAO21], after HAWQ-V2 [HAWQV2]. With Rademacher v,
E[v' H v] = Tr(H); one product with the whole Hessian serves every group, since v_g' (H v)_g has expectation Tr(H_gg).

It holds for any loss that can be differentiated twice, and is what `quantise/curvature.py` is checked against: there,
first derivatives give the same traces of networks that are piecewise linear in each layer, with far fewer draws.
Neither sees the kinks of ReLU, at which there is no second derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Trace:
    """Estimated trace of one group's Hessian block, the standard error of the estimate, and the group's size."""

    trace: float
    stderr: float
    n_weights: int

    @property
    def mean(self) -> float:
        """Trace per weight, Tr(H) / n."""
        return self.trace / self.n_weights


def hessian_traces(
    loss: Callable[[], torch.Tensor],
    groups: Mapping[str, Sequence[torch.Tensor]],
    *,
    samples: int = 32,
    seed: int = 0,
) -> dict[str, Trace]:
    """Traces of the diagonal blocks of the Hessian of `loss()` (a scalar, differentiable twice) for named groups.

    `groups` maps a name to parameters that require gradients. `samples` products with random sign vectors are
    averaged; the standard error says whether they were enough.
    """
    generator = torch.Generator().manual_seed(seed)
    names = [(name, p) for name, ps in groups.items() for p in ps]
    params = [p for _, p in names]
    grads = torch.autograd.grad(loss(), params, create_graph=True)
    estimates: dict[str, list[float]] = {name: [] for name in groups}
    for _ in range(samples):
        signs = [torch.randint(0, 2, p.shape, generator=generator, dtype=p.dtype) * 2 - 1 for p in params]
        products = torch.autograd.grad(grads, params, signs, retain_graph=True, allow_unused=True)
        sums = dict.fromkeys(groups, 0.0)
        for (name, _p), v, hv in zip(names, signs, products, strict=True):
            if hv is not None:
                sums[name] += float((v * hv).sum())
        for name, value in sums.items():
            estimates[name].append(value)
    return _averages(estimates, groups)


def _averages(
    estimates: Mapping[str, Sequence[float]], groups: Mapping[str, Sequence[torch.Tensor]]
) -> dict[str, Trace]:
    out = {}
    for name, ps in groups.items():
        t = torch.tensor(estimates[name], dtype=torch.float64)
        stderr = float(t.std() / len(t) ** 0.5) if len(t) > 1 else float("inf")
        out[name] = Trace(float(t.mean()), stderr, sum(p.numel() for p in ps))
    return out
