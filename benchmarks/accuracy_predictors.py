"""The accuracy predictors on measured tables, and the Once-for-All space against its published MACs and parameters.

    python benchmarks/accuracy_predictors.py [--splits 20]

Tables: Once-for-All MobileNetV3 (from $COFRONT_DATA or ../shared/data, skipped when absent) and those that ship.
Beside the additive model and HAO's SVR stand plain ridge (no link), one on main effects alone, and MACs alone.
The pairs of cifar10_untouched.parquet were measured after the additive model had been made and are fitted on by
nothing: every predictor learns the whole shipped table and is scored on them once.
Writes accuracy_predictors.json beside this file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from record import made, write

from cofront import space
from cofront.predict.additive import Additive
from cofront.predict.base import FloatArray, Predictor
from cofront.predict.harness import ceiling, evaluate, rank_correlations
from cofront.predict.svr import Svr
from cofront.predict.tables import AccuracyTable, read_table

SEED = 0
ROOT = Path(__file__).resolve().parent.parent
OFA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data")) / "ofa_mobilenetv3_imagenet.parquet"
UNTOUCHED = Path(__file__).with_name("cifar10_untouched.parquet")
SHIPPED = ROOT / "src" / "cofront" / "data_tables"


def published_columns() -> dict[str, int]:
    """Rows of the Once-for-All table, and how many have other MACs or parameters than `space.network(point)`."""
    import pyarrow.parquet as pq

    columns = pq.read_table(OFA).to_pydict()
    ofa, points = space.load("ofa_mobilenetv3").from_table(columns)
    wrong_macs = wrong_params = 0
    for i, point in enumerate(points):
        network = ofa.network(point)
        wrong_macs += network.macs != columns["macs"][i]
        wrong_params += network.params != columns["params"][i]
    return {"rows": len(points), "macs_differ": wrong_macs, "params_differ": wrong_params}


#: A predictor's maker and the columns (n, f) that it reads.
Case = tuple[Callable[[], Predictor], FloatArray]


def macs(table: AccuracyTable) -> FloatArray:
    """(n, 1) logarithms."""
    return np.log([[float(table.space.network(p).macs)] for p in table.points])


def cases_of(table: AccuracyTable) -> dict[str, Case]:
    where = table.space
    x = where.features(table.points)
    main = [i for i, name in enumerate(where.feature_names()) if "*" not in name]
    return {
        "additive": (lambda: Additive.for_space(where), x),
        "ridge without link": (lambda: Additive([n.count("*") for n in where.feature_names()], degrees=(1,)), x),
        "main effects, joint link": (Additive, x[:, main]),
        "svr": (Svr, Svr.encode(where, table.points)),
        "log MACs alone": (Additive, macs(table)),
    }


def untouched(table: AccuracyTable, further: AccuracyTable) -> dict[str, object]:
    """Scores on pairs that no predictor has learnt from, after learning the whole table; coverage as in `Report`."""
    out: dict[str, object] = {"source": UNTOUCHED.name, "rows": len(further.accuracy)}
    tests = cases_of(further)
    for name, (make, columns) in cases_of(table).items():
        found = make().fit(columns, table.accuracy).predict(tests[name][1])
        error = found.mean - further.accuracy
        spearman, kendall = rank_correlations(found.mean, further.accuracy)
        out[name] = {
            "spearman": spearman,
            "kendall": kendall,
            "rmse_points": 100 * float(np.sqrt(np.mean(error**2))),
            "bias_points": 100 * float(error.mean()),
            "coverage": float(np.mean(np.abs(error) <= 1.96 * found.std)),
        }
        print(f"{'untouched':16s} {name:26s} Spearman {spearman:.4f}  RMSE {out[name]['rmse_points']:.4f} points")
    noise = ceiling(further.accuracy, further.n_val or 10_000)
    return {**out, "ceiling": asdict(noise)}


def compare(table: AccuracyTable, splits: int, n_val: int, train: int | float) -> dict[str, object]:
    y, cases = table.accuracy, cases_of(table)
    out: dict[str, object] = {"source": Path(table.source).name, "rows": len(y), "range": [y.min(), y.max()]}
    for name, (make, columns) in cases.items():
        start = time.process_time()
        report = evaluate(make, columns, y, splits=splits, train=train, seed=SEED, n_val=n_val)
        out[name] = {**report.to_json(), "cpu_s_per_fit": (time.process_time() - start) / splits}
        print(
            f"{table.space.name:16s} {name:26s} Spearman {report.spearman}  RMSE {report.rmse_points} points",
            flush=True,
        )
    best = report.ceiling
    assert best is not None
    print(f"{'':16s} binomial ceiling, {n_val} images: {best.spearman:.4f}, {best.rmse_points:.4f} points")
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=int, default=20)
    splits = parser.parse_args().splits
    result = made("numpy", "scipy", "scikit-learn", seed=SEED)
    if OFA.exists():
        result["ofa_published"] = published_columns()
        print(result["ofa_published"])
        table = read_table(OFA, space.load("ofa_mobilenetv3"))
        result["ofa_mobilenetv3"] = compare(table, splits, 50_000, 1400)
    for name in space.names():
        path = SHIPPED / f"{name}_{space.load(name).task}.parquet"
        if path.exists():
            table = read_table(path, space.load(name))
            result[name] = compare(table, splits, table.n_val or 10_000, 0.8)
            if name == "subgraph32":
                result["subgraph32_untouched"] = untouched(table, read_table(UNTOUCHED, table.space))
    write(Path(__file__).with_suffix(".json"), result)


if __name__ == "__main__":
    main()
