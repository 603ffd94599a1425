"""Joint designs as vectors of small integers, for searches that sample: encode a problem once, decode many at a time.

Genes: the engine; each parameter of each kernel (values over all engines); at a node where paths part, which way; and
the space's own variables that tell parallel edges apart. Where variables or parameters do not identify an edge or a
configuration, one gene indexes them directly.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from cofront.errors import InputError
from cofront.problem import CodesignProblem, IntArray, KernelTable, Trellis

#: A kernel gets one index gene instead of one per parameter when their product is larger than this, or when fewer than
#: this share of its combinations exist.
_MAX_TABLE, _MIN_DENSITY = 1 << 22, 0.2


@dataclass(frozen=True)
class Lookup:
    """`table[(genes % sizes) @ radix]` over genes `columns` of a genome: an edge or configuration, -1 for none.

    A gene shared by lookups of different sizes wraps around in the smaller ones.
    """

    columns: IntArray
    sizes: IntArray
    radix: IntArray
    table: IntArray

    def __call__(self, genomes: IntArray) -> IntArray:
        """(n, g) -> (n,)."""
        return np.asarray(self.table[(genomes[:, self.columns] % self.sizes) @ self.radix])


@dataclass(frozen=True)
class Genome:
    """How genes are read. `sizes` (g,) counts the values of each gene; gene 0 is the engine.

    `kernels[e][k]` finds the configuration of kernel k of engine e. The groups of node v are
    `group_ptr[v]:group_ptr[v + 1]`, chosen by gene `way[v]` (-1: only one); `groups` finds the edge.
    """

    names: tuple[str, ...]
    sizes: IntArray
    kernels: tuple[tuple[Lookup, ...], ...]
    way: IntArray  # (nodes,)
    group_ptr: IntArray  # (nodes + 1,)
    groups: tuple[Lookup, ...]
    edge_to: IntArray

    def paths(self, genomes: IntArray) -> IntArray:
        """(n, g) -> (n, s) edges from source to sink, padded with -1."""
        sink = len(self.way) - 1
        at = np.zeros(len(genomes), dtype=np.int64)
        columns = []
        while np.any(at != sink):
            edges = np.full(len(genomes), -1, dtype=np.int64)
            for node in np.unique(at[at != sink]):
                here = np.flatnonzero(at == node)
                way = self.way[node]
                ways = genomes[here, way] if way >= 0 else np.zeros(len(here), dtype=np.int64)
                for g in range(self.group_ptr[node + 1] - self.group_ptr[node]):
                    who = here[ways == g]
                    edges[who] = self.groups[self.group_ptr[node] + g](genomes[who])
            at = np.where(edges >= 0, self.edge_to[edges], at)
            columns.append(edges)
        return np.stack(columns, axis=1) if columns else np.zeros((len(genomes), 0), dtype=np.int64)

    def accelerators(self, genomes: IntArray) -> tuple[IntArray, IntArray]:
        """(n, g) -> engines (n,) and configurations (n, k), -1 where a combination of parameters does not exist."""
        engines = genomes[:, 0]
        chosen = np.full((len(genomes), max(len(k) for k in self.kernels)), -1, dtype=np.int64)
        for e, kernels in enumerate(self.kernels):
            who = np.flatnonzero(engines == e)
            for k, lookup in enumerate(kernels):
                chosen[who, k] = lookup(genomes[who])
        return engines, chosen

    def sample(self, rng: np.random.Generator, n: int) -> IntArray:
        """(n, g) independent uniform genes."""
        return rng.integers(0, self.sizes, size=(n, len(self.sizes)), dtype=np.int64)


class _Genes:
    """Genes by name, made on first use."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.sizes: list[int] = []

    def get(self, name: str, size: int) -> int:
        if name not in self.index:
            self.index[name] = len(self.sizes)
            self.sizes.append(size)
        i = self.index[name]
        self.sizes[i] = max(self.sizes[i], size)
        return i


def encode(problem: CodesignProblem) -> Genome:
    """The genome of a problem. Edges that cannot reach the sink get no gene."""
    genes = _Genes()
    genes.get("engine", len(problem.engines))
    kernels = _kernels(problem, genes)
    way, ptr, groups = _edges(problem.trellis, genes)
    return Genome(
        tuple(genes.index), np.array(genes.sizes, dtype=np.int64), kernels, way, ptr, groups, problem.trellis.edge_to
    )


def _lookup(columns: list[int], sizes: list[int], table: IntArray) -> Lookup:
    radix = [int(np.prod(sizes[i + 1 :], dtype=np.int64)) for i in range(len(sizes))]
    return Lookup(np.array(columns, np.int64), np.array(sizes, np.int64), np.array(radix, np.int64), table)


