"""Calls of accelerators that run a network node by node: a node's name and its work, whatever a family's work is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from cofront.errors import UnsupportedError
from cofront.network import Activation, ChannelShuffle, Concat, Flatten, Node
from cofront.problem import IntArray

W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True)
class Call(Generic[W]):
    """One call, by the node it is of."""

    name: str
    work: W


def on_the_way(node: Node) -> bool:
    """Whether a node is done while its operands are written: no call of its own."""
    return isinstance(node.op, Activation | Flatten | Concat | ChannelShuffle)


def not_run(node: Node, accelerator: str) -> UnsupportedError:
    """What to raise for a node that a family does not run."""
    return UnsupportedError(f"node '{node.name}': accelerator '{accelerator}' does not run {type(node.op).__name__}")


def distinct(groups: Iterable[Iterable[Call[W]]]) -> tuple[tuple[W, ...], list[IntArray]]:
    """The r distinct works of some groups of calls, and for each group the numbers of its calls' works."""
    numbers: dict[W, int] = {}
    rows = [np.array([numbers.setdefault(c.work, len(numbers)) for c in calls], np.int64) for calls in groups]
    return tuple(numbers), rows
