"""HAO's bit sensitivities and its accuracy table beside `task/quantise` -> hao_sensitivity.json.

    python benchmarks/hao_sensitivity.py [--parts quantiser,why,rank] [--table NAME=FILE ...]

`quantiser`: points of the shipped accuracy table, the same number of each kind of precision, folded and quantised by
`task/quantise`, on the validation images that the table was measured on: nearest integers, and refined ("moments",
which stands for the batch norms that the table's quantiser estimates anew). Ranges come from the table's 640 images,
refinement sees some of them. It was fixed beforehand when the table has to be measured again: when the mean over a kind
differs by more than a point, or when the rank correlation over all points is below .97; that "moments", which is like
for like, decides, was said when both were known.

`why`: what the point that loses most by nearest integers loses otherwise.

`rank`: networks with random precisions of their blocks, measured by the table's quantiser ("first") and by
`task/quantise` (nearest integers); the rank correlation within each network between what was measured and the sums of
sensitivities: of tables of blocks ("shipped", and others by `--table`), and of the network's own layers (hessian,
fisher and measured divergence, on training images). The table's quantiser is judged on "other" validation images, too,
and on "all"; "other images" is the correlation between its accuracies on the two sets: what chance leaves. The table
"first" of the JSON is `subgraph32_hessian.json` as it was before this benchmark, in the repository's history, given by
`--table first=FILE`.

Every point is kept as soon as it is measured: a killed benchmark goes on. Tables are judged again by every run.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import cpu_time, made, read, say, write
from scipy.stats import spearmanr

from cofront.space.base import PRECISIONS
from cofront.space.subgraph32 import OPS, PRECISION_NAMES, Subgraph32
from cofront.task import subnet
from cofront.task.augment import network_input
from cofront.task.data import Dataset, load_dataset
from cofront.task.evaluate import CALIBRATION, Evaluator, tensor
from cofront.task.folded import folded
from cofront.task.quantise.curvature import LossTables, curvature_tables
from cofront.task.quantise.grids import Rules
from cofront.task.quantise.measured import ChosenQuantisers, measured_tables
from cofront.task.quantise.observe import observe, watched
from cofront.task.quantise.refine import refine
from cofront.task.quantise.simulate import QuantModule
from cofront.task.release import default_weights, load_supernet
from cofront.task.train import prepare_cpu

OUT = Path(__file__).with_suffix(".json")
SHIPPED = default_weights().with_name("subgraph32_hessian.json")
KINDS = (*PRECISION_NAMES, "mixed")
#: Points of each kind, and training images that refine them.
POINTS, REFINED_ON = 15, 256
#: Training images for sensitivities; validation images and allocations of each network.
IMAGES, VALIDATION, ALLOCATIONS, SEED = 256, 2000, 24, 20
#: Accuracies of an allocation: by the table's quantiser on the same images, on others and on all, and nearest integers.
BY = ("first", "other", "all", "nearest")
#: Resolution, widths, depths less one (all choices by number), operators of the nine blocks.
NETWORKS: dict[str, tuple[int, list[int], list[int], list[int]]] = {
    "dw3e4, wider later": (1, [0, 1, 2], [1, 2, 2], [2] * 9),
    "dw5e2, narrow": (1, [0, 0, 0], [2, 2, 2], [1] * 9),
    "full3e0.5, middle": (2, [1, 1, 1], [2, 2, 2], [4] * 9),
    "full3e1, narrow, shallow": (1, [0, 1, 0], [1, 2, 1], [5] * 9),
    "mixed operators": (0, [1, 0, 1], [2, 2, 2], [3, 4, 0, 5, 2, 1, 4, 0, 5]),
}


def kind_of(point: Any) -> str:
    """A precision's name where all blocks have it."""
    found = {(b.weight_bits, b.act_bits) for b in subnet.decode(point).blocks}
    return next(n for n in PRECISION_NAMES if PRECISIONS[n] in found) if len(found) == 1 else "mixed"


def table_points() -> list[dict[str, Any]]:
    """Points of the shipped table: the first of each kind, with the accuracies it says."""
    import pyarrow.parquet as pq

    rows = pq.read_table(default_weights().with_name("subgraph32_cifar10.parquet")).to_pydict()
    points = np.array([rows[n] for n in subnet.NAMES]).T
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for p, a in zip(points, rows["val_accuracy"], strict=True):
        found = by_kind[kind := kind_of(p)]
        if len(found) < POINTS:
            found.append({"point": p.tolist(), "kind": kind, "table": a})
    return [row for together in zip(*by_kind.values(), strict=True) for row in together]


def module_of(point: Any, data: Dataset) -> tuple[QuantModule, Any]:
    """A point's network with its bits, ready to be quantised, and its folded weights."""
    network = Subgraph32().network(point)
    _, weights = folded(network, data.x_train)
    return QuantModule(network, weights, observe(network, weights, data.x_train[:CALIBRATION])), weights


