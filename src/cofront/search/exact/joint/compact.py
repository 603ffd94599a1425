"""An engine made compact: used rows only, equal rows merged, dominated configurations gone, the trellis reduced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cofront.errors import UnsupportedError
from cofront.problem import INFEASIBLE, CodesignProblem, Engine, IntArray
from cofront.search.exact.joint.lagrange import Graph
from cofront.search.exact.joint.prune import distinct_columns, floored_cycles, undominated
from cofront.search.exact.joint.vectors import NEVER, Classes, Tables

#: Row latencies in int32 are infeasible from here on; up to three such addends stay below 2**31.
_INFEASIBLE32 = 1 << 29


@dataclass(frozen=True)
class Cost:
    """What is minimised: cycles, or energy = pj_per_cycle * cycles + the rows' dynamic energy (integers, pJ)."""

    pj_per_cycle: int | None = None

    @property
    def scale(self) -> int:
        return 1 if self.pj_per_cycle is None else self.pj_per_cycle


@dataclass(frozen=True)
class CompactEngine:
    """One engine ready for the compiled loops; `None` stands for an engine that cannot run any path."""

    index: int
    name: str
    configs: tuple[IntArray, ...]  # per kernel, the original indices of the kept configurations
    tables: tuple[Tables, ...]  # per kernel, entries of the kept configurations; memory and overhead in each
    resources: tuple[IntArray, ...]  # per kernel (j, R)
    base: IntArray  # (R,) what the engine needs besides its kernels
    room: IntArray  # (R,) budget less the base
    classes: Classes
    graph: Graph
    cost_limit: int  # no feasible path costs more


def used_edges(problem: CodesignProblem) -> IntArray:
    """Edges that lie on some path from source to sink, as indices."""
    t = problem.trellis
    forward = np.zeros(t.n_nodes, bool)
    backward = np.zeros(t.n_nodes, bool)
    forward[0] = backward[-1] = True
    for i in np.argsort(t.edge_from, kind="stable"):
        forward[t.edge_to[i]] |= forward[t.edge_from[i]]
    for i in np.argsort(-t.edge_to, kind="stable"):
        backward[t.edge_from[i]] |= backward[t.edge_to[i]]
    return np.flatnonzero(forward[t.edge_from] & backward[t.edge_to])


def compact_engine(problem: CodesignProblem, index: int, cost: Cost, *, dominance: bool = True) -> CompactEngine | None:
    """The compact form of engine `index`, or None when no configuration of it fits or no path can run on it."""
    engine, trellis = problem.engines[index], problem.trellis
    edges = used_edges(problem)
    edge_rows = [tuple(sorted(trellis.rows[trellis.row_ptr[i] : trellis.row_ptr[i + 1]].tolist())) for i in edges]
    rows = np.array(sorted({r for rr in edge_rows for r in rr}), dtype=np.int64)
    fits = [np.flatnonzero(_fitting(problem, engine, k)) for k in range(len(engine.kernels))]
    if any(len(f) == 0 for f in fits):
        return None

    # rows that no configuration can run, and with them their edges
    best = _best_case(engine, rows, fits)
    possible = set(rows[best < INFEASIBLE].tolist())
    keep = [i for i, rr in enumerate(edge_rows) if all(r in possible for r in rr)]
    edges, edge_rows = edges[keep], [edge_rows[i] for i in keep]
    rows = np.array(sorted({r for rr in edge_rows for r in rr}), dtype=np.int64)
    merged, row_of = _merge_rows(engine, rows, fits, cost)

    cycles = floored_cycles(engine, merged)
    kept: list[IntArray] = []
    n = len(engine.kernels)
    for k, kernel in enumerate(engine.kernels):
        f = fits[k]
        if dominance:
            columns = [kernel.resources[f], cycles[k][f], kernel.solo[f][:, merged]]
            if k + 1 < n:
                columns.append(kernel.head[f][:, merged])
            if k > 0:
                columns.append(kernel.tail[f][:, merged])
            f = f[undominated(columns)]
        kept.append(f)
    tables = _tables(engine, merged, kept, cycles)
    graph, classes, longest = _graph(problem, engine, edges, edge_rows, merged, row_of, cost)
    if graph is None:
        return None
    worst_row = sum(
        int(np.where(a < t.infeasible, a, 0).max(initial=0)) for t in tables for a in (t.cycles, t.head, t.tail, t.solo)
    ) + int(np.where(tables[0].memory < tables[0].infeasible, tables[0].memory, 0).max(initial=0))
    worst_row += int(tables[0].overhead.max(initial=0))
    rows_per_edge = int(np.diff(classes.ptr).max(initial=1))
    limit = longest * rows_per_edge * (worst_row * classes.scale + int(np.abs(classes.offset).max(initial=0)))
    if limit >= NEVER // 4:
        raise UnsupportedError(
            f"engine '{engine.name}': path costs up to {limit:.3g} do not fit 64-bit arithmetic; "
            "use larger units (cycles of a slower clock) or drop the slowest configurations"
        )
    return CompactEngine(
        index,
        engine.name,
        tuple(kept),
        tables,
        tuple(kernel.resources[f] for kernel, f in zip(engine.kernels, kept, strict=True)),
        engine.base,
        problem.budget - engine.base,
        classes,
        graph,
        limit,
    )


