"""How well sensitivity models rank allocations of bits: predicted rise of the loss against measured accuracy.

    python benchmarks/sensitivity.py [--parts network,pairs,tables] [--allocations 120] [--images 1000]
    python benchmarks/sensitivity.py resnet       calibration and curvature of ResNet-18 at 224, 256 images, two threads

Network: a folded network of subgraph32 (widest, full convolutions of half expansion), quantised after training without
refinement. Tables are taken on 256 training images, accuracies on validation images. Two draws of allocations, each
layer but the first and last: "narrow" 3 to 6 bits, uniform and independent (weights and activations alike); "wide" each
allocation from three neighbouring widths of 2 to 6 and 8. Pairs: what neighbours lose together beyond the sum, as a
multiple of the root of the product of their rises, fitted on half of the allocations, judged on the rest.

Public tables: MP-NAS-Bench-201 has cells whose operators have 2, 4 or 8 bits, trained with them: an additive model of
(edge, operator, bits), and one with terms between edges, fitted on half of the cells and judged on the rest, over all
and within cells whose operators are the same. LIMPQ's importances of ResNet-50 come without accuracies of allocations:
they are checked to fall with bits, and are allocated exactly and greedily.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import cpu_time, made, read, say, write
from scipy.stats import spearmanr

from cofront.network import zoo
from cofront.network.bits import without_bits
from cofront.network.weights import random_weights
from cofront.search.allocation import Problem, allocate, greedy
from cofront.task.data import load_dataset
from cofront.task.folded import folded
from cofront.task.quantise.curvature import SAMPLES, LossTables, curvature_tables
from cofront.task.quantise.inputs import PIXELS, pixels_of
from cofront.task.quantise.measured import ChosenQuantisers, measured_tables
from cofront.task.quantise.observe import observe, watched
from cofront.task.quantise.simulate import QuantModule
from cofront.task.sensitivity import widest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data"))
OUT = Path(__file__).with_suffix(".json")
WIDTHS = (2, 3, 4, 5, 6, 8)
CALIBRATION = 256


def draws(kind: str, n: int, layers: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n, l) weight and activation bits; 8 in the first and last layer."""
    out = []
    for _ in range(2):
        if kind == "narrow":
            bits = rng.choice((3, 4, 5, 6), (n, layers))
        else:
            low = rng.integers(0, len(WIDTHS) - 2, n)
            bits = np.array(WIDTHS)[low[:, None] + rng.integers(0, 3, (n, layers))]
        bits[:, [0, -1]] = 8
        out.append(bits)
    return out[0], out[1]


def network_part(args: argparse.Namespace) -> dict[str, Any]:
    data = load_dataset(DATA / "cifar10")
    network, weights = folded(widest(4), data.x_train)
    module = QuantModule(network, weights, observe(network, weights, data.x_train[:CALIBRATION]))
    names = [n.name for n in network.layers]
    x, y = data.x_train[:CALIBRATION], data.y_train[:CALIBRATION]
    real = (pixels_of(x, network) - PIXELS.zero) * PIXELS.scale
    net = watched(network, weights)
    with torch.inference_mode():
        target = net(real).flatten(1)
    how: dict[str, Any] = {"weight_bits": WIDTHS, "act_bits": WIDTHS, "fixed_reads": (names[0],)}
    spent, tables = {}, {}
    for model in ("loss", "divergence", "curvature"):
        before = cpu_time()
        if model == "curvature":
            both = curvature_tables(net, ChosenQuantisers(module.chooser), real, **how)
            tables |= {t.model: t for t in both}
        else:
            labels = {"labels": y} if model == "loss" else {"target": target}
            tables[model] = measured_tables(module, x, **labels, **how)
        spent[model] = cpu_time() - before
        say(f"{model}: {spent[model]:.0f} s of processor")
    found: dict[str, Any] = {"cpu_s": spent, "tables": {k: t.to_dict() for k, t in tables.items()}, "draws": {}}
    xv, yv = data.x_val[: args.images], data.y_val[: args.images]
    module.set_bits({})
    found["accuracy_at_8_bits"] = module.accuracy(xv, yv)
    for number, kind in enumerate(("narrow", "wide")):
        w, a = draws(kind, args.allocations, len(names), np.random.default_rng(10 + number))
        accuracy, loss = [], []
        for i in range(args.allocations):
            module.set_bits({n: (int(p), int(q)) for n, p, q in zip(names, w[i], a[i], strict=True)})
            logits = module.logits(xv)
            accuracy.append(float((logits.argmax(1).numpy() == yv).mean()))
            loss.append(float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(yv))))
            if i % 10 == 9:
                say(f"{kind}: {i + 1} of {args.allocations}, accuracy {accuracy[-1]:.3f}")
        found["draws"][kind] = {
            "weight_bits": w.tolist(), "act_bits": a.tolist(), "accuracy": accuracy, "loss": loss,
            "spearman": {
                k: {"accuracy": -rank(t.of(w, a), accuracy), "loss": rank(t.of(w, a), loss)} for k, t in tables.items()
            },
        }  # fmt: skip
        say(json.dumps(found["draws"][kind]["spearman"]))
    return found


