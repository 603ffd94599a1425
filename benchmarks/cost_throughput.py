"""How many (layer, configuration) costs per second and core, and how long `estimate` takes from a cold start.

    python benchmarks/cost_throughput.py

Times are processor seconds of one thread, the least of several runs; writes cost_throughput.json beside this file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import datetime
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import write

from cofront import device
from cofront.hardware.subgraph import codesign_problem
from cofront.hardware.subgraph.batch import network_latencies, row_latencies
from cofront.hardware.subgraph.tables import layered_rows
from cofront.space.ofa_mobilenetv3 import OfaMobileNetV3

SEED = 1
CONFIGURATIONS = 10_000
NETWORKS = 1_000
REPEATS = 5

COLD_START = """
from cofront import device
from cofront.hardware.subgraph import estimate
from cofront.network import zoo
estimate(zoo.load("mobilenet_v2"), device.load("zu3eg"))
"""


def least(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def cold_start() -> tuple[float, float]:
    """(processor, wall) seconds of a fresh interpreter that estimates one network."""
    used, wall = [], []
    for _ in range(REPEATS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD_START], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(used), min(wall)


def main() -> None:
    rng = np.random.default_rng(SEED)
    space, part = OfaMobileNetV3(), device.load("zu3eg")
    layered = space.layered(("W8A8", "W4A8", "W4A4"))
    _, calls = layered_rows(layered)
    score = np.zeros(layered.trellis.n_edges, dtype=np.int64)
    tables_s = least(lambda: codesign_problem(layered, part, score))
    problem = codesign_problem(layered, part, score)
    engine = next(e for e in problem.engines if e.name == "DUAL")
    chosen = np.stack([rng.integers(len(k.params), size=CONFIGURATIONS) for k in engine.kernels], axis=1)
    layers = sum(len(c.stages) for c in calls)
    rows_s = least(lambda: row_latencies(engine, chosen))

    # Networks as how often they run each row; every network has 3 layers per call or fewer.
    counts = (rng.random((NETWORKS, len(calls))) < 30 / len(calls)).astype(np.int64)
    per_network = float((counts @ np.array([len(c.stages) for c in calls])).mean())
    networks_s = least(lambda: network_latencies(engine, chosen, counts))
    cpu_s, wall_s = cold_start()
    result = {
        "command": "python benchmarks/cost_throughput.py",
        "date": datetime.date.today().isoformat(),
        "seed": SEED,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "space": space.name,
        "device": part.name,
        "distinct_calls": len(calls),
        "layers_in_distinct_calls": layers,
        "configurations": CONFIGURATIONS,
        "problem_s": round(tables_s, 3),
        "accelerators": problem.n_accelerators(),
        "layer_costs_per_s_and_core": round(layers * CONFIGURATIONS / rows_s),
        "network_costs_per_s_and_core": round(NETWORKS * CONFIGURATIONS / networks_s),
        "layer_costs_per_s_and_core_through_networks": round(NETWORKS * CONFIGURATIONS * per_network / networks_s),
        "estimate_cold_start_cpu_s": round(cpu_s, 3),
        "estimate_cold_start_wall_s": round(wall_s, 3),
    }
    write(Path(__file__).with_suffix(".json"), result, indent=2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
