"""The table of measured accuracies: thousands of (sub-network, precision) pairs, resumable line by line.

Every result is one line of a JSONL file, appended when it is known; several workers append to the same file. Killing
them loses at most the pair at hand. `write_table` turns the lines into the Parquet file that the package ships.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.task import subnet
from cofront.task.release import digest, load_supernet

BINS = 24  # of log MACs
POOL = 40  # candidates for each point taken


def stratified(n: int, seed: int) -> npt.NDArray[np.int64]:
    """n distinct points (n, 25): the ends of the space, then evenly over MACs, resolution and kind of precision.

    45 % have one precision throughout, equally often each; the order is random, so that any prefix is stratified too.
    """
    rng = np.random.default_rng(seed)
    fixed = [make(p) for p in range(3) for make in (subnet.largest, subnet.middle, subnet.smallest)]
    pool = [
        subnet.sample(rng) if rng.random() < 0.6 else subnet.as_point(rng.integers(0, subnet.SIZES))
        for _ in range(POOL * n)
    ]
    macs = np.log([subnet.decode(p).macs() for p in pool])
    edges = np.linspace(macs.min(), macs.max() + 1e-9, BINS + 1)
    cells: dict[tuple[int, int], list[subnet.Point]] = {}
    for p, m in zip(pool, macs, strict=True):
        cells.setdefault((int(np.searchsorted(edges, m, "right")), int(p[0])), []).append(p)
    chosen = {tuple(p.tolist()): p for p in fixed}
    queues = list(cells.values())
    while len(chosen) < n and queues:
        for q in queues:
            p = q.pop().copy()
            kind = rng.random()
            if kind < 0.45:
                p[16:] = int(kind / 0.15)
            else:
                p[16:] = rng.integers(0, 3, 9)
            p = subnet.as_point(p)
            chosen[tuple(p.tolist())] = p
        queues = [q for q in queues if q]
    points = np.stack(list(chosen.values())[:n])
    return np.concatenate([points[: len(fixed)], rng.permutation(points[len(fixed) :])])


def read_lines(path: Path, weights: str) -> dict[tuple[int, ...], dict[str, Any]]:
    """Results by point of a JSONL file that belong to these weights; a half-written last line is left out."""
    out: dict[tuple[int, ...], dict[str, Any]] = {}
    if not path.is_file():
        return out
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("weights") == weights[:16]:
            out[tuple(row["point"])] = row
    return out


def work(args: argparse.Namespace) -> None:
    """One worker: its share of the points, skipping those that are done."""
    import torch

    from cofront.task.data import load_dataset
    from cofront.task.evaluate import Evaluator
    from cofront.task.train import prepare_cpu

    prepare_cpu(1)
    torch.set_num_interop_threads(1)
    evaluator = Evaluator(load_supernet(args.weights)[0], load_dataset(args.data))
    key, until = digest(args.weights), time.monotonic() + 60 * args.minutes
    done = read_lines(args.lines, key)
    for i, p in enumerate(stratified(args.points, args.seed)):
        point = p.tolist()
        if i % args.workers != args.worker or tuple(point) in done:
            continue
        if time.monotonic() > until:
            break
        start = time.perf_counter()
        right = evaluator.right(evaluator.quantise(p))
        row = {"point": point, "right": right, "n": len(evaluator.y), "seconds": round(time.perf_counter() - start, 3)}
        with args.lines.open("a") as f:
            f.write(json.dumps(row | {"weights": key[:16]}) + "\n")


def measure(weights: Path, lines: Path, points: int, seed: int, minutes: float, workers: int, data: Path | None) -> int:
    """Run the workers until all points are measured or the time is up; returns how many are."""
    lines.parent.mkdir(parents=True, exist_ok=True)
    if lines.is_file() and (text := lines.read_bytes()) and not text.endswith(b"\n"):
        lines.write_bytes(text + b"\n")  # a killed worker's half line must not swallow the next one
    base = [sys.executable, "-m", "cofront.task.table", "work", "--weights", str(weights), "--lines", str(lines)]
    base += ["--points", str(points), "--seed", str(seed), "--minutes", str(minutes), "--workers", str(workers)]
    if data is not None:
        base += ["--data", str(data)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*base, "--worker", str(i)], env=env) for i in range(workers)]
    try:
        codes = [p.wait() for p in running]
    finally:
        for p in running:
            p.terminate()
    if any(codes):
        raise InputError(f"a worker ended with {codes}; the lines so far are in {lines}, the same command goes on")
    return len(read_lines(lines, digest(weights)))


def write_table(
    lines: Path, weights: Path, target: Path, command: str, seed: int, train: dict[str, Any]
) -> dict[str, Any]:
    """Parquet at `target` and a JSON beside it; returns what the JSON holds."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    import cofront
    from cofront.task.evaluate import CALIBRATION

    rows = list(read_lines(lines, digest(weights)).values())
    if not rows:
        raise InputError(f"{lines} holds no results for {weights}")
    points = subnet.as_points(r["point"] for r in rows)
    right, n = np.array([r["right"] for r in rows]), np.array([r["n"] for r in rows], np.int32)
    columns = {name: points[:, i].astype(np.int8) for i, name in enumerate(subnet.NAMES)}
    table = pa.table({**columns, "val_accuracy": right / n, "n_val": n})
    accuracy = right / n
    meta = {
        "what": "validation accuracy of subgraph32 sub-networks with the supernet's weights, batch norm and activation"
        f" scales re-estimated under the quantisers on {CALIBRATION} training images",
        "space": "subgraph32",
        "task": "cifar10",
        "command": command,
        "seed": seed,
        "pairs": len(rows),
        "accuracy": {"min": accuracy.min(), "median": float(np.median(accuracy)), "max": accuracy.max()},
        "training": train,
        "evaluation_hours": round(sum(r["seconds"] for r in rows) / 3600, 3),
        "weights_sha256": digest(weights),
        "versions": {
            "cofront": getattr(cofront, "__version__", "0"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    text = json.dumps(meta, indent=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    tmp = target.with_suffix(".tmp")
    pq.write_table(table.replace_schema_metadata({"cofront": text}), tmp, compression="zstd")
    tmp.replace(target)
    target.with_suffix(".json").write_text(text + "\n")
    return meta


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["work"])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--points", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--worker", type=int, default=0)
    work(parser.parse_args())


if __name__ == "__main__":
    main()
