"""Supernet, weights and table of `subgraph32` in one command that can be killed and started again at any time.

Trains within a time box, writes the weights in float16, measures the table with exactly these weights, writes it as
Parquet. What is done is not done again: training continues from its checkpoint, the table from its last line.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from cofront.task.data import load_dataset
from cofront.task.release import NAME, default_weights, load_supernet, save_supernet
from cofront.task.table import measure, write_table
from cofront.task.train import Recipe, Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=84.0, help="time box of the training")
    parser.add_argument("--threads", type=int, default=2, help="of the training")
    parser.add_argument("--points", type=int, default=2400, help="pairs in the table")
    parser.add_argument("--table-minutes", type=float, default=1e6, help="time box of the table")
    parser.add_argument("--workers", type=int, default=2, help="processes that measure, one thread each")
    parser.add_argument("--data", type=Path, default=None, help="the data set; see cofront.task.readers")
    parser.add_argument("--folder", type=Path, default=Path("runs/supernet"), help="checkpoint, log, lines")
    parser.add_argument("--out", type=Path, default=default_weights().parent, help="where weights and table go")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    command = shlex.join(["python", "-m", "cofront.task.pipeline", *sys.argv[1:]])
    recipe = Recipe(minutes=args.minutes, seed=args.seed, threads=args.threads)
    trainer = Trainer(load_dataset(args.data), recipe, args.folder)
    if trainer.checkpoint.exists():
        trainer.load()
    if trainer.share < 1:
        trainer.run()
        if os.environ.pop("OMP_WAIT_POLICY", ""):  # idle threads that spin would take a core from the workers below
            os.execv(sys.executable, [sys.executable, "-m", "cofront.task.pipeline", *sys.argv[1:]])
    train = trainer.summary() | {"command": command}
    weights = args.out / NAME
    made = load_supernet(weights)[1] if weights.is_file() else {}
    if all(made.get(k) == train[k] for k in ("hours", "steps", "torch")):
        train = made  # the same weights: writing them anew would part them from the lines measured with them
    else:
        save_supernet(trainer.net, weights, train)
    lines = args.folder / "table.jsonl"
    count = measure(weights, lines, args.points, args.seed, args.table_minutes, args.workers, args.data)
    meta = write_table(lines, weights, args.out / "subgraph32_cifar10.parquet", train["command"], args.seed, train)
    trainer.log(f"table of {count} pairs, accuracy {meta['accuracy']}")


if __name__ == "__main__":
    main()
