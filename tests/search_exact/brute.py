"""The joint front by plain enumeration: every accelerator times every path, written apart from the search."""

from __future__ import annotations

from itertools import product

from cofront.problem import INFEASIBLE, CodesignProblem, Engine


def latency(engine: Engine, chosen: tuple[int, ...], row: int) -> int:
    """Cycles of one row, straight from the formula."""
    kernels = [
        (k.cycles[j][row], k.head[j][row], k.tail[j][row], k.solo[j][row])
        for k, j in zip(engine.kernels, chosen, strict=True)
    ]
    kernels = [tuple(int(v) for v in k) for k in kernels]
    longest = int(engine.memory[row])
    for k in range(len(kernels)):
        before = sum(kernels[i][1] for i in range(k))
        after = sum(kernels[i][2] for i in range(k + 1, len(kernels)))
        longest = max(longest, kernels[k][0] + before + after)
    return min(longest + int(engine.overhead[row]), sum(k[3] for k in kernels))


def accelerators(problem: CodesignProblem):
    """(engine number, configurations, resources) of everything that fits."""
    for number, engine in enumerate(problem.engines):
        for chosen in product(*(range(len(k.params)) for k in engine.kernels)):
            used = [int(b) for b in engine.base]
            for k, j in zip(engine.kernels, chosen, strict=True):
                used = [u + int(v) for u, v in zip(used, k.resources[j], strict=True)]
            if all(u <= int(b) for u, b in zip(used, problem.budget, strict=True)):
                yield number, chosen, used


def paths(problem: CodesignProblem) -> list[tuple[int, ...]]:
    """All edge sequences from source to sink."""
    trellis = problem.trellis
    leaving: dict[int, list[int]] = {}
    for e in range(trellis.n_edges):
        leaving.setdefault(int(trellis.edge_from[e]), []).append(e)
    done, stack = [], [((), 0)]
    while stack:
        path, node = stack.pop()
        if node == trellis.n_nodes - 1:
            done.append(path)
            continue
        for e in leaving.get(node, []):
            stack.append(((*path, e), int(trellis.edge_to[e])))
    return done


def designs(problem: CodesignProblem):
    """(cycles, score, resources, energy in pJ, engine, configurations, path) of every feasible design."""
    trellis = problem.trellis
    routes = []
    for path in paths(problem):
        rows = [int(r) for e in path for r in trellis.rows[trellis.row_ptr[e] : trellis.row_ptr[e + 1]]]
        routes.append((rows, sum(int(problem.edge_score[e]) for e in path), path))
    used_rows = sorted({r for rows, _, _ in routes for r in rows})
    for number, chosen, used in accelerators(problem):
        engine = problem.engines[number]
        cost = {r: latency(engine, chosen, r) for r in used_rows}
        for rows, score, path in routes:
            if any(cost[r] >= INFEASIBLE for r in rows):
                continue
            dynamic = 0 if engine.energy is None else sum(int(engine.energy[r]) for r in rows)
            yield sum(cost[r] for r in rows), score, used, dynamic, number, chosen, path


def pareto(points) -> list[tuple[int, int]]:
    """Non-dominated (cost, score), least cost first."""
    best: list[tuple[int, int]] = []
    for cost, score in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best
