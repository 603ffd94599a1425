"""Designs fine-tuned with their quantisers and turned into integers: test accuracy of both, beside what was predicted.

    python benchmarks/cifar10_finetune.py --minutes 20                        # the largest network at W8A8
    python benchmarks/cifar10_finetune.py --designs designs.json --minutes 15  # [{"name", "point", "predicted"}, ...]
    python benchmarks/cifar10_finetune.py --from CHECKPOINT --minutes 70       # trains its result further

With --from, a design begins with the weights of a checkpoint of this benchmark instead of the supernet's, mixes images
(CutMix) and averages the last weights; what was done to those weights before is in the result. --all-images, for a last
training after everything was chosen, learns from the validation images, too: there is no validation accuracy then.

Resumable design by design and within a design; results are added to cifar10_finetune.json beside this file. The test
images are looked at only after training; nothing was chosen by them.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import command, read, write

from cofront.errors import InputError
from cofront.study.provenance import versions
from cofront.task import QuantizedNetwork, evaluate_points, load_dataset, load_supernet, subnet
from cofront.task.data import Dataset
from cofront.task.finetune import compare, finetune

RESULT = Path(__file__).with_suffix(".json")


def designs(path: Path | None) -> list[dict[str, Any]]:
    if path is None:
        return [{"name": "largest-W8A8", "point": subnet.largest().tolist()}]
    try:
        rows = json.loads(path.read_text())
        return [{**r, "point": subnet.as_point(r["point"]).tolist(), "name": str(r["name"])} for r in rows]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path}: expected a JSON list of objects with name and point: {e}") from None


def trained_as(row: dict[str, Any], point: list[int], minutes: float, seed: int, everything: bool) -> bool:
    """Whether a result is of this training."""
    same = (row["point"], row["minutes"], row["training"]["recipe"]["seed"]) == (point, minutes, seed)
    return same and row.get("all_images", False) == everything


def with_validation(data: Dataset) -> Dataset:
    """The validation images among those to learn from."""
    images = np.concatenate([data.x_train, data.x_val])
    return replace(data, x_train=images, y_train=np.concatenate([data.y_train, data.y_val]))


def earlier(checkpoint: Path) -> dict[str, Any]:
    """What had been done to the weights of a checkpoint."""
    meta = load_supernet(checkpoint)[1]
    hours = round(meta["state"]["elapsed"] / 3600, 3)
    return {"recipe": meta["recipe"], "hours": hours, "epochs": meta["state"]["epoch"], "before": meta["history"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", type=Path, dest="start")
    parser.add_argument("--all-images", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/finetune"))
    args = parser.parse_args()
    done: dict[str, Any] = read(RESULT).get("designs", {})
    data = load_dataset()
    for d in designs(args.designs):
        name, point = d["name"], d["point"]
        if name in done and trained_as(done[name], point, args.minutes, args.seed, args.all_images):
            continue
        label = name + (f"-seed{args.seed}" if args.seed else "") + ("-further" if args.start else "")
        label += "-all" if args.all_images else ""
        start, folder = time.perf_counter(), args.folder / label
        before = float(evaluate_points([point], load_supernet()[0], data)[0])
        images = with_validation(data) if args.all_images else data
        trained = finetune(
            point, args.minutes, args.seed, images, folder, args.start, threads=args.threads, further=bool(args.start)
        )
        val = None if args.all_images else compare(trained.net, point, data, "val")[0]
        test, integers = compare(trained.net, point, data, "test")
        integers.save(folder / "integers.safetensors")
        again = QuantizedNetwork.load(folder / "integers.safetensors").run(data.x_test[:100])
        assert (again == integers.run(data.x_test[:100])).all()
        done[name] = {
            "point": point,
            "macs": subnet.decode(point).macs(),
            "minutes": args.minutes,
            "predicted_supernet_val": d.get("predicted"),
            "supernet_val": before,
            "val": val,
            "all_images": args.all_images,
            "test": test,
            "integer_minus_pytorch_points": round(100 * (test["integer"] - test["pytorch"]), 3),
            "training": trained.meta,
            **({"begun_with": earlier(args.start)} if args.start else {}),
            "wall_minutes": round((time.perf_counter() - start) / 60, 2),
        }
        record = {
            "command": command(),
            "seed": args.seed,
            "versions": versions(),
            "test_images": len(data.y_test),
            "designs": done,
        }
        write(RESULT, record)
        print(json.dumps({name: done[name]}, indent=1), flush=True)


if __name__ == "__main__":
    main()
