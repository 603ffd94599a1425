"""The differentiable systems, random search and exact search on one space, one device, one training budget.

    python benchmarks/differentiable.py [--seeds 3] [--only fbnet,nasa] [--jobs 1]
    python benchmarks/differentiable.py --one fbnet/0       one part, here
    python benchmarks/differentiable.py claims              prints the tables

Space: `fbnet@cifar10-small`, eight layers of FBNet's nine units (NASA's space of convolutions alone is the same nine).
Device: the subgraph accelerator that is fastest for a middle network on zu3eg: latencies add up, so that there is a
certified optimum. Each search sees the same 10,000 images (half for the weights, half for the architecture) as often;
what paths it runs of them is its own affair, and its cost is told. Rates of the small presets, chosen before.

`uniform` is a supernet whose paths are drawn uniformly. Its accuracies of 160 random networks on validation images
give the additive model that all are judged by: the certified front of that model is the judge of regret. `random` is
the best of 64 random networks near the target by that supernet, `exact` the certified optimum of the model.

Three latency targets: quantiles of random networks. LightNAS runs once for each. The others know no target: exact
search over the probabilities that they learnt brings them to each (ours; the raw network's latency is told). Networks
for the middle target are trained from the start alike (all training images, the same schedule and seed) and tested
once.

Every part runs in a process of its own, on one thread; parts that are in the JSON are left out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import fcntl
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import made, read, write

from cofront import space as spaces
from cofront.api.differentiable import priced
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.polish import learned_front, polish
from cofront.search.gradient.recipe import Learned, Recipe
from cofront.search.gradient.relax import Temperature
from cofront.systems import differentiable as d
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.task.data import cache_dir, load_dataset
from cofront.task.scratch import Schedule, ScratchTraining, accuracy_of

OUT = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
SPACE, DEVICE = "fbnet@cifar10-small", "zu3eg"
SYSTEMS = ("fbnet", "eh-dnas", "nasa", "light-nas")
METHODS = ("random", "exact", *SYSTEMS)
IMAGES, EPOCHS, FREEZE, BATCH = 10000, 8, 1, 128
QUANTILES = (0.25, 0.5, 0.75)
#: Networks of the middle target are trained, for so many epochs.
MIDDLE, TRAINING = 1, Schedule(epochs=5)
RANDOM, JUDGED = 64, 160
FOLDER = cache_dir() / "differentiable"


class Scene:
    """Space, device, images of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.data = seed, load_dataset(DATA)
        self.space = spaces.load(SPACE)
        layers, self.layered = d.layers_of(self.space)
        self.cost = priced(self.space, layers, self.layered, DEVICE, None, None).cost
        self.layers = self.cost.layers
        drawn = self.cost.of(self.layers.sample(np.random.default_rng(0), 20000))
        self.targets = [float(np.quantile(drawn, q)) for q in QUANTILES]

    def task(self, smoothing: float = 0.0) -> Any:
        preset = replace(
            d.SYSTEMS["fbnet"].small, images=IMAGES, weights=0.5, batch=BATCH, smoothing=smoothing
        )  # fmt: skip
        net = d.supernet(self.space, self.layers, self.layered, self.seed)
        return d.make_task(self.space, self.layers, net, self.data, preset, self.seed)

    def recipe(self, name: str) -> Recipe:
        from cofront.api.run_budget import shortened

        recipe = replace(d.SYSTEMS[name].small.recipe, seed=self.seed)
        # LightNAS warms up all options of a layer in each step: fewer steps, as many paths as the others' epochs
        return shortened(recipe, EPOCHS + (FREEZE if name == "light-nas" else 0))


def search(scene: Scene, name: str, target: float | None, tag: str) -> tuple[Any, Learned]:
    """One search of a system: its task and what was learnt."""
    known = d.SYSTEMS[name]
    task = scene.task(known.small.smoothing)
    cost = d.LearntThroughput(scene.layers, scene.cost, scene.seed) if name == "eh-dnas" else scene.cost
    system = known.make(task, cost, scene.recipe(name), target, known.weight, True)
    search = system.search(FOLDER / f"{tag}.safetensors", lambda p: print(tag, p.epoch, p.loss, p.likely_s, flush=True))
    return task, search.run()