def rank(a: Any, b: Any) -> float:
    return float(spearmanr(a, b).statistic)


def pairs_part(network: dict[str, Any]) -> dict[str, Any]:
    """Whether terms between neighbours help on allocations that were not fitted."""
    out: dict[str, Any] = {}
    for kind, model in itertools.product(network["draws"], network["tables"]):
        t, d = LossTables.from_dict(network["tables"][model]), network["draws"][kind]
        w, a, loss = np.array(d["weight_bits"]), np.array(d["act_bits"]), np.array(d["loss"])
        rows = np.arange(len(t.layers))
        each = t.weight[rows, np.searchsorted(t.weight_bits, w)] + t.act[rows, np.searchsorted(t.act_bits, a)]
        total, root = each.sum(1), np.sqrt(np.maximum(each[:, :-1], 0) * np.maximum(each[:, 1:], 0)).sum(1)
        fit, held = np.arange(0, len(loss), 2), np.arange(1, len(loss), 2)

        def held_out(columns: list[NDArray[np.float64]], loss: Any = loss, fit: Any = fit, held: Any = held) -> Any:
            m = np.column_stack([np.ones(len(loss)), *columns])
            beta = np.linalg.lstsq(m[fit], loss[fit], rcond=None)[0]
            said = m[held] @ beta
            return {"spearman": rank(said, loss[held]), "rmse": float(np.sqrt(np.mean((said - loss[held]) ** 2)))}

        out[f"{kind}, {model}"] = {"additive": held_out([total]), "with pairs": held_out([total, root])}
    return out


def tables_part() -> dict[str, Any]:
    import pyarrow.parquet as pq

    found: dict[str, Any] = {}
    rows = pq.read_table(DATA / "nasbench201_mixed_precision.parquet").to_pydict()
    ops = np.array([rows[f"op{i}"] for i in range(6)]).T
    bits = np.array([rows[f"bit{i}"] for i in range(6)]).T
    accuracy = np.array(rows["test_acc"])
    code = 4 * ops + np.searchsorted([0, 2, 4, 8], bits)  # operator and bits
    one = np.eye(20)[code].reshape(len(code), -1)
    only = np.eye(5)[ops].reshape(len(ops), -1)  # the operators alone: what bits add to them
    two = np.concatenate(
        [one, *((one.reshape(-1, 6, 20)[:, i, :, None] * one.reshape(-1, 6, 20)[:, j, None, :]).reshape(len(one), -1)
                for i, j in itertools.combinations(range(6), 2))], axis=1)  # fmt: skip
    cell = np.unique(ops, axis=0, return_inverse=True)[1].reshape(-1)
    first = np.random.default_rng(0).permutation(cell.max() + 1) < (cell.max() + 1) // 2
    fit, held = np.flatnonzero(first[cell]), np.flatnonzero(~first[cell])  # all rows of a cell on one side
    for name, m, ridge in (("operators alone", only, 1.0), ("additive", one, 1.0), ("with pairs", two, 30.0)):
        m = m[:, m[fit].any(axis=0)]
        mean = accuracy[fit].mean()
        beta = np.linalg.solve(m[fit].T @ m[fit] + ridge * np.eye(m.shape[1]), m[fit].T @ (accuracy[fit] - mean))
        said = m[held] @ beta + mean
        within = [
            rank(said[cell[held] == c], accuracy[held][cell[held] == c])
            for c in np.unique(cell) if (cell[held] == c).sum() >= 5 and np.ptp(said[cell[held] == c]) > 1e-9
            and np.ptp(accuracy[held][cell[held] == c]) > 0
        ]  # fmt: skip
        found[name] = {
            "spearman": rank(said, accuracy[held]), "rows": len(held), "cells": len(within),
            "within_cells": float(np.mean(within)) if within else None,
        }  # fmt: skip
    limpq = json.loads((DATA / "limpq_resnet50_importance.json").read_text())
    names, widths = limpq["layer_name"], (2, 3, 4, 5, 6)
    table = {k: np.array([[limpq[k][n][str(b)] for b in widths] for n in names]) for k in ("weight", "act")}
    resnet = {n.name: n for n in zoo.load("resnet50").layers}
    macs = limpq_macs(names, resnet)
    cost = macs[:, None, None] * np.array(widths)[:, None] * np.array(widths)[None, :] / 1e9
    loss = (table["weight"][:, :, None] + table["act"][:, None, :]).reshape(len(names), -1)
    problem = Problem(loss, {"gbitops": cost.reshape(len(names), -1)})
    limit = {"gbitops": float(macs.sum() * 16 / 1e9)}  # as 4 bits throughout
    best, other = allocate(problem, limit), greedy(problem, limit)
    four = np.full(len(names), widths.index(4) * len(widths) + widths.index(4))
    return {
        "mp_nasbench201": found,
        "limpq": {
            "layers": len(names),
            "rising_entries": {k: int((np.diff(t, axis=1) > 0).sum()) for k, t in table.items()},
            "importance": {"exact": best.loss, "greedy": other.loss, "uniform 4 bits": float(problem.losses(four)[0])},
            "status": best.status, "solve_s": best.solve_s,
        },
    }  # fmt: skip


