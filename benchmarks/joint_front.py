"""The exact joint front of OFA-MobileNetV3 on ZU3EG, three precisions per block: how large, how fast, and is it right.

    COFRONT_DATA=FOLDER python benchmarks/joint_front.py [PART ...] [--again]

Parts, each in a process of its own so that its peak memory is its own:

    coarse       the coarse grid, after compilation
    fine         the fine grid, after compilation (of the same functions, on the coarse grid)
    undominated  the coarse grid with every configuration kept: bounds prune, dominance does not
    unpruned     every accelerator of a small grid searched over every network, nothing pruned, against the search
    rebuilt      every design of the coarse and of the fine front as a whole Network, costed by the scalar path
    random       random tiny instances against plain enumeration of all their designs

What is in joint_front.json is not run again unless --again is given. Seconds of processor are of all threads; seconds
by the clock depend on what else the machine does, which `load` (runnable threads, mean over a minute) tells.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from record import read, write

import cofront
from cofront import device, space
from cofront.api.accuracy import Measured, build_problem
from cofront.hardware.subgraph import Grid, config_of, cost, lower
from cofront.problem import CodesignProblem
from cofront.search.evaluator import Evaluator
from cofront.search.exact.joint import JointFront, joint_front
from cofront.study.provenance import source_hash
from cofront.testing.brute import brute_front
from cofront.testing.problems import random_problem

JSON = Path(__file__).with_suffix(".json")
TABLE = Path(os.environ.get("COFRONT_DATA", "../shared/data")) / "ofa_mobilenetv3_imagenet.parquet"
#: Our statement, not a measurement: accuracy points lost when every block uses the precision, and for the ends.
PENALTY = "W4A8=1.0,W4A4=4.0,stem.W4A8=0.05,stem.W4A4=0.6,first.W4A8=0.05,first.W4A4=0.2,head.W4A8=0.1,head.W4A4=0.5"
SMALL = Grid("small", (8, 32), (8, 32), (1,), (8, 32), (3, 9), (512, 2048), (512,), (1.0,))
INSTANCES = 40


def measured(grid: Any = "coarse") -> Measured:
    return build_problem(space.load("ofa_mobilenetv3"), device.load("zu3eg"), table=TABLE, penalty=PENALTY, grid=grid)


def timed(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return {
        "processor_s": round(time.process_time() - processor, 3),
        "wall_s": round(time.perf_counter() - wall, 3),
        "load": round(os.getloadavg()[0], 1),
    }, result


def peak_gb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20), 3)


def steps(front: JointFront) -> list[tuple[int, int]]:
    return [(p.cycles, p.score) for p in front.points]


def size_of(problem: CodesignProblem) -> dict[str, Any]:
    return {
        "networks_with_precisions": f"{problem.trellis.n_paths():.4e}",
        "accelerators": problem.n_accelerators(),
        "designs": f"{problem.n_designs():.4e}",
    }


def summary(front: JointFront) -> dict[str, Any]:
    return {
        "status": front.status, "gap_micro": front.gap_micro, "front": len(front.points),
        "accelerators_on_the_front": len({(p.engine, p.configs) for p in front.points}),
        "cycles": [front.points[0].cycles, front.points[-1].cycles], "counts": front.counts,
        "phases_s": {k: round(v, 3) for k, v in front.seconds.items()},
    }  # fmt: skip


def grid_part(grid: str, runs: int) -> dict[str, Any]:
    joint_front(measured().problem)  # compiles
    build, found = timed(lambda: measured(grid).problem)
    times, front = [], None
    for _ in range(runs):
        t, front = timed(lambda: joint_front(found))
        times.append(t)
    assert front is not None
    best = min(times, key=lambda t: t["processor_s"])
    return {**size_of(found), **best, "runs": times, "problem": build, "peak_gb": peak_gb(), **summary(front)}


def undominated() -> dict[str, Any]:
    problem = measured().problem
    front = joint_front(problem)
    t, plain = timed(lambda: joint_front(problem, dominance=False))
    same = steps(plain) == steps(front) and plain.complete
    return {**size_of(problem), **t, "identical": same, "peak_gb": peak_gb(), **summary(plain)}


def unpruned() -> dict[str, Any]:
    problem = measured(SMALL).problem
    front = joint_front(problem)
    t, plain = timed(lambda: joint_front(problem, dominance=False, bounding=False))
    same = steps(plain) == steps(front) and plain.complete
    return {**size_of(problem), **t, "identical": same, "peak_gb": peak_gb(), **summary(plain)}


def rebuilt() -> dict[str, Any]:
    out: dict[str, Any] = {}
    for grid in ("coarse", "fine"):
        m = measured(grid)
        front = joint_front(m.problem)
        t, wrong = timed(lambda m=m, f=front: [i for i, p in enumerate(f.points) if not equal(m, p)])
        out[grid] = {"designs": len(front.points), "unequal": len(wrong), **t}
    return out


def equal(m: Measured, p: Any) -> bool:
    """Whether a point is what its network, built as a whole and lowered anew, costs by the scalar path; and its score
    what the accuracy model says of the network's features."""
    problem, on = m.problem, device.load("zu3eg")
    point = np.array(Evaluator(problem).point(np.array(p.edges, dtype=np.int64)))
    network = m.space.network(point)
    found = cost(network, config_of(problem, problem.engines[p.engine], p.configs), on)
    resources = tuple(found.resources[r] for r in problem.resource_names)
    score = abs(float(m.accuracy(point[None, :])[0]) - float(problem.accuracy(np.array(p.score)))) < 1e-12
    return (
        found.feasible
        and (found.cycles, resources) == (p.cycles, p.resources)
        and found.macs == sum(c.macs for c in lower(network))
        and score
    )


