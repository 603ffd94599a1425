"""The differentiable systems, random search and exact search on one space and one device.

    python benchmarks/differentiable.py [--seeds 3] [--only fbnet,nasa] [--jobs 1]
    python benchmarks/differentiable.py --one fbnet/0       one part, here
    python benchmarks/differentiable.py claims              prints the tables

Space: `fbnet@cifar10-small`, eight layers of FBNet's nine units (NASA's space of convolutions alone is the same nine).
Device: the subgraph accelerator that is fastest for a middle network on zu3eg: latencies add up, so that there is a
certified optimum. Each search has the same 8,000 images (half for the weights, half for the architecture) and about the
same budget: 320,000 to 360,000 images through a path of the supernet, forward and backward. What runs all nine units of
a layer sees each image a ninth as often as what runs a single one. Rates of the architecture are ours, chosen before.
NASA is its search alone (two paths): convolutions need no progressive pretraining.

The judge is no supernet: 48 random networks were trained from the start for one epoch each, and an additive model of
their validation accuracies, with its rank correlation on networks left out, has a certified front. `exact` is that
front's network at a target (its regret is 0 by construction), `random` the best of the 48 within it: one search each,
trained with every seed, at the cost of the 48 trainings, which is several times that of a search.

Three latency targets: quantiles of random networks. LightNAS runs once for each. The others know no target: polish
brings them to each (ours: exact search over the probabilities that they learnt, and over the losses of single exchanges
around what that finds); the raw network's latency is told, and what polish costs is not in the search's cost. The
network of LightNAS is polished only where it is above its target. Networks for the middle target are trained from the
start alike (all training images, the same schedule and seed) and tested once.

FBNet has a mini-run, too: the same search without its latency (beta 0) and at a third of the published beta, and the
raw networks of all, trained alike: what the latency in the loss gains, and what it costs.

Every part runs in a process of its own, on one thread; parts that are in the JSON are left out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import fcntl
import itertools
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
from cofront.search.gradient.polish import polish
from cofront.search.gradient.recipe import Learned, Recipe
from cofront.systems import presets
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.systems.judging import Judged, fit_judge
from cofront.systems.learnt import LearntThroughput
from cofront.systems.supernets import layers_of, make_task, supernet
from cofront.task.data import cache_dir, load_dataset
from cofront.task.scratch import Schedule, ScratchTraining, accuracy_of

OUT = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
SPACE, DEVICE = "fbnet@cifar10-small", "zu3eg"
SYSTEMS = ("fbnet", "eh-dnas", "nasa", "light-nas")
METHODS = ("random", "exact", *SYSTEMS)
#: FBNet whose latency weighs nothing, and less.
FREE, MILD = "fbnet-free", "fbnet-mild"
BETAS = {FREE: 0.0, MILD: 0.2}
IMAGES, BATCH = 8000, 64
#: Epochs that make the budget, of them with the architecture frozen; the architecture's rate: fewer steps, longer ones.
EPOCHS = {"fbnet": (5, 1, 0.03), "eh-dnas": (5, 0, 0.03), "nasa": (22, 0, 0.01), "light-nas": (38, 2, 0.01)}
MULTIPLIER_RATE = 0.01
QUANTILES = (0.25, 0.5, 0.75)
#: Networks of the middle target are trained, for so many epochs.
MIDDLE, TRAINING = 1, Schedule(epochs=3)
JUDGED = 48
FOLDER = cache_dir() / "differentiable"
COMMAND = "python benchmarks/differentiable.py --seeds 3 --jobs 2"  # each part is a process of it


class Scene:
    """Space, device, images of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.data = seed, load_dataset(DATA)
        self.space = spaces.load(SPACE)
        layers, self.layered = layers_of(self.space)
        self.cost = priced(self.space, layers, self.layered, DEVICE, None, None).cost
        self.layers = self.cost.layers
        drawn = self.cost.of(self.layers.sample(np.random.default_rng(0), 20000))
        self.targets = [float(np.quantile(drawn, q)) for q in QUANTILES]

    def task(self, smoothing: float = 0.0) -> Any:
        preset = replace(
            presets.SYSTEMS["fbnet"].small, images=IMAGES, weights=0.5, batch=BATCH, smoothing=smoothing
        )  # fmt: skip
        net = supernet(self.space, self.layers, self.layered, self.seed)
        return make_task(self.space, self.layers, net, self.data, preset, self.seed)

    def recipe(self, name: str) -> Recipe:
        epochs, freeze, rate = EPOCHS[name]
        recipe = replace(presets.SYSTEMS[name].small.recipe, seed=self.seed, freeze=freeze, arch_rate=rate)
        return recipe.shortened(epochs)


