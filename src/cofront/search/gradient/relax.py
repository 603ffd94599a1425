"""Relaxations: architecture parameters (l, o) become weights of options that a gradient passes through.

Noise is Gumbel's, drawn from the generator passed in; masked options get weight 0 and no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cofront.errors import UsageError, unknown_name


@dataclass(frozen=True)
class Relaxed:
    """One draw. `weights` (l, o) multiply the outputs of the options; only `paths` (l, k) need to be run (None: all).

    `encoding` (l, o) is what a cost sees: the same numbers, with a gradient to every option also where only one runs.
    """

    weights: Tensor
    encoding: Tensor
    paths: Tensor | None = None


#: (logits (l, o) with -inf where masked, temperature, generator) -> one draw
Relaxation = Callable[[Tensor, float, torch.Generator], Relaxed]


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise."""
    return -torch.empty_like(like).exponential_(generator=generator).clamp_min_(1e-20).log()


def softmax(logits: Tensor, tau: float, generator: torch.Generator) -> Relaxed:
    """All options, weighed by softmax(logits / tau); no noise."""
    w = torch.softmax(logits / tau, 1)
    return Relaxed(w, w)


def gumbel_soft(logits: Tensor, tau: float, generator: torch.Generator) -> Relaxed:
    """All options, weighed by softmax((logits + noise) / tau): FBNet's [FBNet19]."""
    w = torch.softmax((logits + gumbel(logits, generator)) / tau, 1)
    return Relaxed(w, w)


def gumbel_hard(logits: Tensor, tau: float, generator: torch.Generator) -> Relaxed:
    """One-hot forward, the gradient of the soft weights backward, to all options: all of them run."""
    soft = torch.softmax((logits + gumbel(logits, generator)) / tau, 1)
    w = _straight_through(soft)
    return Relaxed(w, w)


def single_path(logits: Tensor, tau: float, generator: torch.Generator) -> Relaxed:
    """The same draw with only the drawn option run: the loss's gradient reaches the soft weights through it alone.

    A cost has the gradient to all options, for which nothing needs to run.
    """
    soft = torch.softmax((logits + gumbel(logits, generator)) / tau, 1)
    path = soft.detach().argmax(1, keepdim=True)
    taken = soft.gather(1, path)
    weights = torch.zeros_like(soft).scatter(1, path, taken - taken.detach() + 1.0)
    return Relaxed(weights, _straight_through(soft), path)


def top_k(k: int) -> Relaxation:
    """The k options of greatest noisy logits, drawn without replacement, weighed by softmax among themselves."""
    if k < 1:
        raise UsageError(f"top-k paths: expected at least one path, got {k}")

    def relax(logits: Tensor, tau: float, generator: torch.Generator) -> Relaxed:
        noisy = logits + gumbel(logits, generator)
        paths = noisy.detach().topk(min(k, logits.shape[1]), 1).indices
        w = torch.softmax(torch.full_like(noisy, -math.inf).scatter(1, paths, noisy.gather(1, paths)) / tau, 1)
        return Relaxed(w, w, paths)

    return relax


def one_hot(choice: Tensor, shape: tuple[int, int], dtype: torch.dtype = torch.float64) -> Relaxed:
    """The network of options `choice` (l,) alone, without a gradient to the architecture."""
    w = torch.zeros(shape, dtype=dtype).scatter_(1, choice[:, None], 1.0)
    return Relaxed(w, w, choice[:, None])


def _straight_through(soft: Tensor) -> Tensor:
    hard = torch.zeros_like(soft).scatter_(1, soft.detach().argmax(1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


_NAMED: dict[str, Relaxation] = {
    "softmax": softmax,
    "gumbel": gumbel_soft,
    "gumbel-hard": gumbel_hard,
    "single-path": single_path,
}


def by_name(name: str) -> Relaxation:
    """ "softmax", "gumbel", "gumbel-hard", "single-path" or "top-2", "top-3", ...."""
    stem, _, number = name.partition("top-")
    if not stem and number.isdecimal():
        return top_k(int(number))
    if name not in _NAMED:
        raise unknown_name("relaxation", name, (*_NAMED, "top-2"))
    return _NAMED[name]


@dataclass(frozen=True)
class Temperature:
    """start * exp(-rate * epochs since `hold`), never below `least`."""

    start: float = 5.0
    rate: float = 0.045
    hold: int = 0
    least: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.start > 0 and self.least > 0):
            raise UsageError(f"temperature: expected a start and a least above 0, got {self.start} and {self.least}")

    def at(self, epoch: int) -> float:
        return max(self.least, self.start * math.exp(-self.rate * max(0, epoch - self.hold)))


def entropy(logits: Tensor) -> float:
    """Mean entropy of the layers' distributions, in nats."""
    p = torch.softmax(logits.detach(), 1)
    return float(-torch.special.xlogy(p, p).sum(1).mean())