def accuracies(module: QuantModule, weights: Any, x: Any, y: Any, on: Any) -> dict[str, float]:
    """Nearest integers, and refined on training images `on`."""
    nearest = module.set_bits()
    found = {"nearest": module.accuracy(x, y)}
    module.use(refine(nearest, module.network, weights, on))
    return {**found, "moments": module.accuracy(x, y)}


def quantiser(data: Dataset) -> None:
    known = {tuple(r["point"]): r for r in read(OUT).get("quantiser", {}).get("points", [])}
    rows: list[dict[str, Any]] = []
    for row in table_points():
        if tuple(row["point"]) in known:
            rows.append(known[tuple(row["point"])])
            continue
        began = cpu_time()
        module, weights = module_of(np.array(row["point"]), data)
        row |= accuracies(module, weights, data.x_val, data.y_val, data.x_train[:REFINED_ON])
        rows.append({**row, "cpu_s": round(cpu_time() - began, 1)})
        part = {"validation_images": len(data.y_val), "images": CALIBRATION, "refined_on": REFINED_ON}
        part |= {**summary(rows), "points": rows}
        write(OUT, {**read(OUT), "quantiser": {**made("numpy", "torch", "scipy"), **part}})
        say(f"{len(rows)}: {json.dumps(rows[-1])}")


def why(data: Dataset) -> None:
    """The worst point with its first convolution at 8 bits, refined, and with another rule for the weights."""
    row = min(read(OUT)["quantiser"]["points"], key=lambda r: r["nearest"] - r["table"])
    x, y, point = data.x_val[:VALIDATION], data.y_val[:VALIDATION], np.array(row["point"])
    module, weights = module_of(point, data)
    nearest = module.set_bits()
    found = {"nearest": module.accuracy(x, y)}
    for method in ("bias", "moments"):
        module.use(refine(nearest, module.network, weights, data.x_train[:REFINED_ON], method))
        found[method] = module.accuracy(x, y)
    bits = bits_of(module, point)
    second = list(bits)[1]  # the stem has 8 bits anyway
    module.set_bits(bits | {second: (8, 8)})
    found[f"nearest, {second} at 8 bits"] = module.accuracy(x, y)
    other = QuantModule(Subgraph32().network(point), weights, module.chooser.ranges, Rules("max", "mse"))
    other.set_bits()
    found["nearest, weights by their greatest"] = other.accuracy(x, y)
    part = {"point": row["point"], "validation_images": VALIDATION, "refined_on": REFINED_ON, "accuracy": found}
    write(OUT, {**read(OUT), "why": {**made("numpy", "torch"), **part}})


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy less that of the table, in points, by kind; rank correlations."""
    out: dict[str, Any] = {}
    for by in ("nearest", "moments"):
        out[by] = {}
        for kind in (*KINDS, "all"):
            some = [r for r in rows if kind in ("all", r["kind"])]
            if len(some) < 3:
                continue
            table, new = (100 * np.array([r[k] for r in some]) for k in ("table", by))
            d = new - table
            out[by][kind] = {
                "points": len(some), "difference": round(float(d.mean()), 3),
                "standard_error": round(float(d.std(ddof=1) / len(d) ** 0.5), 3),
                "deviation": round(float(d.std(ddof=1)), 3), "rank_correlation": round(rank(new, table), 4),
            }  # fmt: skip
    return out


def rank(a: Any, b: Any) -> float:
    return float(spearmanr(a, b).statistic)


def rank_part(data: Dataset, tables: dict[str, Path]) -> None:
    found = read(OUT).get("rank", {}).get("networks", {})

    def keep() -> None:
        whole = {"validation_images": VALIDATION, "images": IMAGES, "mean": means(found)}
        part = {**made("numpy", "torch", "scipy", seed=SEED), **whole, "networks": found}
        write(OUT, {**read(OUT), "rank": part})

    for number, (name, (side, widths, depths, ops)) in enumerate(NETWORKS.items()):
        rng = np.random.default_rng([SEED, number])
        draws = rng.integers(0, len(PRECISION_NAMES), (ALLOCATIONS, subnet.BLOCKS))
        stages = [c for pair in zip(widths, depths, strict=True) for c in pair]
        points = [subnet.as_point([side, *stages, *ops, *p]) for p in draws]
        part = found.setdefault(name, {"allocations": [], "own": {}, "tables": {}})
        if len(part["allocations"]) < ALLOCATIONS or not part["own"]:
            measure(data, points, part, keep)
        repeat(data, part)
        for label, file in tables.items():
            known = {tuple(r[:5]): r[5] for r in json.loads(file.read_text(encoding="utf-8"))["rows"]}
            part["tables"][label] = [tabulated(known, p) for p in points]
        part["spearman"] = {
            by: {
                model: round(-rank(said, [a[by] for a in part["allocations"]]), 4)
                for model, said in {**part["tables"], **part["own"]}.items()
            }
            for by in BY
        }
        first, other = ([a[k] for a in part["allocations"]] for k in ("first", "other"))
        part["spearman"]["first"]["other images"] = round(rank(first, other), 4)
        part["deviation"] = {
            by: round(100 * float(np.std([a[by] for a in part["allocations"]], ddof=1)), 3) for by in BY
        }
        say(f"{name}: {json.dumps(part['spearman'])}")
        keep()


def measure(data: Dataset, points: list[Any], part: dict[str, Any], keep: Callable[[], None]) -> None:
    """Accuracies of the allocations by either quantiser, and what the network's own tables say of them."""
    x, y = data.x_val[:VALIDATION], data.y_val[:VALIDATION]
    first = Evaluator(load_supernet()[0], data, (x, y))
    module, weights = module_of(points[0], data)
    every = [bits_of(module, p) for p in points]
    for p, bits in list(zip(points, every, strict=True))[len(part["allocations"]) :]:
        row = {"point": p.tolist(), "first": first.accuracy(p)}
        module.set_bits(bits)
        row["nearest"] = module.accuracy(x, y)
        part["allocations"].append(row)
        keep()
        say(json.dumps(row))
    part["own"] = {t.model: [rise(t, bits) for bits in every] for t in own_tables(module, weights, data)}


