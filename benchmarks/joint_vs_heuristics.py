"""The exact joint front beside what heuristics find on the same evaluator: OFA-MobileNetV3 on ZU3EG.

    COFRONT_DATA=FOLDER python benchmarks/joint_vs_heuristics.py [--quick]

NSGA-II gets 10 and 100 times the exact search's processor seconds, random search 10 times; sequential designs take
what they take. Processor seconds, because the machine may be shared. Everything is compared with the exact front:
hypervolume, certified loss of accuracy at each exact design's latency, latency at equal accuracy. Writes
joint_vs_heuristics.json beside this file, result by result: the same command goes on where it was stopped, and starts
anew when the exact front is another than before (--quick: 1 and 2 times, fewer designs, prints only).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from record import read, write

from cofront import device, space
from cofront.api.accuracy import build_problem
from cofront.api.joint import exact_front
from cofront.errors import CofrontError
from cofront.front import Front
from cofront.network import Network
from cofront.predict.penalty import PrecisionPenalty
from cofront.predict.tables import read_table
from cofront.problem import INFEASIBLE, CodesignProblem, IntArray
from cofront.search.budget import Budget
from cofront.search.cover import accelerators_of, accuracy_losses, cover, smallest_tolerance
from cofront.search.evolution import nsga2
from cofront.search.metrics import compare, merged
from cofront.search.random import random_search
from cofront.search.sequential import (
    Accelerator,
    alternate,
    best_accelerators,
    best_networks,
    proxy_networks,
    tuned,
)
from cofront.search.walk import path_of

TABLE = Path(os.environ.get("COFRONT_DATA", "../shared/data")) / "ofa_mobilenetv3_imagenet.parquet"
#: Our statement, not a measurement: accuracy points lost when every block uses the precision, and for the ends.
PENALTY = "W4A8=1.0,W4A4=4.0,stem.W4A8=0.05,stem.W4A4=0.6,first.W4A8=0.05,first.W4A4=0.2,head.W4A8=0.1,head.W4A4=0.5"
SEEDS = range(3)
POPULATION = {10: 200, 100: 500, 1: 100, 2: 100}


def processor(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def row(name: str, front: Front, exact: Front, seconds: float, **more: Any) -> dict[str, Any]:
    """One line of the comparison; numbers without end become null."""
    values = {
        k: round(v, 5) if isinstance(v, float) and math.isfinite(v) else v
        for k, v in asdict(compare(front, exact)).items()
    }
    out = {"method": name, "designs": len(front.designs), "processor_s": round(seconds, 2), **values, **more}
    print(json.dumps(out, default=str), file=sys.stderr, flush=True)
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in out.items()}


def by_engine(problem: CodesignProblem, budget: Budget, seed: int, population: int) -> Front:
    """NSGA-II told not to let one engine kind take over: a run for each, its share of the time, fronts merged."""
    parts = [replace(problem, engines=(e,)) for e in problem.engines]
    return merged([nsga2(p, budget=budget, seed=seed, population=population) for p in parts], "nsga2 by engine")


def proxies(problem: CodesignProblem) -> dict[str, IntArray]:
    """Per edge: MACs with one precision allowed, and bit operations (MACs x weight bits x activation bits) with all."""
    known = read_table(TABLE, space.load("ofa_mobilenetv3"))
    offered = PrecisionPenalty.parse(PENALTY).precisions(known.space.precisions_of(known.points), known.space)
    layered = known.space.layered(offered)
    assert layered.trellis.choices == problem.trellis.choices

    def bits(network: Network) -> int:
        return sum(network.node_macs(n) * (n.weight_bits or 8) * (n.in_bits or 8) for n in network.layers)

    def precision(network: Network) -> tuple[int, int]:
        node = network.layers[0]
        return node.weight_bits or 8, node.in_bits or 8

    fragments = layered.fragments
    macs = np.array([f.macs for f in fragments] + [0])[layered.edge_fragment]
    out = {"bit operations": np.array([bits(f) for f in fragments] + [0])[layered.edge_fragment]}
    blocks = [f.layers[0].block or "" for f in fragments]
    for name, wanted in (("W8A8", (8, 8)), ("W4A8", (4, 8)), ("W4A4", (4, 4))):
        ends = [len(offered[b]) == 1 for b in blocks]  # a block without a choice
        allowed = np.array([e or precision(f) == wanted for e, f in zip(ends, fragments, strict=True)] + [True])
        out[f"MACs, {name}"] = np.where(allowed[layered.edge_fragment], macs, INFEASIBLE)
    return out


def codenet(problem: CodesignProblem, engine: str) -> Accelerator | None:
    """16 x 16, 16 channels x 9 taps, 16 x 16, the parallelism of CoDeNet's fixed accelerator [CoDeNet21].

    Where its multipliers go (DSP or LUT) and how deep its buffers are is chosen here, for the least sum over all rows.
    """
    number = next(i for i, e in enumerate(problem.engines) if e.name == engine)
    kernels = problem.engines[number].kernels

    def wanted(k: int, **fixed: int) -> list[int]:
        table = kernels[k]
        ok = np.ones(len(table.params), dtype=bool)
        for name, value in fixed.items():
            ok &= table.params[:, table.param_names.index(name)] == value
        return [int(j) for j in np.flatnonzero(ok)]

    best: tuple[int, tuple[int, ...]] | None = None
    for a in wanted(0, pi=16, po=16):
        for b in wanted(1, po=16, taps=9):
            for c in wanted(2, pi=16, po=16):
                used = problem.engines[number].resources((a, b, c))
                if np.all(used <= problem.budget):
                    total = int(np.minimum(problem.engines[number].row_latency((a, b, c)), 10**9).sum())
                    best = min(best or (1 << 62, ()), (total, (a, b, c)))
    return None if best is None else (number, best[1])


def uniform(problem: CodesignProblem, sp: Any, kernel: int, expand: int, depth: int) -> IntArray:
    """Edges of the W8A8 network with the same kernel, expansion and depth index everywhere."""
    point = [0] * len(sp.choices)
    for i, choice in enumerate(sp.choices):
        part = choice.name.rsplit("_", 1)[-1]
        point[i] = {"kernel": kernel, "expand": expand, "depth": depth}.get(part, 0)
    return path_of(problem.trellis, sp.canonical(np.array([point]))[0])


def sequential(problem: CodesignProblem, exact: Front, networks: int, done: Done) -> None:
    sp = space.load("ofa_mobilenetv3")
    start = None
    for engine in ("E48", "E88", "DUAL"):
        fixed = codenet(problem, engine)
        name = f"CoDeNet-like accelerator, {engine} -> best network"
        if fixed is None:
            done.add("sequential", name, lambda n=name: {"method": n, "note": "does not fit"})
            continue
        start = fixed
        config = problem.engines[fixed[0]].config(fixed[1])
        done.run("sequential", name, exact, lambda a=fixed: best_networks(problem, [a]), config=config)
    for name, choice in (("least", (0, 0, 0)), ("middle", (1, 1, 1)), ("largest", (2, 2, 2))):
        accelerator = tuned(problem, uniform(problem, sp, *choice))
        if accelerator is not None:
            title = f"accelerator tuned for the {name} W8A8 network -> best network"
            done.run("sequential", title, exact, lambda a=accelerator: best_networks(problem, [a]))
    for name, cost in proxies(problem).items():
        paths = proxy_networks(problem, cost, networks)
        title = f"network by {name} -> best accelerator"
        done.run("sequential", title, exact, lambda p=paths: best_accelerators(problem, p), networks=len(paths))
    if start is not None:
        limits = [d.cycles for d in exact.designs[:: max(1, len(exact.designs) // 16)]]
        title = "alternating from the CoDeNet-like accelerator"
        done.run("sequential", title, exact, lambda: alternate(problem, start, limits), limits=len(limits))


def engines_alone(problem: CodesignProblem, exact: Front, done: Done) -> None:
    """How much each engine kind is worth, and the front without DUAL, whose cost is our own estimate."""
    names = [e.name for e in problem.engines]
    for kept in ([n for n in names if n != "DUAL"], *([n] for n in names)):
        part = replace(problem, engines=tuple(e for e in problem.engines if e.name in kept))
        done.run("engines", f"exact, engines {', '.join(kept)}", exact, lambda p=part: exact_front(p))


def heuristics(problem: CodesignProblem, exact: Front, exact_s: float, plan: list[tuple[int, int]], done: Done) -> None:
    """NSGA-II and random search; `plan` lists (times the exact search's processor seconds, seed)."""
    for times, seed in plan:
        limit = Budget(cpu_s=times * exact_s)
        part = Budget(cpu_s=times * exact_s / len(problem.engines))
        more = {"times_exact": times, "seed": seed, "population": POPULATION[times]}

        def one(s: int = seed, b: Budget = limit, n: int = POPULATION[times]) -> Front:
            return nsga2(problem, budget=b, seed=s, population=n)

        def each(s: int = seed, b: Budget = part, n: int = POPULATION[times]) -> Front:
            return by_engine(problem, b, s, n)

        done.run("heuristics", "NSGA-II", exact, one, **more)
        done.run("heuristics", "NSGA-II, one run per engine kind", exact, each, **more)
        if times in (1, 10) and seed == 0:
            done.run("heuristics", "random search", exact, lambda b=limit: random_search(problem, budget=b), **more)


def bitstreams(problem: CodesignProblem, exact: Front) -> dict[str, Any]:
    """Exact minimum covers of the front by its own accelerators."""
    units = accelerators_of(problem, exact)
    losses = accuracy_losses(problem, exact, units)
    out: dict[str, Any] = {"accelerators_on_the_front": len(units), "least_worst_loss_points": {}, "needed": {}}
    for k in range(1, 6):
        try:
            out["least_worst_loss_points"][k] = round(smallest_tolerance(losses, k)[0], 4)
        except CofrontError as error:  # no k accelerators are as fast as the fastest design
            out["least_worst_loss_points"][k] = str(error)
    for tolerance in (0.0, 0.01, 0.05, 0.1, 0.2, 0.5):
        out["needed"][str(tolerance)] = len(cover(losses, tolerance).chosen)
    # the same without the fastest tenth of the designs, which single accelerators cannot reach
    rest = losses[:, len(exact.designs) // 10 :]
    out["needed_without_the_fastest_tenth"] = {str(t): len(cover(rest, t).chosen) for t in (0.0, 0.05, 0.1)}
    return out


class Done:
    """Results so far, written after each; a result that is there already is not made again."""

    def __init__(self, path: Path | None, head: dict[str, Any]) -> None:
        self.path, self.result = path, {**head, "heuristics": [], "sequential": [], "engines": []}
        known = {} if path is None else read(path)
        if known.get("exact", {}).get("front_hash") == head["exact"]["front_hash"]:
            self.result = {**head, **{k: known[k] for k in known if k not in head or k == "exact"}}

    @property
    def exact_s(self) -> float:
        """Processor seconds of the exact search when the first result was made."""
        return float(self.result["exact"]["processor_s_least"])

    def add(self, part: str, name: str, make: Callable[[], Any], **key: Any) -> None:
        rows = self.result[part]
        if any(r["method"] == name and all(r.get(k) == v for k, v in key.items()) for r in rows):
            return
        rows.append(make())
        self.write()

    def run(self, part: str, name: str, exact: Front, search: Callable[[], Front], **more: Any) -> None:
        def make() -> dict[str, Any]:
            seconds, front = processor(search)
            tried = {"evaluations": front.n_designs} if part == "heuristics" else {}
            return row(name, front, exact, seconds, **more, **tried)

        self.add(part, name, make, **{k: v for k, v in more.items() if k in ("times_exact", "seed")})

    def write(self) -> None:
        if self.path is not None:
            write(self.path, self.result, indent=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="little time for the heuristics, nothing written")
    quick = parser.parse_args().quick
    measured = build_problem(space.load("ofa_mobilenetv3"), device.load("zu3eg"), table=TABLE, penalty=PENALTY)
    problem = measured.problem
    exact_front(problem)  # compiles
    runs = [processor(lambda: exact_front(problem)) for _ in range(2 if quick else 3)]
    exact_s, exact = min(runs, key=lambda r: r[0])
    print(f"exact: {exact_s:.2f} processor s, {len(exact.designs)} designs, gap {exact.gap}", file=sys.stderr)
    points = repr([(d.cycles, d.accuracy, d.point) for d in exact.designs])
    head = {
        "command": "COFRONT_DATA=FOLDER python benchmarks/joint_vs_heuristics.py",
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("numpy", "numba", "pymoo")}},
        "space": "ofa_mobilenetv3", "device": "zu3eg", "grid": "coarse", "table": TABLE.name,
        "accuracy": measured.note, "penalty": PENALTY,
        "exact": {
            "status": exact.status, "gap": exact.gap, "designs_covered": exact.n_designs,
            "accelerators": problem.n_accelerators(), "front": len(exact.designs),
            "front_hash": hashlib.sha256(points.encode()).hexdigest()[:16],
            "processor_s_least": round(exact_s, 3), "wall_s_least": round(min(f.solve_s for _, f in runs), 3),
            "latency_ms": [exact.designs[0].latency_s * 1e3, exact.designs[-1].latency_s * 1e3],
            "accuracy_range": [exact.designs[0].accuracy, exact.designs[-1].accuracy],
        },
        "columns": "hypervolume_ratio over the exact front's; loss_* accuracy points at the exact designs' latencies "
        "(null: nothing as fast); unreached: exact designs with nothing as fast; ratio_*: latency over the exact one "
        "at equal accuracy (null: never reached); unmatched: accuracies never reached; above: must be 0",
    }  # fmt: skip
    done = Done(None if quick else Path(__file__).with_suffix(".json"), head)
    random_search(problem, budget=Budget(evaluations=2048))  # compiles
    plans = [[(1, 0), (2, 0)]] if quick else [[(10, 0)], [(10, s) for s in SEEDS], [(100, 0)]]
    heuristics(problem, exact, done.exact_s, plans[0], done)
    if "bitstreams" not in done.result:
        done.result["bitstreams"] = bitstreams(problem, exact)
        done.write()
    sequential(problem, exact, 8 if quick else 48, done)
    engines_alone(problem, exact, done)
    for plan in plans[1:]:
        heuristics(problem, exact, done.exact_s, plan, done)
    if quick:
        print(json.dumps(done.result, indent=2))


if __name__ == "__main__":
    main()
