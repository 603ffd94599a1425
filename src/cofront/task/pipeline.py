"""Supernet, table and weights of `subgraph32` in one command that can be killed and started again at any time."""

from __future__ import annotations

import argparse
from pathlib import Path

from cofront.task.data import load_dataset
from cofront.task.train import Recipe, Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=84.0, help="time box of the training")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--folder", type=Path, default=Path("runs/supernet"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    trainer = Trainer(load_dataset(args.data), Recipe(minutes=args.minutes, seed=args.seed), args.folder)
    if trainer.checkpoint.exists():
        trainer.load()
    trainer.run()


if __name__ == "__main__":
    main()