def repeat(data: Dataset, part: dict[str, Any]) -> None:
    """The table's quantiser on the other validation images: how far a rank correlation with it can go."""
    other = Evaluator(load_supernet()[0], data, (data.x_val[VALIDATION:], data.y_val[VALIDATION:]))
    for row in part["allocations"]:
        if "other" not in row:
            row["other"] = other.accuracy(row["point"])
        share = VALIDATION / len(data.y_val)
        row["all"] = share * row["first"] + (1 - share) * row["other"]


def bits_of(module: QuantModule, point: Any) -> dict[str, tuple[int, int]]:
    """Weight and input bits by layer."""
    network = Subgraph32().network(point)
    return {n.name: (int(n.weight_bits or 8), int(n.in_bits or 8)) for n in network.layers}


def own_tables(module: QuantModule, weights: Any, data: Dataset) -> list[LossTables]:
    """Of the network itself, on training images: hessian, fisher and divergence."""
    net, on = watched(module.network, weights), data.x_train[:IMAGES]
    inputs = network_input(tensor(on), module.network.shapes[module.network.input.name][1])
    how: dict[str, Any] = {"weight_bits": (4, 8), "act_bits": (4, 8), "fixed_reads": ("stem",)}
    both = curvature_tables(net, ChosenQuantisers(module.chooser), inputs, **how)
    with torch.inference_mode():
        target = net(inputs).flatten(1)
    return [*both, measured_tables(module, on, target=target, **how)]


def rise(table: LossTables, bits: dict[str, tuple[int, int]]) -> float:
    w, a = (np.array([[bits[n][i] for n in table.layers]]) for i in (0, 1))
    return float(table.of(w, a)[0])


def tabulated(known: dict[tuple[Any, ...], float], point: NDArray[np.int64]) -> float:
    """The sum of a table's rows over a point's blocks."""
    total = 0.0
    for b in subnet.decode(point).blocks:
        label, op = f"s{b.slot // 3 + 1}b{b.slot % 3 + 1}", OPS[int(point[7 + b.slot])].name
        total += known[label, op, b.cin, b.cout, PRECISION_NAMES[int(point[16 + b.slot])]]
    return total


def means(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Rank correlations in the mean over the networks that are done, of models that all of them have."""
    done = [n["spearman"] for n in found.values() if "spearman" in n]
    out: dict[str, dict[str, float]] = defaultdict(dict)
    for by, said in done[0].items() if done else ():
        for model in said:
            if all(model in d.get(by, {}) for d in done):
                out[by][model] = round(float(np.mean([d[by][model] for d in done])), 4)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="quantiser,why,rank")
    parser.add_argument("--table", action="append", default=[], metavar="NAME=FILE", help="more tables to judge")
    args = parser.parse_args()
    prepare_cpu(1)
    data = load_dataset()
    if "quantiser" in args.parts.split(","):
        quantiser(data)
    if "why" in args.parts.split(","):
        why(data)
    if "rank" in args.parts.split(","):
        tables = {"shipped": SHIPPED} | {name: Path(file) for name, _, file in (t.partition("=") for t in args.table)}
        rank_part(data, tables)
    kept = read(OUT)
    print(json.dumps({k: v for k, v in kept.get("quantiser", {}).items() if k != "points"}, indent=1))
    print(json.dumps(kept.get("why", {}).get("accuracy", {}), indent=1))
    print(json.dumps(kept.get("rank", {}).get("mean", {}), indent=1))


if __name__ == "__main__":
    main()
