"""Layers: a space as a chain of categorical choices, the view that architecture parameters have of it.

Shapes: l layers, o options (of the layer with most; `mask` says which exist), n architectures, d choices of the space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cofront.errors import UsageError, unknown_name
from cofront.problem import IntArray, Trellis
from cofront.space.base import Points, Space

Pairs = tuple[tuple[int, int], ...]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Option:
    """One option of a layer: its name, the coordinates of a point that it fixes, its trellis edge (or -1)."""

    name: str
    pairs: Pairs
    edge: int = -1


@dataclass(frozen=True)
class Layers:
    """l layers, each with its options. `allowed` (l, o), if given, forbids some: masked options are never taken.

    `fixed` are the edges that every network takes (stem, head), when the layers come from a trellis.
    """

    space: Space
    layers: tuple[tuple[Option, ...], ...]
    fixed: tuple[int, ...] = ()
    allowed: BoolArray | None = None

    def __post_init__(self) -> None:
        count = self.mask.sum(axis=1)
        if len(count) and count.min() == 0:
            names = ", ".join(o.name for o in self.layers[int(count.argmin())])
            raise UsageError(f"space '{self.space.name}': no option is left of {names}; allow one of them")
        if not (count > 1).any():
            raise UsageError(
                f"space '{self.space.name}' has a single network here: no layer has two options left, so there is "
                "nothing to search; allow more options"
            )

    @classmethod
    def of_trellis(cls, space: Space, trellis: Trellis) -> Self:
        """One layer per step of a chain, whose parallel edges are its options (operator and precision together).

        `trellis` is a layered view of `space`, e.g. `space.layered(("W8A8",)).trellis` or a co-design problem's.
        """
        if np.any(trellis.edge_to != trellis.edge_from + 1):
            raise UsageError(
                f"space '{space.name}' is not a chain of layers (later options depend on earlier ones): "
                "use Layers.of_choices with a surrogate of the device"
            )
        steps = [np.flatnonzero(trellis.edge_from == i) for i in range(trellis.n_nodes - 1)]
        layers = tuple(
            tuple(Option(_name(space, trellis.choices[e]), trellis.choices[e], int(e)) for e in edges)
            for edges in steps
            if len(edges) > 1
        )
        return cls(space, layers, tuple(int(edges[0]) for edges in steps if len(edges) == 1))

    @classmethod
    def of_choices(cls, space: Space, allowed: Mapping[str, Sequence[int]] | None = None) -> Self:
        """One layer per choice of any space; `allowed` restricts choices by name, to one option to fix them."""
        allowed = allowed or {}
        names = [c.name for c in space.choices]
        for name in allowed:
            if name not in names:
                raise unknown_name(f"choice of space '{space.name}'", name, names)
        layers = []
        for j, choice in enumerate(space.choices):
            kept = allowed.get(choice.name, range(len(choice.options)))
            if any(not 0 <= i < len(choice.options) for i in kept):
                raise UsageError(
                    f"space '{space.name}': {choice.name} has options 0 to {len(choice.options) - 1}, got {list(kept)}"
                )
            layers.append(tuple(Option(f"{choice.name}={choice.options[i]}", ((j, int(i)),)) for i in kept))
        return cls(space, tuple(layers))

    def restrict(self, allowed: BoolArray) -> Self:
        """The same layers with only the options where `allowed` (l, o) is true."""
        return replace(self, allowed=self.mask & allowed)

    @cached_property
    def mask(self) -> BoolArray:
        """(l, o) whether an option exists and is allowed."""
        width = max((len(options) for options in self.layers), default=0)
        exists = np.array([np.arange(width) < len(options) for options in self.layers]).reshape(-1, width)
        return exists if self.allowed is None else exists & self.allowed

    @property
    def shape(self) -> tuple[int, int]:
        """(l, o)."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def n_networks(self) -> int:
        """How many architectures the mask leaves: an exact Python integer."""
        return math.prod(int(n) for n in self.mask.sum(axis=1))

    @cached_property
    def edges(self) -> IntArray:
        """(l, o) trellis edge of each option, -1 where there is none."""
        out = np.full(self.shape, -1, np.int64)
        for i, options in enumerate(self.layers):
            out[i, : len(options)] = [o.edge for o in options]
        return out

    def likely(self, scores: NDArray[np.float64]) -> IntArray:
        """(l,) the architecture that scores (l, o) of options, -inf where masked, speak for: the best of each layer."""
        return np.asarray(scores.argmax(axis=1), np.int64)

    def name(self, layer: int, option: int) -> str:
        """An option for people, e.g. "op3=k5_e6"."""
        return self.layers[layer][option].name

    def points(self, choices: IntArray) -> Points:
        """(n, l) option of each layer -> (n, d) canonical points."""
        choices = np.atleast_2d(choices)
        points = np.zeros((len(choices), len(self.space.sizes)), np.int64)
        for i, options in enumerate(self.layers):
            for o in np.unique(choices[:, i]):
                for variable, value in options[int(o)].pairs:
                    points[choices[:, i] == o, variable] = value
        return self.space.canonical(points)

    def sample(self, rng: np.random.Generator, n: int) -> IntArray:
        """(n, l) independent uniform architectures of those that the mask leaves."""
        return np.stack([rng.choice(np.flatnonzero(m), n) for m in self.mask], axis=1).astype(np.int64)

    def per_option(self, per_edge: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """(e,) values of a trellis's edges -> (l, o) values of the options, 0 where there is none, and of the rest."""
        if not self.layers or self.layers[0][0].edge < 0:
            raise UsageError(f"space '{self.space.name}': these layers were not made from a trellis and have no edges")
        table = np.where(self.edges >= 0, np.asarray(per_edge, float)[np.maximum(self.edges, 0)], 0.0)
        return table, float(sum(per_edge[e] for e in self.fixed))


def _name(space: Space, pairs: Pairs) -> str:
    """Choice and value, without the coordinates that have a single or no effect (first option of a precision)."""
    named = [(space.choices[v], i) for v, i in pairs]
    first, *rest = [f"{c.name}={c.options[i]}" for c, i in named] or ["nothing"]
    return ",".join([first, *(text for text, (_, i) in zip(rest, named[1:], strict=True) if i)])