def limpq_macs(names: list[str], resnet: dict[str, Any]) -> NDArray[np.float64]:
    """Multiply-accumulates of the file's layers (all but the first and last) in ResNet-50, in order."""
    network = zoo.load("resnet50")
    inner = [n for n in network.layers][1:-1]
    if len(inner) != len(names):
        raise SystemExit(f"resnet50 has {len(inner)} inner layers, the table {len(names)}")
    by_stage = {True: [], False: []}  # type: dict[bool, list[float]]
    for n in inner:
        by_stage["down" in n.name or "shortcut" in n.name].append(float(network.node_macs(n)))
    main, side = iter(by_stage[False]), iter(by_stage[True])
    return np.array([next(side) if "downsample" in n else next(main) for n in names])


def resnet_part() -> dict[str, Any]:
    """Seconds by the clock; random weights and images: only time is looked at."""
    rng = np.random.default_rng(0)
    network = without_bits(zoo.load("resnet18"))
    weights = random_weights(network, rng)
    images = rng.integers(0, 256, (CALIBRATION, 224, 224, 3)).astype(np.uint8)
    torch.set_num_threads(2)
    began = time.perf_counter()
    module = QuantModule(network, weights, observe(network, weights, images))
    calibrated = time.perf_counter() - began
    net = watched(network, weights)
    curvature_tables(
        net, ChosenQuantisers(module.chooser), (pixels_of(images, network) - PIXELS.zero) * PIXELS.scale,
        weight_bits=WIDTHS, act_bits=WIDTHS, batch=16, on_progress=lambda n: say(f"image {n}"),
    )  # fmt: skip
    return {"images": CALIBRATION, "draws": SAMPLES, "calibration_s": calibrated, "all_s": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("all", "resnet"), default="all")
    parser.add_argument("--parts", default="network,pairs,tables")
    parser.add_argument("--allocations", type=int, default=120)
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    if args.what == "resnet":
        write(OUT, {**read(OUT), "resnet18": {**made("numpy", "torch"), **resnet_part()}})
        return
    torch.set_num_threads(1)
    parts = args.parts.split(",")
    if "network" in parts:
        write(OUT, {**read(OUT), "network": {**made("numpy", "torch", seed=10), **network_part(args)}})
    if "pairs" in parts and "network" in read(OUT):
        write(OUT, {**read(OUT), "pairs": pairs_part(read(OUT)["network"])})
    if "tables" in parts:
        write(OUT, {**read(OUT), "tables": {**made("numpy", "scipy", seed=0), **tables_part()}})
    kept = read(OUT)
    print(json.dumps({k: v for k, v in kept.items() if k not in ("network",)}, indent=1))
    print(json.dumps({k: d["spearman"] for k, d in kept.get("network", {}).get("draws", {}).items()}, indent=1))


if __name__ == "__main__":
    main()