def _fitting(problem: CodesignProblem, engine: Engine, k: int) -> np.ndarray:
    """Configurations of kernel k that fit the budget together with the others' smallest ones."""
    least = [kernel.resources.min(axis=0) for kernel in engine.kernels]
    rest = engine.base + sum((least[i] for i in range(len(least)) if i != k), np.zeros_like(engine.base))
    return np.asarray((engine.kernels[k].resources + rest <= problem.budget).all(axis=1))


def _best_case(engine: Engine, rows: IntArray, fits: list[IntArray]) -> IntArray:
    """A lower bound of every row's latency over all configurations that fit, (u,)."""

    def least(table: IntArray, f: IntArray) -> IntArray:
        return np.asarray(table[np.ix_(f, rows)].min(axis=0))

    fused = engine.memory[rows].copy()
    for k, kernel in enumerate(engine.kernels):
        fused = np.maximum(fused, least(kernel.cycles, fits[k]))
    split = sum((least(kernel.solo, f) for kernel, f in zip(engine.kernels, fits, strict=True)), np.zeros_like(fused))
    return np.asarray(np.minimum(fused + engine.overhead[rows], split))


def _merge_rows(engine: Engine, rows: IntArray, fits: list[IntArray], cost: Cost) -> tuple[IntArray, dict[int, int]]:
    """One row of every group that costs the same on all configurations, and the map from row to its position."""
    parts = [engine.memory[None, rows], engine.overhead[None, rows]]
    for kernel, f in zip(engine.kernels, fits, strict=True):
        parts += [table[np.ix_(f, rows)] for table in (kernel.cycles, kernel.head, kernel.tail, kernel.solo)]
    if cost.pj_per_cycle is not None and engine.energy is not None:
        parts.append(engine.energy[None, rows])
    stacked = np.concatenate(parts)
    first, of = distinct_columns(stacked)
    return rows[first], {int(r): int(p) for r, p in zip(rows, of, strict=True)}