def random_instances() -> dict[str, Any]:
    feasible = designs = points = unequal = 0
    for seed in range(INSTANCES):
        problem = random_problem(np.random.default_rng(seed), "tiny")
        expected = brute_front(problem)
        found = joint_front(problem)
        unequal += steps(found) != expected or not found.complete
        feasible += bool(expected)
        designs += problem.n_designs()
        points += len(expected)
    return {
        "instances": INSTANCES, "feasible": feasible, "designs_enumerated": designs, "front_points": points,
        "unequal": unequal,
    }  # fmt: skip


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "coarse": lambda: grid_part("coarse", 3),
    "fine": lambda: grid_part("fine", 1),
    "undominated": undominated,
    "unpruned": unpruned,
    "rebuilt": rebuilt,
    "random": random_instances,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="which parts; all by default")
    parser.add_argument("--again", action="store_true", help="also what is in the JSON already")
    parser.add_argument("--run", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(json.dumps(PARTS[args.run]()))
        return
    parts: dict[str, Any] = read(JSON).get("parts", {})
    for name in args.part or list(PARTS):
        if name in parts and not args.again:
            continue
        child = subprocess.run([sys.executable, __file__, "--run", name], stdout=subprocess.PIPE, text=True, check=True)
        parts[name] = {
            "date": datetime.date.today().isoformat(), "source": source_hash()[:16], **json.loads(child.stdout),
        }  # fmt: skip
        print(name, json.dumps(parts[name]), file=sys.stderr, flush=True)
        result = {
            "command": "COFRONT_DATA=FOLDER python benchmarks/joint_front.py",
            "versions": {
                "cofront": cofront.__version__, "python": platform.python_version(),
                **{n: version(n) for n in ("numpy", "numba")},
            },
            "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
            "space": "ofa_mobilenetv3", "device": "zu3eg", "table": TABLE.name, "penalty": PENALTY,
            "parts": {n: parts[n] for n in PARTS if n in parts},
        }  # fmt: skip
        write(JSON, result, indent=2)


if __name__ == "__main__":
    main()
