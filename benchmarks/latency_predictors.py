"""Latency of unseen devices from few measurements, under HELP's protocol, every method beside the same baselines.

    python benchmarks/latency_predictors.py [--draws 5] [--samples 10] [--methods transfer,nnls,...] [--spaces fbnet]

Known devices are HELP's training split; rows to learn from are drawn from its pool, rows to score on are its test rows,
both without the fastest and slowest tenth (--trim); measurements scale themselves (no range of the target is known).
--samples 900 --trim 0 --draws 1 learns the whole pool. Devices that the tables at hand do not have are skipped by name.
Writes latency_predictors.json beside this file, one entry per number of samples.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from pathlib import Path

from record import made, read, write

from cofront.api.predicting import Rows, evaluate_predictor

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data"))
OUT = Path(__file__).with_suffix(".json")
TABLES = {"nasbench201": ("nasbench201.parquet", "nb201"), "fbnet": ("fbnet_space.parquet", "fbnet")}
SEED = 0


def targets(file: str, split: dict[str, list[str]]) -> tuple[list[str], list[str], list[str]]:
    """Test devices at hand, validation devices at hand, test devices that are not."""
    import pyarrow.parquet as pq

    names = set(pq.read_schema(DATA / file).names)
    test = [d for d in split["meta_test"] if f"lat_ms_{d}" in names]
    return test, [d for d in split["meta_valid"] if f"lat_ms_{d}" in names], sorted({*split["meta_test"]} - {*test})


def measure(methods: list[str], samples: int, draws: int, only: list[str], trim: float) -> dict[str, object]:
    splits = json.loads((DATA / "help_splits.json").read_text())
    out: dict[str, object] = {}
    for space in only:
        file, key = TABLES[space]
        split = splits[key]
        test, valid, missing = targets(file, split)
        rows = Rows(tuple(split["help_pool"]), tuple(split["help_test"]), trim, keep_dead=True)
        by: dict[str, dict[str, object]] = {}
        for method in methods:
            started, scores = time.process_time(), {}
            for device in test + valid:
                found = evaluate_predictor(
                    method, space=space, table=DATA / file, target=f"lat_ms_{device}", samples=samples, draws=draws,
                    seed=SEED, rows=rows, baselines=False,
                )  # fmt: skip
                s = found.score
                scores[device] = {
                    "spearman": s.spearman, "half": s.spearman_half, "kendall": s.kendall, "mape": s.mape,
                    "within_10": s.within_10, "coverage": s.coverage, "fit_s": s.fit_s, "n_test": found.n_test,
                }  # fmt: skip
            means = {
                what: sum(scores[d]["spearman"] for d in group) / len(group)
                for what, group in (("test", test), ("valid", valid))
            }
            by[method] = {"devices": scores, "mean": means, "cpu_s": time.process_time() - started}
            shown = "  ".join(f"{d} {scores[d]['spearman']:.3f}" for d in test)
            print(
                f"{space:12s} {samples:4d} {method:10s} test {means['test']:.4f} valid {means['valid']:.4f}  {shown}",
                flush=True,
            )
        out[space] = {"methods": by, "missing": missing}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--trim", type=float, default=0.1)
    parser.add_argument("--methods", default="transfer,nnls,adaproxy,ridge,gp")
    parser.add_argument("--spaces", default=",".join(TABLES))
    args = parser.parse_args()
    for space in args.spaces.split(","):
        keep(args, measure(args.methods.split(","), args.samples, args.draws, [space], args.trim))


def keep(args: argparse.Namespace, found: dict[str, object]) -> None:
    """Adds to what the file has."""
    runs = read(OUT).get("runs", {})
    kept = runs.get(str(args.samples), {})
    for space, result in found.items():
        assert isinstance(result, dict)
        kept.setdefault(space, {"methods": {}})["methods"].update(result["methods"])
        kept[space]["missing"] = result["missing"]
    runs[str(args.samples)] = kept
    write(OUT, {**made("numpy", "scipy", "scikit-learn", seed=SEED, draws=args.draws), "runs": runs})


if __name__ == "__main__":
    main()
