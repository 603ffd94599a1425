"""A graph convolution network on the choices of a space, after BRP-NAS [BRPNAS20].

Nodes are a space's decisions (one per cell edge, layer or block), with the one-hot choices made there; arcs say which
follows which, and a global node, which is read out, hears all. BRP-NAS has four layers of 600 units; ours have 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cofront.errors import InputError
from cofront.predict.base import FloatArray, one_hot
from cofront.predict.nets import NetPredictor
from cofront.space import Points, Space

WIDTH, LAYERS = 64, 3


@dataclass(frozen=True)
class Layout:
    """Which columns belong to which node, and which nodes follow which: arcs (s, s), row i into column j."""

    columns: tuple[tuple[int, ...], ...]
    arcs: NDArray[np.bool_]

    @property
    def n_columns(self) -> int:
        return sum(len(c) for c in self.columns)


def chain(sizes: tuple[int, ...]) -> Layout:
    """Nodes of these many columns, one after the other."""
    edges = np.cumsum([0, *sizes])
    columns = tuple(tuple(range(a, b)) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    return Layout(columns, np.eye(len(sizes), k=1, dtype=bool))


def layout_of(space: Space) -> Layout:
    """Choices of one place ("b3_kernel", "b3_bits"; "op2") are a node; nodes follow in order unless the space says."""
    places: dict[str, list[int]] = {}
    start = 0
    for choice, size in zip(space.choices, space.sizes.tolist(), strict=True):
        places.setdefault(choice.name.partition("_")[0], []).extend(range(start, start + size))
        start += size
    graph = getattr(space, "decision_graph", None)
    arcs = graph() if graph is not None else np.eye(len(places), k=1, dtype=bool)
    return Layout(tuple(tuple(c) for c in places.values()), arcs)


class _Net(nn.Module):
    """H <- relu(norm(A H W + H V)), then a linear read-out of the global node."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        nodes, widest = len(layout.columns), max(len(c) for c in layout.columns)
        index = torch.full((nodes, widest), layout.n_columns, dtype=torch.long)  # beyond the end: a column of zeros
        for i, columns in enumerate(layout.columns):
            index[i, : len(columns)] = torch.tensor(columns)
        arcs = np.zeros((nodes + 1, nodes + 1))
        arcs[:nodes, :nodes] = layout.arcs
        both = arcs + arcs.T
        both[nodes, :nodes] = 1.0
        degree = np.maximum(both.sum(axis=1, keepdims=True), 1.0)
        self.register_buffer("index", index)
        self.register_buffer("adjacency", torch.from_numpy(both / degree))
        self.place = nn.Parameter(0.1 * torch.randn(nodes + 1, WIDTH))
        self.enter = nn.Linear(widest, WIDTH)
        self.pass_on = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        self.keep = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(LAYERS))
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
        index, adjacency = self.get_buffer("index"), self.get_buffer("adjacency").to(x.dtype)
        nodes = self.enter(padded[:, index])
        h = torch.cat([nodes, x.new_zeros(len(x), 1, WIDTH)], dim=1) + self.place
        for pass_on, keep, norm in zip(self.pass_on, self.keep, self.norms, strict=True):
            h = torch.relu(norm(adjacency @ pass_on(h) + keep(h)))
        out: torch.Tensor = self.out(h[:, -1])
        return out[:, 0]


class Gcn(NetPredictor):
    """Three layers of 64 units, four members."""

    name = "gcn"
    epochs = 120
    rate = 3e-3

    def __init__(self, layout: Layout | None = None, seed: int = 0) -> None:
        super().__init__(seed)
        self._layout = layout

    @classmethod
    def for_space(cls, space: Space) -> Self:
        return cls(layout_of(space))

    @classmethod
    def encode(cls, space: Space, points: Points) -> FloatArray:
        return one_hot(space, points)

    def module(self, columns: int) -> nn.Module:
        if self._layout is None or self._layout.n_columns != columns:
            known = "none was given" if self._layout is None else f"it has {self._layout.n_columns}"
            raise InputError(f"gcn: a graph over {columns} columns is needed, {known}")
        return _Net(self._layout)