def search(scene: Scene, name: str, target: float | None, tag: str) -> tuple[Any, Learned]:
    """One search of a system: its task and what was learnt."""
    beta = BETAS.get(name)
    name = "fbnet" if beta is not None else name
    known = presets.SYSTEMS[name]
    task = scene.task(known.small.smoothing)
    cost = LearntThroughput(scene.layers, scene.cost, scene.seed) if name == "eh-dnas" else scene.cost
    weight = beta if beta is not None else MULTIPLIER_RATE if name == "light-nas" else known.weight
    system = known.make(task, cost, scene.recipe(name), target, weight, True)
    search = system.search(FOLDER / f"{tag}.safetensors", lambda p: print(tag, p.epoch, p.loss, p.likely_s, flush=True))
    return task, search.run()


def run_system(name: str, seed: int, which: int | None = None) -> dict[str, Any]:
    """`which` of the targets, for the system that has one."""
    scene = Scene(seed)
    target = None if which is None else scene.targets[which]
    task, learned = search(scene, name, target, f"{name}-{seed}-{which}")
    own = polish(task, scene.cost, learned, rounds=1)
    networks = []
    for t in scene.targets if target is None else [target]:
        hit = target is not None and learned.latency_s <= t
        choice = learned.choice if hit else polish(task, scene.cost, learned, t, rounds=1).choice
        networks.append({"target_s": t, "options": choice.tolist(), "latency_s": float(scene.cost.of(choice)[0])})
    return {
        "target_s": target, "likely_s": learned.latency_s, "likely": learned.choice.tolist(), "loss": learned.loss,
        "accuracy": task.judge(learned.choice)[1], "polished_loss": own.loss, "polished_by": own.by,
        "entropy": learned.history[-1].entropy, "steps": learned.steps, "cpu_s": learned.cpu_s, "networks": networks,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "notes": list(learned.notes),
    }  # fmt: skip


