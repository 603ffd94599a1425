"""Exact fronts on additive devices: FBNet on four operator tables, Once-for-All on a GPU; pymoo's NSGA-II beside them.

    python benchmarks/additive_fronts.py [--devices edgegpu,eyeriss,fpga,raspi4] [--factor 10]

FBNet has no table of accuracies here: its networks are valued by sum ln(1 + MMACs) over layers (a stand-in with
diminishing returns). Once-for-All's accuracy is the additive model fitted to its ImageNet table, its latency a ridge on
the same features fitted to a measured GPU table, brought to resolution 224 by area (a rough stand-in). NSGA-II gets
--factor times the exact search's CPU time, at least two seconds, on the wall clock: on a busy machine that is less.
Writes additive_fronts.json beside this file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from record import made, write

from cofront import space as spaces
from cofront.hardware.tables import AdditiveDevice
from cofront.hardware.tables.hwnas import read_fbnet_lookup
from cofront.predict.additive import Additive
from cofront.predict.codesign import MICRO, on_trellis
from cofront.predict.tables import read_table
from cofront.problem import link_value
from cofront.search.additive import additive_front
from cofront.search.budget import Budget
from cofront.search.evolution import Generations
from cofront.search.table import hypervolume
from cofront.space import Layered, Space

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data"))


def beside(space: Space, cost_of, value_of, exact: dict[str, np.ndarray], seconds: float) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """NSGA-II over the choices without precisions for some seconds; its hypervolume relative to the exact front's."""
    free = np.array([j for j, c in enumerate(space.choices) if not c.name.endswith("_bits")])
    met: list[tuple[np.ndarray, np.ndarray]] = []

    def evaluate(genomes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.zeros((len(genomes), len(space.sizes)), np.int64)
        points[:, free] = genomes
        points = space.canonical(points)
        cost, value = cost_of(points), value_of(points)
        met.append((cost, value))
        return np.stack([cost, -value], axis=1), np.zeros(len(genomes))

    run = Generations(space.sizes[free], evaluate, 100, 0, None, "additive")
    run.loop(Budget(time_s=seconds), lambda: np.zeros((0, 0), np.int64), None)
    cost, value = (np.concatenate(v) for v in zip(*met, strict=True))
    reference = (1.1 * float(exact["cost"].max()), float(exact["value"].min()) - 1e-9)
    ratio = hypervolume(cost, value, reference) / hypervolume(exact["cost"], exact["value"], reference)
    return {"seconds": seconds, "evaluations": float(len(cost)), "hypervolume_ratio": ratio}


def fbnet(device: str, factor: float) -> dict[str, object]:
    space = spaces.load("fbnet")
    layered = space.layered(("W8A8",))
    table = read_fbnet_lookup(DATA / "fbnet_op_lookup.json", device, space)  # type: ignore[arg-type]
    gains = _gains(space, layered)
    score = layered.trellis.scores(gains, 1e6)
    started = time.process_time()
    cost, base = table.edge_cost(space, layered)
    front = additive_front(
        layered.trellis, cost, score, lambda s: s / 1e9, constant=base, n_choices=len(space.sizes), device=device
    )
    seconds = time.process_time() - started
    latency, value = front.arrays()
    heuristic = beside(
        space, lambda p: table.of_points(space, p), lambda p: space.features(p) @ gains * 1e6 / 1e9,
        {"cost": latency, "value": value}, max(2.0, factor * seconds),
    )  # fmt: skip
    return _entry(front.n_designs, len(front.designs), front.gap, seconds, latency, heuristic)


def _gains(space: Space, layered: Layered) -> np.ndarray:
    """(f,) ln(1 + MMACs) of each operator at each layer, on the features l3.op=..."""
    gains = np.zeros(len(space.feature_names()))
    trellis = layered.trellis
    for e, f in enumerate(layered.edge_fragment):
        features = trellis.features[trellis.feature_ptr[e] : trellis.feature_ptr[e + 1]]
        if f >= 0 and len(features):
            gains[features[0]] = np.log1p(layered.fragments[int(f)].macs / 1e6)
    return gains


def ofa(column: str, factor: float) -> dict[str, object]:
    space = spaces.load("ofa_mobilenetv3")
    accuracy = read_table(DATA / "ofa_mobilenetv3_imagenet.parquet", space)
    model = (
        Additive.for_space(accuracy.space)
        .fit(Additive.encode(accuracy.space, accuracy.points), accuracy.accuracy)
        .model
    )
    read = pq.read_table(DATA / "ofa_mobilenetv3_latency.parquet", columns=["ks", "e", "d", "r", column]).to_pydict()
    named = {"kernel": read["ks"], "expand": read["e"], "depth": read["d"], "resolution": [224] * len(read["r"])}
    _, points = space.from_table(named)
    # the table has all resolutions: latency is learnt relative to the square of the side
    latency = np.array(read[column]) * 1e-3 * (224 / np.array(read["r"])) ** 2
    where = accuracy.space
    x = space.features(points)
    centre, y = x.mean(axis=0), latency
    weights = np.linalg.solve((x - centre).T @ (x - centre) + 3 * np.eye(x.shape[1]), (x - centre).T @ (y - y.mean()))
    device = AdditiveDevice(
        column, dict(zip(space.feature_names(), weights.tolist(), strict=True)), by="feature",
        base_s=float(y.mean() - centre @ weights),
    )  # fmt: skip
    layered = where.layered(("W8A8",))
    if where.feature_names() != space.feature_names():
        return {"skipped": f"the accuracy table has other resolutions: {where.name}"}
    side = on_trellis(model, layered.trellis)
    started = time.process_time()
    cost, base = device.edge_cost(space, layered)

    def value(score: np.ndarray) -> np.ndarray:
        linked = link_value((score + side.score_offset) / side.micro, side.link, side.score_range)
        return np.clip(linked, *side.accuracy_range)

    front = additive_front(
        layered.trellis, cost, side.edge_score, value, constant=base, n_choices=len(space.sizes), device=column
    )
    seconds = time.process_time() - started
    seen, gain = front.arrays()
    heuristic = beside(
        space, lambda p: device.of_points(space, p),
        lambda p: value(np.rint((space.features(p) @ model.coefficients) * MICRO)),
        {"cost": seen, "value": gain}, max(2.0, factor * seconds),
    )  # fmt: skip
    fit = float(np.sqrt(np.mean((device.of_points(space, points) - y) ** 2)) / y.mean())
    return {**_entry(front.n_designs, len(front.designs), front.gap, seconds, seen, heuristic), "latency_fit_rmse": fit}


def _entry(
    designs: int, found: int, gap: float, seconds: float, latency: np.ndarray, heuristic: dict[str, float]
) -> dict[str, object]:
    return {
        "networks": str(designs), "front": found, "gap": gap, "cpu_s": seconds,
        "latency_ms": [1e3 * float(latency[0]), 1e3 * float(latency[-1])], "nsga2": heuristic,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", default="edgegpu,eyeriss,fpga,raspi4")
    parser.add_argument("--ofa", default="lat_ms_titan_rtx_64")
    parser.add_argument("--factor", type=float, default=10.0)
    args = parser.parse_args()
    result: dict[str, object] = {}
    for device in filter(None, args.devices.split(",")):
        result[f"fbnet/{device}"] = fbnet(device, args.factor)
        print(device, result[f"fbnet/{device}"], flush=True)
    if args.ofa:
        result[f"ofa_mobilenetv3/{args.ofa}"] = ofa(args.ofa, args.factor)
        print(args.ofa, result[f"ofa_mobilenetv3/{args.ofa}"], flush=True)
    write(Path(__file__).with_suffix(".json"), {**made("numpy", "scipy", "pymoo"), **result})


if __name__ == "__main__":
    main()