def _kernels(problem: CodesignProblem, genes: _Genes) -> tuple[tuple[Lookup, ...], ...]:
    by_position: dict[tuple[int, tuple[str, ...]], list[KernelTable]] = defaultdict(list)
    for engine in problem.engines:
        for k, table in enumerate(engine.kernels):
            by_position[k, table.param_names].append(table)
    made: dict[int, Lookup] = {}
    for (k, names), tables in by_position.items():
        values = [np.unique(np.concatenate([t.params[:, p] for t in tables])) for p in range(len(names))]
        sizes = [len(v) for v in values]
        unique = all(len(np.unique(t.params, axis=0)) == len(t.params) for t in tables)
        combinations, longest = float(np.prod(sizes, dtype=np.float64)), max(len(t.params) for t in tables)
        if not unique or not names or combinations > min(_MAX_TABLE, longest / _MIN_DENSITY):
            column = genes.get(f"{tables[0].name}.{k}", longest)
            for t in tables:  # a shorter table is stretched over the gene's range
                stretched = np.arange(longest) * len(t.params) // longest if len(t.params) else np.full(longest, -1)
                made[id(t)] = _lookup([column], [longest], stretched.astype(np.int64))
            continue
        real = [p for p, s in enumerate(sizes) if s > 1]  # a parameter of one value is no gene
        columns = [genes.get(f"{tables[0].name}.{k}.{names[p]}", sizes[p]) for p in real]
        for t in tables:
            lookup = _lookup(columns, [sizes[p] for p in real], np.full(int(np.prod(sizes)), -1, dtype=np.int64))
            ranks = np.zeros((len(t.params), len(real)), dtype=np.int64)
            for i, p in enumerate(real):
                ranks[:, i] = np.searchsorted(values[p], t.params[:, p])
            lookup.table[ranks @ lookup.radix] = np.arange(len(t.params))
            made[id(t)] = lookup
    return tuple(tuple(made[id(t)] for t in e.kernels) for e in problem.engines)


def _edges(trellis: Trellis, genes: _Genes) -> tuple[IntArray, IntArray, tuple[Lookup, ...]]:
    """Groups of parallel edges: same destination, and alike in running something or nothing (a skipped block)."""
    alive = np.zeros(trellis.n_nodes, dtype=bool)
    alive[-1] = True
    for i in np.argsort(-trellis.edge_from, kind="stable"):
        alive[trellis.edge_from[i]] |= alive[trellis.edge_to[i]]
    if not alive[0]:
        raise InputError("trellis: no path leads from the source to the sink")
    runs = np.diff(trellis.row_ptr) > 0
    way = np.full(trellis.n_nodes, -1, dtype=np.int64)
    ptr, groups = [0], []
    order = np.argsort(trellis.edge_from, kind="stable")
    starts = np.searchsorted(trellis.edge_from[order], np.arange(trellis.n_nodes + 1))
    for node in range(trellis.n_nodes):
        members: dict[tuple[int, bool], list[int]] = defaultdict(list)
        for i in order[starts[node] : starts[node + 1]]:
            if alive[trellis.edge_to[i]]:
                members[int(trellis.edge_to[i]), bool(runs[i])].append(int(i))
        if len(members) > 1:
            way[node] = genes.get(f"way@{node}", len(members))
        for g, edges in enumerate(members.values()):
            groups.append(_group(trellis, edges, f"edge@{node}.{g}", genes))
        ptr.append(len(groups))
    return way, np.array(ptr, dtype=np.int64), tuple(groups)


def _group(trellis: Trellis, edges: list[int], name: str, genes: _Genes) -> Lookup:
    if len(edges) == 1:
        return _lookup([], [], np.array(edges, dtype=np.int64))
    chosen = [dict(trellis.choices[i]) for i in edges]
    common = sorted(set.intersection(*(set(c) for c in chosen)))
    telling = [v for v in common if len({c[v] for c in chosen}) > 1]
    ranks = [np.unique([c[v] for c in chosen], return_inverse=True)[1] for v in telling]
    sizes = [int(r.max()) + 1 for r in ranks]
    values = np.stack(ranks, axis=1) if telling else np.zeros((len(edges), 0), dtype=np.int64)
    identified = len(np.unique(values, axis=0)) == len(edges) == int(np.prod(sizes))
    if not identified:
        return _lookup([genes.get(name, len(edges))], [len(edges)], np.array(edges, dtype=np.int64))
    columns = [genes.get(f"variable {v}", s) for v, s in zip(telling, sizes, strict=True)]
    lookup = _lookup(columns, sizes, np.empty(len(edges), dtype=np.int64))
    lookup.table[values @ lookup.radix] = edges
    return lookup