def run_judged(number: int) -> dict[str, Any]:
    """One of the networks that the judge is made of."""
    scene = Scene(0)
    choice = scene.layers.sample(np.random.default_rng(7), JUDGED)[number]
    network = scene.space.network(scene.layers.points(choice)[0])
    training = ScratchTraining(network, scene.data, replace(TRAINING, epochs=1))
    before = time.process_time()
    training.run()
    print("judge", number, training.history[-1], flush=True)
    return {
        "options": choice.tolist(), "latency_s": float(scene.cost.of(choice)[0]), "macs": network.macs,
        "validation": training.history[-1].accuracy, "cpu_s": time.process_time() - before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
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
    elif name == "judge":
        found = run_judged(int(rest))
    else:
        seed, _, which = rest.partition("/")
        found = run_system(name, int(seed), int(which) if which else None)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:  # other parts may end at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = read(OUT)
        parts = {**kept.get("parts", {}), part: found}
        write(OUT, {**kept, **made("numpy", "torch"), "command": COMMAND, "parts": parts})


def part_of_training(options: list[int], seed: int) -> str:
    return f"train/{'-'.join(map(str, options))}/{seed}"


def mini_run(parts: dict[str, Any], name: str, seeds: int) -> list[tuple[dict[str, Any], dict[str, Any], str, str]]:
    """Of each seed that has both: FBNet's search with its latency and without, and what trains their raw networks."""
    found = []
    for seed in range(seeds):
        pair = [parts.get(f"{n}/{seed}") for n in (name, FREE)]
        if pair[0] is not None and pair[1] is not None:
            a, b = (part_of_training(p["likely"], seed) for p in pair if p is not None)
            found.append((pair[0], pair[1], a, b))
    return found


def mini_run_claim(parts: dict[str, Any], name: str, seeds: int) -> list[Claim]:
    pairs = mini_run(parts, name, seeds)
    whole = [(a, b, parts[x], parts[y]) for a, b, x, y in pairs if x in parts and y in parts]
    if not whole:
        return []
    faster = [100 * (1 - a["likely_s"] / b["likely_s"]) for a, b, _, _ in whole]
    lost = [100 * (y["test"] - x["test"]) for _, _, x, y in whole]
    said = (
        f"{_spread(faster, 1)} % lower latency, {_spread(lost)} points of test accuracy lost; by seed "
        + ", ".join(f"{1e6 * b['likely_s']:.1f} to {1e6 * a['likely_s']:.1f} us, {100 * y['test']:.2f} to "
                    f"{100 * x['test']:.2f} %" for a, b, x, y in whole)
    )  # fmt: skip
    note = f"{len(whole)} seeds; required 20 % at 2 points"
    what = f"FBNet's mini-run: beta {BETAS.get(name, 0.6):g} against 0, raw networks"
    return [Claim(what, "-", said, "-", "ours", note)]


def judge_of(parts: dict[str, Any]) -> tuple[Judged, Scene] | None:
    """The additive model and its certified front; None until all its networks are trained."""
    found = [parts[f"judge/{i}"] for i in range(JUDGED) if f"judge/{i}" in parts]
    if len(found) < JUDGED:
        return None
    scene = Scene(0)
    choices, accuracy = np.array([f["options"] for f in found]), np.array([f["validation"] for f in found])
    return fit_judge(scene.layers, scene.cost, choices, accuracy), scene


def by_judge(judged: Judged, scene: Scene) -> dict[str, list[dict[str, Any]]]:
    """What random and exact search find for the targets."""
    out: dict[str, list[dict[str, Any]]] = {"random": [], "exact": []}
    seconds = scene.cost.of(judged.choices)
    for t in scene.targets:
        within = np.flatnonzero(seconds <= t)
        best = judged.choices[within[int(judged.accuracy[within].argmax())]]
        assert judged.front is not None
        for name, choice in (("random", best), ("exact", judged.front.within(t).choice)):
            out[name].append({"target_s": t, "options": choice.tolist(), "latency_s": float(scene.cost.of(choice)[0])})
    return out


def wanted_trainings(parts: dict[str, Any], seed: int) -> list[str]:
    """One for each network at the middle target."""
    known = judge_of(parts)
    shared = {} if known is None else by_judge(*known)
    found = [at_target(parts, shared, name, seed, MIDDLE) for name in METHODS]
    names = [part_of_training(network["options"], seed) for network in found if network is not None]
    return list(dict.fromkeys(names))


def at_target(
    parts: dict[str, Any], shared: dict[str, list[dict[str, Any]]], name: str, seed: int, i: int
) -> dict[str, Any] | None:
    """A method's network for target `i`."""
    if name in ("random", "exact"):
        return shared[name][i] if shared else None
    found = parts.get(f"{name}/{seed}/{i}" if name == "light-nas" else f"{name}/{seed}")
    return None if found is None else found["networks"][0 if name == "light-nas" else i]


def runs_of(parts: dict[str, Any], name: str, seeds: int) -> list[dict[str, Any]]:
    """The searches of a method."""
    if name in ("random", "exact"):
        judged = [parts[f"judge/{i}"] for i in range(JUDGED) if f"judge/{i}" in parts]
        return [{"cpu_s": sum(j["cpu_s"] for j in judged), "peak_mib": max(j["peak_mib"] for j in judged)}]
    ends = [""] if name != "light-nas" else [f"/{i}" for i in range(len(QUANTILES))]
    keys = [f"{name}/{seed}{end}" for seed in range(seeds) for end in ends]
    return [parts[k] for k in keys if k in parts]


def tables(parts: dict[str, Any], seeds: int) -> tuple[list[dict[str, Any]], list[Claim]]:
    """What every method did, over seeds."""
    known = judge_of(parts)
    if known is None:
        return [], []
    judged, scene = known
    shared, rows = by_judge(judged, scene), []
    claims = [
        Claim("judge", "-", f"rank correlation {judged.spearman:.2f} on networks left out; accuracies "
              f"{100 * judged.accuracy.min():.1f} to {100 * judged.accuracy.max():.1f} %", "-", "ours",
              f"additive model of {JUDGED} networks trained for an epoch"),
    ]  # fmt: skip
    for name in METHODS:
        regrets: list[list[float]] = [[] for _ in QUANTILES]
        tests: list[float] = []
        runs = runs_of(parts, name, seeds)
        for seed, i in itertools.product(range(seeds), range(len(QUANTILES))):
            network = at_target(parts, shared, name, seed, i)
            if network is None:
                continue
            regrets[i].append(100 * judged.regret(np.array(network["options"]), network["target_s"]))
            key = part_of_training(network["options"], seed)
            tests += [100 * parts[key]["test"]] if i == MIDDLE and key in parts else []
        row: dict[str, Any] = {
            "method": name, "test": tests, "regrets": regrets, "cpu_s": [r["cpu_s"] for r in runs],
            "peak_mib": [r["peak_mib"] for r in runs],
            "error": [100 * (r["likely_s"] / r["target_s"] - 1) for r in runs if r.get("target_s")],
            "polish": [r["loss"] - r["polished_loss"] for r in runs if "loss" in r],
        }  # fmt: skip
        rows.append(row)
        if not runs:
            continue
        said = [
            f"test {_spread(tests)} %" if tests else "not trained",
            "regret at the three targets " + ", ".join(_spread(r) for r in regrets) + " points",
            f"search {_spread(row['cpu_s'], 0)} s of processor, peak {_spread(row['peak_mib'], 0)} MiB",
        ]
        if row["error"]:
            worst = max(row["error"], key=abs)
            said.append(f"most likely network off the target by {_spread(row['error'], 1)} %, worst {worst:+.1f}")
        elif name in SYSTEMS:
            said.append(
                f"no target can be named: the raw network takes {_spread([1e6 * r['likely_s'] for r in runs], 1)} us"
            )
        if row["polish"]:
            said.append(f"polish lowers its loss by {_spread(row['polish'], 3)}, least {min(row['polish']):.3f}")
        claims.append(Claim(name, "-", "; ".join(said), "-", "ours", f"{len(tests)} seeds trained"))
    return rows, [*claims, *(c for name in ("fbnet", MILD) for c in mini_run_claim(parts, name, seeds))]


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
    only = args.only.split(",") if args.only else ["judge", *SYSTEMS, "train", FREE]

    def spawn(part: str) -> None:
        if part not in read(OUT).get("parts", {}):
            subprocess.run([sys.executable, __file__, "--one", part], check=True)

    if args.what == "all":
        # seed after seed, so that what is there is whole; what nothing waits for comes last
        with ThreadPoolExecutor(args.jobs) as pool:
            if "judge" in only:
                list(pool.map(spawn, [f"judge/{i}" for i in range(JUDGED)]))
            for seed in range(args.seeds):
                names = [f"{n}/{seed}" for n in ("fbnet", "nasa", "eh-dnas") if n in only]
                names += [f"light-nas/{seed}/{MIDDLE}"] if "light-nas" in only else []
                list(pool.map(spawn, names))
                if "train" in only:
                    list(pool.map(spawn, wanted_trainings(read(OUT).get("parts", {}), seed)))
            outer = [f"light-nas/{s}/{i}" for s in range(args.seeds) for i in range(len(QUANTILES)) if i != MIDDLE]
            list(pool.map(spawn, outer if "light-nas" in only else []))
            if FREE in only:
                list(pool.map(spawn, [f"{name}/{seed}" for seed in range(args.seeds) for name in BETAS]))
                kept = read(OUT).get("parts", {})
                pairs = [pair for name in ("fbnet", MILD) for pair in mini_run(kept, name, args.seeds)]
                list(pool.map(spawn, dict.fromkeys(key for pair in pairs for key in pair[2:])))
    kept = read(OUT)
    rows, claims = tables(kept.get("parts", {}), args.seeds)
    write(OUT, {**kept, "rows": rows, "claims": claims_json(claims)})
    print(claims_table(claims))


if __name__ == "__main__":
    main()
