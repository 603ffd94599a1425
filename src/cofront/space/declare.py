"""A space declared as its trellis: state one edge per decision, and points, features and networks follow.

`Declaration` collects edges between named states. `TrellisSpace` derives from it everything a `Space` must give:
the path of a point is found by walking the states, its canonical coordinates are the choices along that path, its
features the edges' features, its Network the edges' fragments stacked. Nothing is said twice, so nothing can differ.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from cofront.errors import InputError, UsageError, unknown_name
from cofront.network import Network, stack
from cofront.problem import IntArray, Trellis
from cofront.space.base import PRECISIONS, Fragments, Layered, Points, Precisions, Space


@dataclass(frozen=True)
class Edge:
    """One decision: from state `src` to `dst`, fixing `choices`, running `fragment` (None: nothing).

    The first `match` of the choices identify the edge among those leaving its state; the rest follow from them (the
    coordinates of skipped blocks). Edges with fewer identifying choices are tried in the order of declaration.
    """

    src: Hashable
    dst: Hashable
    choices: tuple[tuple[int, int], ...]
    match: int
    features: tuple[str, ...]
    fragment: Hashable | None
    block: str | None
    precision: str | None


@dataclass(frozen=True)
class _Lookup:
    """At one state: coordinates `variables` of a point, read as a mixed-radix number, index `edges` (-1: none)."""

    variables: NDArray[np.int64]
    radix: NDArray[np.int64]
    edges: IntArray


class Declaration:
    """Collects the edges of a space; `freeze` numbers states and features."""

    def __init__(self, names: tuple[str, ...], sizes: IntArray) -> None:
        self._index = {n: i for i, n in enumerate(names)}
        self._sizes = sizes
        self.edges: list[Edge] = []

    def edge(
        self,
        src: Hashable,
        dst: Hashable,
        choices: Mapping[str, int],
        features: tuple[str, ...] = (),
        *,
        match: int | None = None,
        fragment: Hashable | None = None,
        block: str | None = None,
        precision: str | None = None,
    ) -> None:
        pairs = tuple((self._index[n], int(v)) for n, v in choices.items())
        count = len(pairs) if match is None else match
        self.edges.append(Edge(src, dst, pairs, count, features, fragment, block, precision))

    @cached_property
    def nodes(self) -> dict[Hashable, int]:
        """State -> number, topological; the only state without predecessors is 0, the only sink the last."""
        before: dict[Hashable, dict[Hashable, None]] = defaultdict(dict)  # ordered, so that numbers repeat
        for e in self.edges:
            before[e.dst][e.src] = None
        sources = dict.fromkeys(e.src for e in self.edges)
        starts, ends = sources.keys() - before.keys(), before.keys() - sources.keys()
        if len(starts) != 1 or len(ends) != 1:
            raise InputError(f"a space needs one first and one last state, got {len(starts)} and {len(ends)}")
        try:
            order = [n for n in TopologicalSorter(before).static_order() if n not in ends]
        except CycleError:
            raise InputError("a space's states must not form a cycle") from None
        return {n: i for i, n in enumerate([*order, *ends])}

    @cached_property
    def feature_index(self) -> dict[str, int]:
        """Feature name -> number, in order of first appearance."""
        return {name: i for i, name in enumerate(dict.fromkeys(f for e in self.edges for f in e.features))}

    @cached_property
    def lookups(self) -> dict[int, tuple[_Lookup, ...]]:
        """Node number -> how to find the edge a point takes there."""
        groups: dict[int, dict[tuple[int, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
        for i, e in enumerate(self.edges):
            groups[self.nodes[e.src]][tuple(v for v, _ in e.choices[: e.match])].append(i)
        return {
            node: tuple(self._lookup(np.array(vs, np.int64), members) for vs, members in by_vars.items())
            for node, by_vars in groups.items()
        }

    def _lookup(self, variables: NDArray[np.int64], members: list[int]) -> _Lookup:
        sizes = self._sizes[variables] if len(variables) else np.ones(0, np.int64)
        radix = np.append(np.cumprod(sizes[::-1])[::-1][1:], 1)[: len(variables)].astype(np.int64)
        table = np.full(int(np.prod(sizes)), -1, np.int64)
        for i in members:
            chosen = self.edges[i].choices[: self.edges[i].match]
            slot = int(sum(v * int(r) for (_, v), r in zip(chosen, radix, strict=True)))
            if table[slot] >= 0:
                raise InputError(f"two edges leave state {self.edges[i].src} with the same choices")
            table[slot] = i
        return _Lookup(variables, radix, table)

    def walk(self, points: Points) -> IntArray:
        """(n, d) points -> (n, e') edges taken, in order, padded with -1."""
        n, last = len(points), len(self.nodes) - 1
        taken: list[list[IntArray]] = [[] for _ in range(2)]  # rows, edges: gathered state by state
        arrived: dict[int, list[IntArray]] = defaultdict(list)
        arrived[0] = [np.arange(n)]
        to = np.array([self.nodes[e.dst] for e in self.edges], np.int64)
        for node in range(last):
            if node not in arrived:
                continue
            rows = np.concatenate(arrived.pop(node))
            for look in self.lookups[node]:
                found = look.edges[points[np.ix_(rows, look.variables)] @ look.radix]
                hit = found >= 0
                taken[0].append(rows[hit])
                taken[1].append(found[hit])
                for dst in np.unique(to[found[hit]]):
                    arrived[int(dst)].append(rows[hit][to[found[hit]] == dst])
                rows = rows[~hit]
            if len(rows):
                raise InputError(f"point {rows[0]} of the space has no edge to take at state {node}")
        row, edge = (np.concatenate(t) for t in taken)
        order = np.argsort(row, kind="stable")  # states were visited in topological order
        counts = np.bincount(row, minlength=n)
        position = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        path = np.full((n, int(counts.max(initial=0))), -1, np.int64)
        path[row[order], position] = edge[order]
        return path

    @cached_property
    def incidence(self) -> tuple[IntArray, IntArray]:
        """Features of the edges as (pointer (e + 1,), feature numbers)."""
        pointer = np.cumsum([0, *(len(e.features) for e in self.edges)])
        return pointer, np.array([self.feature_index[f] for e in self.edges for f in e.features], np.int64)


class TrellisSpace(Space):
    """A Space given by `declare` (its edges) and `fragment` (the layers of an edge)."""

    @abstractmethod
    def declare(self, into: Declaration) -> None:
        """Add every edge of the space, all precisions included."""

    @abstractmethod
    def fragment(self, key: Hashable) -> Network:
        """The layers of one edge, bit-widths included; its input node is called "input"."""

    @cached_property
    def declaration(self) -> Declaration:
        into = Declaration(tuple(c.name for c in self.choices), self.sizes)
        self.declare(into)
        return into

    @cached_property
    def _fragment(self):  # type: ignore[no-untyped-def]
        return cache(self.fragment)

    def network(self, point: Points) -> Network:
        path = self.declaration.walk(self.validate(point)[:1])[0]
        keys = [self.declaration.edges[i].fragment for i in path if i >= 0]
        return stack(self.name, [self._fragment(k) for k in keys if k is not None])

    def canonical(self, points: Points) -> Points:
        points = self.validate(points)
        path = self.declaration.walk(points)
        edges = self.declaration.edges
        pairs = [np.array(e.choices, np.int64).reshape(-1, 2) for e in edges]
        out = np.zeros_like(points)
        for column in path.T:
            order = np.argsort(column, kind="stable")
            used, start = np.unique(column[order], return_index=True)
            for edge, rows in zip(used, np.split(order, start[1:]), strict=True):
                if edge >= 0:
                    out[np.ix_(rows, pairs[edge][:, 0])] = pairs[edge][:, 1]
        return out

    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.declaration.feature_index)

    def features(self, points: Points) -> NDArray[np.float64]:
        path = self.declaration.walk(self.validate(points))
        pointer, numbers = self.declaration.incidence
        out = np.zeros((len(path), len(self.declaration.feature_index)))
        for column in path.T:
            rows = np.flatnonzero(column >= 0)
            first, count = pointer[column[rows]], np.diff(pointer)[column[rows]]
            within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            np.add.at(out, (np.repeat(rows, count), numbers[np.repeat(first, count) + within]), 1.0)
        return out

    def work(self, points: Points) -> NDArray[np.float64]:
        from cofront.space.work import WORK, network_work

        path = self.declaration.walk(self.validate(points))
        taken, place = np.unique(path, return_inverse=True)
        keys = [self.declaration.edges[e].fragment if e >= 0 else None for e in taken]
        each = np.array([np.zeros(len(WORK)) if k is None else network_work(self._fragment(k)) for k in keys])
        return np.asarray(each[place.reshape(path.shape)].sum(axis=1), float)

    def precisions_of(self, points: Points) -> dict[str, tuple[str, ...]]:
        taken = np.unique(self.declaration.walk(self.validate(points)))
        used = [(e.block, e.precision) for e in (self.declaration.edges[i] for i in taken if i >= 0)]
        return {b: tuple(p for p in offer if (b, p) in used) for b, offer in self._offered.items()}

    def layered(self, precisions: Precisions | None = None) -> Layered:
        allowed = self._allowed(precisions)
        edges = self.declaration.edges
        kept = [e for e in edges if e.precision is None or e.block is None or e.precision in allowed[e.block]]
        kept, nodes = self._connected(kept, [b for b, names in allowed.items() if not names])
        keys = list(dict.fromkeys(e.fragment for e in kept if e.fragment is not None))
        number = {k: i for i, k in enumerate(keys)}
        edge_fragment = np.array([-1 if e.fragment is None else number[e.fragment] for e in kept], np.int64)
        features = self.declaration.feature_index
        trellis = Trellis(
            n_nodes=len(nodes),
            edge_from=np.array([nodes[e.src] for e in kept], np.int64),
            edge_to=np.array([nodes[e.dst] for e in kept], np.int64),
            row_ptr=np.cumsum([0, *(edge_fragment >= 0)]),
            rows=edge_fragment[edge_fragment >= 0],
            feature_ptr=np.cumsum([0, *(len(e.features) for e in kept)]),
            features=np.array([features[f] for e in kept for f in e.features], np.int64),
            choices=tuple(e.choices for e in kept),
            n_rows=len(keys),
            n_features=len(features),
        )
        return Layered(trellis, Fragments(len(keys), lambda i: self._fragment(keys[i])), edge_fragment)

    def _connected(self, kept: list[Edge], without: list[str]) -> tuple[list[Edge], dict[Hashable, int]]:
        """The edges that lie on a path, and their states renumbered without gaps."""
        nodes = self.declaration.nodes
        order = sorted(kept, key=lambda e: nodes[e.src])
        reached, useful = {min(nodes, key=lambda n: nodes[n])}, {max(nodes, key=lambda n: nodes[n])}
        for e in order:
            if e.src in reached:
                reached.add(e.dst)
        for e in reversed(order):
            if e.dst in useful:
                useful.add(e.src)
        alive = reached & useful
        if not alive:
            raise UsageError(f"space '{self.name}': no network does without the blocks {', '.join(without)}")
        numbers = {n: i for i, n in enumerate(sorted(alive, key=lambda n: nodes[n]))}
        return [e for e in kept if e.src in alive and e.dst in alive], numbers

    @cached_property
    def _offered(self) -> dict[str, tuple[str, ...]]:
        """Block label -> precisions it may have, for the blocks that have a choice."""
        offered: dict[str, dict[str, None]] = defaultdict(dict)
        for e in self.declaration.edges:
            if e.block and e.precision:
                offered[e.block][e.precision] = None
        return {block: tuple(names) for block, names in offered.items()}

    def _allowed(self, precisions: Precisions | None) -> dict[str, tuple[str, ...]]:
        """The same after a restriction; a block with none, where that was asked for, is left out."""
        offered = self._offered
        wanted = precisions if isinstance(precisions, Mapping) else {"*": precisions} if precisions is not None else {}
        for block, names in wanted.items():
            if block != "*" and block not in offered:
                raise unknown_name("block", block, offered)
            for name in names:
                if name not in PRECISIONS:
                    raise unknown_name("precision", name, PRECISIONS)
        allowed = {
            b: tuple(p for p in offer if p in wanted.get(b, wanted.get("*", offer))) for b, offer in offered.items()
        }
        for block, names in allowed.items():
            if not names and len(wanted.get(block, ("a restriction by name",))) > 0:
                raise UsageError(
                    f"space '{self.name}': no precision is left for block '{block}'; it has {offered[block]}"
                )
        return allowed
