"""The supernet of subgraph32 on CIFAR-10 and its table: trained, measured, written, and what the table looks like.

    python benchmarks/cifar10_supernet.py --minutes 82

Everything is resumable: the same command goes on where it was stopped. With --summary only what is there is summed up.
Writes cifar10_supernet.json beside this file: validation accuracies as training went, the spread of the table by
precision and operator, and the noise that its 5,000 images leave (the standard error of one accuracy, and the highest
rank correlation with the truth that any predictor could show against such a table).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from record import command, write
from scipy.stats import spearmanr

from cofront.study.provenance import versions
from cofront.task import subnet
from cofront.task.release import default_weights


def progress(log: Path) -> list[dict[str, Any]]:
    """Validation lines of the training log: share of the time box and accuracies."""
    rows = []
    for share, words in re.findall(r"validation at ([\d.]+)%: (.+)", log.read_text()):
        found = re.findall(r"(\S+) ([\d.]+)%", words)
        rows.append({"share": float(share) / 100, **{name: round(float(v) / 100, 4) for name, v in found}})
    return rows


def ceiling(accuracy: np.ndarray, images: int, seed: int) -> dict[str, float]:
    """What binomial noise alone does: its standard error and the rank correlation of two such measurements."""
    rng = np.random.default_rng(seed)
    error = np.sqrt(accuracy * (1 - accuracy) / images)
    # The spread of the truth is that of the table less the noise; a truth of this spread is measured afresh.
    shrink = np.sqrt(max(0.0, 1 - (error**2).mean() / accuracy.var()))
    truth = accuracy.mean() + shrink * (accuracy - accuracy.mean())
    rho = [spearmanr(truth, rng.binomial(images, truth) / images)[0] for _ in range(20)]
    return {"standard_error": float(error.mean()), "spearman": float(np.mean(rho))}


def by(accuracy: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """Count, mean and range of a part of the table."""
    a = accuracy[chosen]
    return {"pairs": len(a), "mean": float(a.mean()), "min": float(a.min()), "max": float(a.max())} if len(a) else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=82.0)
    parser.add_argument("--points", type=int, default=2400)
    parser.add_argument("--folder", type=Path, default=Path("runs/supernet"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--summary", action="store_true")
    args = parser.parse_args()
    if not args.summary:
        options = {"minutes": args.minutes, "points": args.points, "folder": args.folder, "seed": args.seed}
        flags = [str(x) for k, v in options.items() for x in (f"--{k}", v)]
        subprocess.run([sys.executable, "-m", "cofront.task.pipeline", *flags], check=True)
    table = pq.read_table(default_weights().with_name("subgraph32_cifar10.parquet"))
    points = np.stack([table[n].to_numpy() for n in subnet.NAMES], axis=1).astype(int)
    accuracy, images = table["val_accuracy"].to_numpy(), int(table["n_val"][0].as_py())
    macs = np.array([subnet.decode(p).macs() for p in points])
    active = [[b.slot for b in subnet.decode(p).blocks] for p in points]
    bits = [set(p[16:][a]) for p, a in zip(points, active, strict=True)]
    kinds = [{subnet.OPS[o][0] for o in p[7:16][a]} for p, a in zip(points, active, strict=True)]
    names = {frozenset({i}): f"W{w}A{a}" for i, (w, a) in enumerate(subnet.PRECISIONS)}
    labels = np.array([names.get(frozenset(b), "mixed") for b in bits])
    operators = np.array(["mixed" if len(k) > 1 else next(iter(k)) for k in kinds])
    result = {
        "command": command(),
        "seed": args.seed,
        "versions": versions(),
        "made_by": json.loads(table.schema.metadata[b"cofront"]),
        "validation_during_training": progress(args.folder / "log.txt"),
        "pairs": len(accuracy),
        "networks": len(np.unique(points[:, :16], axis=0)),
        "macs": {"min": int(macs.min()), "median": float(np.median(macs)), "max": int(macs.max())},
        "accuracy_quantiles": {q: float(np.quantile(accuracy, q / 100)) for q in (0, 5, 50, 95, 100)},
        "by_precision": {k: by(accuracy, labels == k) for k in sorted(set(labels))},
        "by_operator": {k: by(accuracy, operators == k) for k in sorted(set(operators))},
        "spearman_of_macs_alone": float(spearmanr(macs, accuracy)[0]),
        "noise": ceiling(accuracy, images, args.seed),
    }
    write(Path(__file__).with_suffix(".json"), result)
    print(json.dumps({k: v for k, v in result.items() if k not in ("made_by", "versions")}, indent=1))


if __name__ == "__main__":
    main()