def _tables(engine: Engine, merged: IntArray, kept: list[IntArray], cycles: list[IntArray]) -> tuple[Tables, ...]:
    """Per kernel the entries of its kept configurations; int32 when no sum can overflow."""
    memory, overhead = engine.memory[merged], engine.overhead[merged]
    raw = [
        (cycles[k][f], kernel.head[f][:, merged], kernel.tail[f][:, merged], kernel.solo[f][:, merged])
        for k, (kernel, f) in enumerate(zip(engine.kernels, kept, strict=True))
    ]

    def top(a: IntArray) -> int:
        return int(np.where(a < INFEASIBLE, a, 0).max(initial=0))

    heads = sum(top(h) + top(t) for _, h, t, _ in raw)
    most = max([top(c) for c, _, _, _ in raw] + [top(memory)]) + heads + int(overhead.max(initial=0))
    most = max(most, sum(top(s) for _, _, _, s in raw))
    small = most < _INFEASIBLE32 and len(raw) <= 3
    dtype, infeasible = (np.int32, _INFEASIBLE32) if small else (np.int64, INFEASIBLE)

    def pack(a: IntArray) -> np.ndarray:
        return np.ascontiguousarray(np.where(a >= INFEASIBLE, infeasible, a).astype(dtype))

    return tuple(
        Tables(pack(c), pack(h), pack(t), pack(s), pack(memory), overhead.astype(dtype), infeasible)
        for c, h, t, s in raw
    )


def _graph(
    problem: CodesignProblem,
    engine: Engine,
    edges: IntArray,
    edge_rows: list[tuple[int, ...]],
    merged: IntArray,
    row_of: dict[int, int],
    cost: Cost,
) -> tuple[Graph | None, Classes, int]:
    """The engine's trellis: unreachable parts gone, of parallel edges with equal rows only the best; longest path."""
    t = problem.trellis
    sums: dict[tuple[int, ...], int] = {}
    best: dict[tuple[int, int, int], int] = {}
    for i, rr in zip(edges.tolist(), edge_rows, strict=True):
        key = tuple(sorted(row_of[r] for r in rr))
        c = key[0] if len(key) == 1 else len(merged) + sums.setdefault(key, len(sums))
        place = (int(t.edge_to[i]), int(t.edge_from[i]), c)
        if place not in best or problem.edge_score[i] > problem.edge_score[best[place]]:
            best[place] = i
    # which nodes still lie between source and sink
    ahead, behind = {0}, {t.n_nodes - 1}
    for to, start, _ in sorted(best):
        if start in ahead:
            ahead.add(to)
    for start, to in sorted(((s, to) for to, s, _ in best), reverse=True):
        if to in behind:
            behind.add(start)
    nodes = sorted(ahead & behind)
    classes = _classes(engine, merged, sums, cost)
    if not nodes or nodes[0] != 0 or nodes[-1] != t.n_nodes - 1:
        return None, classes, 0
    number = {v: i for i, v in enumerate(nodes)}
    arcs: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for (to, start, c), i in best.items():
        if start in number and to in number:
            arcs.setdefault((number[to], number[start]), []).append((-int(problem.edge_score[i]), i, c))
    order = sorted(arcs)
    flat = [e for arc in order for e in sorted(arcs[arc])]
    depth = [0] * len(nodes)
    for to, start in order:
        depth[to] = max(depth[to], depth[start] + 1)
    graph = Graph(
        np.searchsorted([to for to, _ in order], np.arange(len(nodes) + 1)).astype(np.int64),
        np.array([start for _, start in order], dtype=np.int64),
        np.concatenate([[0], np.cumsum([len(arcs[a]) for a in order])]).astype(np.int64),
        np.array([c for _, _, c in flat], dtype=np.int64),
        np.array([-s for s, _, _ in flat], dtype=np.int64),
        np.array([i for _, i, _ in flat], dtype=np.int64),
    )
    return graph, classes, depth[-1]


def _classes(engine: Engine, merged: IntArray, sums: dict[tuple[int, ...], int], cost: Cost) -> Classes:
    offset = np.zeros(len(merged), np.int64)
    if cost.pj_per_cycle is not None and engine.energy is not None:
        offset = engine.energy[merged].astype(np.int64)
    return Classes(
        np.concatenate([[0], np.cumsum([len(k) for k in sums])]).astype(np.int64),
        np.array([p for key in sums for p in key], dtype=np.int64),
        offset,
        cost.scale,
    )
