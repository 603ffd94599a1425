"""Progressive pretraining against training everything from the start: NASA's supernet of four layers, in small.

    python benchmarks/nasa_progressive.py [--steps 500] [--seeds 3] [--images 4000]
    python benchmarks/nasa_progressive.py claims        prints the table that was written

CIFAR-10 at 16 x 16 pixels (means of 2 x 2); four layers of the 10 operators of `nasa@add_all` that have no 5 x 5
kernel, so that 10^4 networks share weights. Both ways have the same seeds, steps, rates and images; each supernet is
judged by the mean accuracy of the same random networks on images that none was trained on. Threads: one. Writes
nasa_progressive.json beside this file after every run, and leaves out runs that are in it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from record import made, read, write

from cofront.space.chain import places
from cofront.space.nasa import SKIP, UNITS, units_of
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.task.data import load_dataset
from cofront.task.hybrid_supernet import HybridSupernet
from cofront.task.progressive import JOINT, PROGRESSIVE, NotFinite, Pretraining, accuracies, pretrain

OUT = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
PLACES = places(((16, 2), (16, 1), (24, 2), (24, 1)), 8, 16)
OPERATORS = (*(u.name for u in units_of("add_all") if u.kernel == 3), SKIP)
WAYS = {"progressive": PROGRESSIVE, "joint": JOINT}
JUDGED, VALIDATION = 24, 500


def images(x: np.ndarray) -> torch.Tensor:
    """uint8 (n, 32, 32, 3) to (n, 3, 16, 16), zero at mid-grey."""
    halved = x.reshape(len(x), 16, 2, 16, 2, 3).mean((2, 4))
    return torch.from_numpy(((halved - 128) / 64).transpose(0, 3, 1, 2).astype(np.float32))


def kinds_alone(net: HybridSupernet, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Accuracy of the networks of one kind throughout, 3 x 3 kernels, expansion 6."""
    out = {}
    for kind in ("conv", "shift", "adder"):
        choice = np.full((1, len(PLACES)), OPERATORS.index(f"{kind}_k3_e6"))
        out[kind] = float(accuracies(net, x, y, choice)[0])
    return out


def one(way: str, seed: int, steps: int, data: tuple[torch.Tensor, ...]) -> dict[str, object]:
    x, y, x_judge, y_judge = data
    net = HybridSupernet(PLACES, [OPERATORS] * len(PLACES), (8, 64), 10, seed=seed)
    started = time.process_time()
    recipe = Pretraining(WAYS[way], steps=steps, batch=64, seed=seed)
    try:
        losses = pretrain(net, x, y, recipe)
    except NotFinite as error:
        return {"way": way, "seed": seed, "steps": steps, "images": len(x), "not_finite": str(error)}
    choices = np.random.default_rng(1000).integers(0, len(OPERATORS), (JUDGED, len(PLACES)))
    found = accuracies(net, x_judge, y_judge, choices)
    with_adders = [any("adder" in OPERATORS[o] for o in c) for c in choices]
    return {
        "way": way, "seed": seed, "steps": steps, "images": len(x), "accuracy": float(found.mean()),
        "with_adders": float(found[with_adders].mean()), "without_adders": float(found[~np.array(with_adders)].mean()),
        "kinds": kinds_alone(net, x_judge, y_judge), "last_loss": float(np.mean(losses[-50:])),
        "cpu_s": time.process_time() - started,
    }  # fmt: skip


def claims(runs: list[dict[str, object]]) -> list[Claim]:
    """One for each length of training."""
    lengths = dict.fromkeys((r["steps"], r["images"]) for r in runs)
    return [claim([r for r in runs if (r["steps"], r["images"]) == length]) for length in lengths]


def claim(runs: list[dict[str, object]]) -> Claim:
    of = {(str(r["way"]), int(r["seed"])): r for r in runs}  # type: ignore[call-overload]
    seeds = sorted({s for _, s in of if ("progressive", s) in of and ("joint", s) in of})
    bad = sum("not_finite" in r for r in runs)
    pairs = [(of["progressive", s], of["joint", s]) for s in seeds]
    pairs = [(a, b) for a, b in pairs if "accuracy" in a and "accuracy" in b]
    said = "; ".join(f"{100 * a['accuracy']:.1f} against {100 * b['accuracy']:.1f}" for a, b in pairs)  # type: ignore[operator]
    gain = np.mean([a["accuracy"] - b["accuracy"] for a, b in pairs]) if pairs else float("nan")  # type: ignore[operator]
    steps, count = runs[0]["steps"], runs[0]["images"]
    return Claim(
        f"progressive against joint pretraining, {steps} steps: mean accuracy of random networks, %",
        "joint training fails to converge or ends lower (motive of the method)",
        f"{said}: {100 * gain:+.1f} points; {bad} of {len(runs)} runs not finite",
        "NASA22", "recalled",
        f"4 layers of {len(OPERATORS)} operators, CIFAR-10 at 16 x 16, {count} images, batches of 64; "
        f"{JUDGED} networks on {VALIDATION} images; seeds {', '.join(map(str, seeds))}; required +1 point",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("run", "claims"), default="run")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=4000)
    a = parser.parse_args()
    if a.part == "claims":
        print(claims_table([Claim(**c) for c in json.loads(OUT.read_text())["claims"]]))
        return
    assert all(n == SKIP or n in UNITS for n in OPERATORS)
    torch.set_num_threads(1)
    dataset = load_dataset(DATA)
    data = (
        images(dataset.x_train[: a.images]), torch.from_numpy(dataset.y_train[: a.images]).long(),
        images(dataset.x_val[:VALIDATION]), torch.from_numpy(dataset.y_val[:VALIDATION]).long(),
    )  # fmt: skip
    runs: list[dict[str, object]] = read(OUT).get("runs", [])
    for seed in range(a.seeds):
        for way in WAYS:
            if any((r["way"], r["seed"], r["steps"], r["images"]) == (way, seed, a.steps, a.images) for r in runs):
                continue
            runs.append(one(way, seed, a.steps, data))
            print(runs[-1], flush=True)
            write(OUT, {**made("numpy", "torch"), "runs": runs, "claims": claims_json(claims(runs))})


if __name__ == "__main__":
    main()