def run_system(name: str, seed: int) -> dict[str, Any]:
    scene, runs = Scene(seed), []
    wanted = scene.targets if name == "light-nas" else [None]
    for i, target in enumerate(wanted):
        before = time.process_time()
        task, learned = search(scene, name, target, f"{name}-{seed}-{i}")
        spent = time.process_time() - before
        better = polish(task, scene.cost, learned, rounds=1)
        accuracy = task.judge(learned.choice)[1]
        found = []
        for t in scene.targets if target is None else [target]:
            choice = learned.choice
            if target is None or learned.latency_s > t:
                choice = learned_front(scene.layers, scene.cost, learned.log_probabilities).within(t).choice
            found.append({"target_s": t, "options": choice.tolist(), "latency_s": float(scene.cost.of(choice)[0])})
        runs.append(
            {
                "target_s": target, "likely_s": learned.latency_s, "likely": learned.choice.tolist(),
                "loss": learned.loss, "accuracy": accuracy, "polished_loss": better.loss, "polished_by": better.by,
                "entropy": learned.history[-1].entropy, "steps": learned.steps, "cpu_s": spent, "networks": found,
                "notes": list(learned.notes),
            }
        )  # fmt: skip
    return {"runs": runs, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def run_uniform(seed: int) -> dict[str, Any]:
    """The supernet of uniform paths, the additive model of it, and what random and exact search make of them."""
    scene = Scene(seed)
    task = scene.task()
    recipe = Recipe(
        epochs=2 * EPOCHS, freeze=2 * EPOCHS - 1, relaxation="single-path", temperature=Temperature(1.0, 0.0),
        arch_rate=0.0, init_std=0.0, seed=seed,
    )  # fmt: skip
    before = time.process_time()
    GradientSearch(task, scene.cost, Weighted(0.0), recipe, FOLDER / f"uniform-{seed}.safetensors").run()
    trained = time.process_time() - before
    judged = d.judge(task, scene.cost, JUDGED, seed)
    exact_s = time.process_time() - before
    rng, exact, random = np.random.default_rng(seed + 100), [], []
    many = scene.layers.sample(rng, 200000)
    seconds = scene.cost.of(many)
    random_s = trained
    for target in scene.targets:
        choice = judged.front.within(target).choice
        exact.append({"target_s": target, "options": choice.tolist(), "latency_s": float(scene.cost.of(choice)[0])})
        started = time.process_time()
        near = many[(seconds <= target) & (seconds > 0.95 * target)][:RANDOM]
        best = near[int(np.argmax([task.judge(c)[1] for c in near]))]
        random_s += time.process_time() - started
        random.append({"target_s": target, "options": best.tolist(), "latency_s": float(scene.cost.of(best)[0])})
    return {
        "choices": judged.choices.tolist(), "accuracy": judged.accuracy.tolist(), "spearman": judged.spearman,
        "mean_accuracy": float(judged.accuracy.mean()), "targets_s": scene.targets, "bounds_s": scene.cost.bounds(),
        "random": {"networks": random, "cpu_s": random_s}, "exact": {"networks": exact, "cpu_s": exact_s},
        "front": len(judged.front), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def run_training(options: str, seed: int) -> dict[str, Any]:
    scene = Scene(seed)
    choice = np.array([int(o) for o in options.split("-")])
    network = scene.space.network(scene.layers.points(choice)[0])
    training = ScratchTraining(
        network, scene.data, replace(TRAINING, seed=seed), FOLDER / f"training-{options}-{seed}.safetensors"
    )
    training.resume()
    training.run(lambda log: print(options, seed, log, flush=True))
    return {
        "options": choice.tolist(), "seed": seed, "latency_s": float(scene.cost.of(choice)[0]), "macs": network.macs,
        "validation": training.history[-1].accuracy, "seconds": training.seconds,
        "test": accuracy_of(training.net, scene.data.x_test, scene.data.y_test),
    }  # fmt: skip


def one(part: str) -> None:
    """Runs a part and keeps what it found."""
    name, _, rest = part.partition("/")
    torch.set_num_threads(1)
    if name == "train":
        options, _, seed = rest.rpartition("/")
        found = run_training(options, int(seed))
    else:
        found = run_uniform(int(rest)) if name == "uniform" else run_system(name, int(rest))
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:  # other parts may end at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = read(OUT)
        write(OUT, {**kept, **made("numpy", "torch"), "parts": {**kept.get("parts", {}), part: found}})


def wanted_trainings(parts: dict[str, Any], seeds: int) -> list[str]:
    """One for each network at the middle target and seed."""
    out = []
    for seed in range(seeds):
        for name in METHODS:
            network = at_target(parts, name, seed, MIDDLE)
            if network is not None:
                out.append(f"train/{'-'.join(map(str, network['options']))}/{seed}")
    return list(dict.fromkeys(out))


def at_target(parts: dict[str, Any], name: str, seed: int, i: int) -> dict[str, Any] | None:
    """A method's network for target `i`."""
    if name in ("random", "exact"):
        found = parts.get(f"uniform/{seed}")
        return None if found is None else found[name]["networks"][i]
    found = parts.get(f"{name}/{seed}")
    if found is None:
        return None
    return found["runs"][i]["networks"][0] if name == "light-nas" else found["runs"][0]["networks"][i]


def tables(parts: dict[str, Any], seeds: int) -> tuple[list[dict[str, Any]], list[Claim]]:
    """What every method did, over seeds."""
    rows, claims = [], []
    judges = {s: _judge(parts[f"uniform/{s}"]) for s in range(seeds) if f"uniform/{s}" in parts}
    for name in METHODS:
        got: dict[str, list[float]] = {k: [] for k in ("test", "cpu_s", "peak_mib", "error", "polish", "regret")}
        regrets: list[list[float]] = [[], [], []]
        for seed, judged in judges.items():
            for i in range(len(QUANTILES)):
                network = at_target(parts, name, seed, i)
                if network is None:
                    continue
                regrets[i].append(100 * judged.regret(np.array(network["options"]), network["target_s"]))
                if i == MIDDLE:
                    key = f"train/{'-'.join(map(str, network['options']))}/{seed}"
                    got["test"] += [100 * parts[key]["test"]] if key in parts else []
            whole = parts.get(f"uniform/{seed}" if name in ("random", "exact") else f"{name}/{seed}")
            if whole is None:
                continue
            got["peak_mib"].append(whole["peak_mib"])
            if name in ("random", "exact"):
                got["cpu_s"].append(whole[name]["cpu_s"])
                continue
            got["cpu_s"].append(float(np.mean([r["cpu_s"] for r in whole["runs"]])))
            got["polish"] += [r["loss"] - r["polished_loss"] for r in whole["runs"]]
            got["error"] += [100 * abs(r["likely_s"] / r["target_s"] - 1) for r in whole["runs"] if r["target_s"]]
        rows.append({"method": name, **got, "regrets": regrets})
    for row in rows:
        spread = _spread(row["test"])
        said = [
            f"test {spread} %" if row["test"] else "not trained",
            "regret at the three targets " + ", ".join(_spread(r) for r in row["regrets"]) + " points",
            f"search {_spread(row['cpu_s'], 0)} s of one core, peak {_spread(row['peak_mib'], 0)} MiB",
        ]
        if row["error"]:
            said.append(f"target missed by {_spread(row['error'], 1)} % (worst {max(row['error']):.1f})")
        elif row["method"] in SYSTEMS:
            said.append("no target to be set: brought there by exact search over its probabilities")
        if row["polish"]:
            said.append(f"polish lowers its loss by {_spread(row['polish'], 3)}, worst {min(row['polish']):.3f}")
        claims.append(Claim(row["method"], "-", "; ".join(said), "-", "ours", f"{len(row['test'])} seeds"))
    return rows, claims


def _judge(found: dict[str, Any]) -> d.Judged:
    scene_layers, cost = _layers_and_cost()
    return d.fit_judge(scene_layers, cost, np.array(found["choices"]), np.array(found["accuracy"]))


def _layers_and_cost() -> tuple[Any, Any]:
    space = spaces.load(SPACE)
    layers, layered = d.layers_of(space)
    cost = priced(space, layers, layered, DEVICE, None, None).cost
    return cost.layers, cost


def _spread(values: list[float], digits: int = 2) -> str:
    if not values:
        return "-"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0.0:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=("all", "claims"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--one")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    if args.one:
        one(args.one)
        return
    only = args.only.split(",") if args.only else ["uniform", *SYSTEMS, "train"]

    def spawn(part: str) -> None:
        if part not in read(OUT).get("parts", {}):
            subprocess.run([sys.executable, __file__, "--one", part], check=True)

    if args.what == "all":
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(spawn, [f"{n}/{s}" for s in range(args.seeds) for n in ("uniform", *SYSTEMS) if n in only]))
            if "train" in only:
                list(pool.map(spawn, wanted_trainings(read(OUT).get("parts", {}), args.seeds)))
    kept = read(OUT)
    rows, claims = tables(kept.get("parts", {}), args.seeds)
    write(OUT, {**kept, "rows": rows, "claims": claims_json(claims)})
    print(claims_table(claims))


if __name__ == "__main__":
    main()
