"""EH-DNAS's reduced search on CIFAR-10: what its throughput gains and costs, against the same search at rate 0.

    python benchmarks/eh_dnas_cifar10.py [--seeds 3] [--rates 0,0.1,0.3,1] [--warm 2] [--epochs 1] [--folder FOLDER]
    python benchmarks/eh_dnas_cifar10.py speed         processor seconds of one step, plain and stacked
    python benchmarks/eh_dnas_cifar10.py claims        prints the table that was written

darts@channels=8,cells=5,side=16 on the generic accelerator of zu9eg. A search has 10,000 training images, half for the
weights and half for the architecture, scaled to 16 x 16. The weights alone are trained first, once for all rates of a
seed; then both. Every derived network is trained alike, from the start, on 20,000 training images; the rate is chosen
on validation images, and only when all runs are there are the networks of rate 0 and of that rate tested. Threads: one.
Writes eh_dnas_cifar10.json beside this file after every run; the same command leaves out runs that are in it and goes
on from the checkpoints in FOLDER.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import made, read, say, write

from cofront.device import load as load_device
from cofront.search.gradient.cells import CellSupernet
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.objective import Weighted
from cofront.search.gradient.recipe import Progress, Recipe
from cofront.search.gradient.relax import Relaxed
from cofront.search.gradient.stacked import Kernels, StackedCells
from cofront.search.gradient.supernet import SupernetTask
from cofront.search.gradient.throughput import Embedded, Fit, ThroughputCost, fit_throughput
from cofront.space.darts import Darts, decode
from cofront.systems import eh_dnas
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.systems.eh_dnas_images import cells_task, kernels
from cofront.task.data import Dataset, cache_dir, load_dataset
from cofront.task.scratch import Schedule, ScratchTraining, accuracy_of
from cofront.task.speed import input_dtype, speed_up
from cofront.task.train import prepare_cpu

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
OUT = Path(__file__).with_suffix(".json")
DEVICE = "zu9eg"
PARADIGM: eh_dnas.Paradigm = "generic"
SPACE, WHOLE = Darts(channels=8, cells=5, side=16), Darts(channels=8, cells=5)
RATES = "0,0.1,0.3,1"
SEARCHED, TRAINED, TRAINING_EPOCHS = 10_000, 20_000, 2
#: The architecture's rate times its steps, as published: 3e-4 by 25 epochs of 390 steps.
TRAVEL = eh_dnas.PAPER.arch_rate * eh_dnas.PAPER.epochs * eh_dnas.PAPER_BATCHES


def recipe_of(warm: int, epochs: int, seed: int) -> Recipe:
    """The published one in fewer steps, the architecture's rate higher by as much; `warm` epochs before are ours."""
    steps = epochs * (SEARCHED // 2 // 64)
    return replace(eh_dnas.PAPER, epochs=warm + epochs, freeze=warm, arch_rate=TRAVEL / steps, seed=seed)


def search_of(
    args: argparse.Namespace, task: SupernetTask, cost: ThroughputCost, rate: float, seed: int
) -> GradientSearch:
    """A search that has gone on to its checkpoint, or to the end of the epochs that all rates of its seed share."""
    recipe = recipe_of(args.warm, args.epochs, seed)
    file = args.folder / f"search_{seed}_{rate:g}.safetensors"
    objective = Weighted(rate, unit_s=1.0 / cost.mean)
    if file.exists():
        search = GradientSearch(task, cost, objective, recipe, file, tell)
        search.resume()
        return search
    search = GradientSearch(
        task, cost, Weighted(0.0, unit_s=1.0 / cost.mean), recipe, args.folder / f"warm_{seed}.safetensors", tell
    )
    search.resume()
    search.run(args.warm * task.batches("weights") + args.warm * task.batches("architecture"))
    search.objective, search.file = objective, file
    return search


def tell(p: Progress) -> None:
    say(f"  epoch {p.epoch}: loss {p.loss:.3f}, {1 / p.expected_s:.0f} images/s expected, {1 / p.likely_s:.0f} of the "
        f"cells so far, entropy {p.entropy:.3f}")  # fmt: skip


def parts(data: Dataset) -> tuple[tuple[Any, Any], tuple[Any, Any], Dataset]:
    """Images of the weights, of the architecture, and of the training of what was found."""
    order = np.random.default_rng(0).permutation(len(data.x_train))
    a, b = np.split(order[:SEARCHED], 2)
    c = order[:TRAINED]
    x, y = data.x_train, data.y_train
    return (x[a], y[a]), (x[b], y[b]), replace(data, x_train=x[c], y_train=y[c])


def learn(layers: eh_dnas.CellLayers, labeller: eh_dnas.Labeller, file: Path) -> tuple[ThroughputCost, dict[str, Any]]:
    """The learnt throughput, and what it is worth on cells that it has not seen; kept in `file`."""
    if file.exists():
        kept = torch.load(file, weights_only=True)
        net = Embedded(layers.shape, eh_dnas.TUNED.dropout).double().eval().requires_grad_(False)
        net.load_state_dict(kept["net"])
        return ThroughputCost(layers, net, kept["mean"], kept["std"], kept["seen"], PARADIGM), kept["told"]
    started = time.process_time()
    labels = eh_dnas.label(labeller, PARADIGM, load_device(DEVICE))
    cost, _ = fit_throughput(layers, labels.train, labels.valid, PARADIGM, training=eh_dnas.TUNED)
    fit = Fit.of(cost.predict(labels.test[0]), labels.test[1])
    say(f"learnt throughput: {fit}")
    y = labels.images_per_s
    told = {
        "mean": float(y.mean()), "std": float(y.std()), "held_out": asdict(fit), "labels": len(y),
        "cpu_s": time.process_time() - started,
    }  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {"net": cost.net.state_dict(), "mean": cost.mean, "std": cost.std, "seen": cost.seen, "told": told}
    torch.save(kept, file)
    return cost, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("run", "speed", "claims"), default="run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", default=RATES, help="of them 0 and the chosen one are tested when all are there")
    parser.add_argument("--warm", type=int, default=2, help="epochs of the weights alone")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of both")
    parser.add_argument("--folder", type=Path, default=cache_dir() / "eh_dnas_cifar10")
    args = parser.parse_args()
    if args.what == "claims":
        print(claims_table([Claim(**c) for c in read(OUT)["claims"]]))
    elif args.what == "speed":
        prepare_cpu(1)
        found = {"made": made("torch"), **speed()}
        write(OUT, {**read(OUT), "speed": found})
        print(json.dumps(found, indent=1))
    else:
        run(args)


def run(args: argparse.Namespace) -> None:
    prepare_cpu(1)
    layers, labeller = eh_dnas.CellLayers.of_choices(SPACE), eh_dnas.Labeller.of(SPACE)
    weights, architecture, data = parts(load_dataset(DATA))
    cost, learnt = learn(layers, labeller, args.folder / "learnt.pt")
    settings = {"warm": args.warm, "epochs": args.epochs, "training_epochs": TRAINING_EPOCHS}
    before = read(OUT)
    kept = before.get("runs", []) if before.get("settings") == settings else []
    found = {
        **before, **made("numpy", "torch"), "settings": settings, "space": SPACE.name, "device": DEVICE,
        "learnt": learnt, "recipe": recipe_of(args.warm, args.epochs, 0).to_dict(), "runs": kept,
    }  # fmt: skip
    rates = [float(r) for r in args.rates.split(",")]
    for seed, rate in itertools.product(range(args.seeds), rates):
        if any((r["seed"], r["rate"]) == (seed, rate) for r in kept):
            continue
        kept.append(one(args, cost, labeller, layers, (weights, architecture, data), rate, seed))
        write(OUT, {**found, "claims": claims_json(claims(kept, learnt))})
    if all(len([r for r in kept if r["rate"] == rate]) >= args.seeds for rate in rates):
        found["chosen"] = chosen(kept, rates)
        test(args, kept, data, found["chosen"])
        write(OUT, {**found, "claims": claims_json(claims(kept, learnt))})
    print(claims_table(claims(kept, learnt)))


def speed(steps: int = 3) -> dict[str, Any]:
    """Processor seconds of a step (forward and backward, 64 images) of the supernet, the least of some."""
    out: dict[str, Any] = {"batch": 64, "steps": steps}
    for space in (SPACE,):
        layers = eh_dnas.CellLayers.of_choices(space)
        g = torch.Generator().manual_seed(0)
        x, y = torch.randn((64, 3, space.side, space.side), generator=g), torch.randint(0, 10, (64,), generator=g)

        def make(which: str, space: Darts = space, layers: eh_dnas.CellLayers = layers) -> tuple[torch.nn.Module, Any]:
            net = CellSupernet(space, layers)
            if which == "plain":
                return net, torch.float32
            if which == "plain, fast layers":
                return speed_up(net), input_dtype()
            how = Kernels() if which == "stacked" else kernels()
            return StackedCells(net, how), how.dtype

        for which in ("plain", "plain, fast layers", "stacked", "stacked, fast layers"):
            net, dtype = make(which)
            images, least = x.to(dtype).contiguous(memory_format=torch.channels_last), float("inf")
            for _ in range(steps):
                weights = torch.full(layers.shape, 1 / 8, dtype=torch.float64, requires_grad=True)
                started = time.process_time()
                loss = torch.nn.functional.cross_entropy(net(images, Relaxed(weights, weights)).float(), y)
                loss.backward()  # type: ignore[no-untyped-call]
                least = min(least, time.process_time() - started)
            out[f"{space.name}: {which}"] = least
            say(f"{space.name}: {which} {least:.2f} s")
    return out


def one(
    args: argparse.Namespace, cost: ThroughputCost, labeller: eh_dnas.Labeller, layers: eh_dnas.CellLayers,
    images: tuple[tuple[Any, Any], tuple[Any, Any], Dataset], rate: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """One search, and the training of what it derived."""
    started = time.perf_counter()
    task = cells_task(SPACE, layers, images[0], images[1], seed=seed)
    learned = search_of(args, task, cost, rate, seed).run()
    searched = time.perf_counter() - started
    code = SPACE.canonical(learned.choice)
    device, genotype = load_device(DEVICE), decode(code[0])
    training = train(args, code, images[2], seed)
    out = {
        "seed": seed, "rate": rate, "code": code[0].tolist(), "genotype": asdict(genotype),
        "images_per_s": float(labeller.images_per_s(code, PARADIGM, device)[0]),
        "images_per_s_of_32": float(eh_dnas.Labeller.of(WHOLE).images_per_s(code, PARADIGM, device)[0]),
        "predicted": float(cost.predict(code)[0]),
        "macs": int(labeller.counts(code)[0] @ np.array([w.macs for w in labeller.works])),
        "search_loss": [h.loss for h in learned.history if h.loss == h.loss], "entropy": learned.history[-1].entropy,
        "search_cpu_s": learned.cpu_s, "search_wall_s": searched,
        "validation": training.history[-1].accuracy, "training_loss": training.history[-1].loss,
        "training_wall_s": training.seconds,
    }  # fmt: skip
    say(f"seed {seed}, rate {rate:g}: {out['images_per_s']:.0f} images/s, {out['macs'] / 1e6:.2f} MMACs, validation "
        f"{100 * training.history[-1].accuracy:.2f} %; {searched:.0f} s, {training.seconds:.0f} s")  # fmt: skip
    return out


def train(args: argparse.Namespace, code: Any, data: Dataset, seed: int) -> ScratchTraining:
    """The network of a code, trained from the start; a code that was trained with this seed is not trained again."""
    name = "".join(str(d) for d in np.ravel(code))
    schedule = Schedule(epochs=TRAINING_EPOCHS, seed=seed)
    training = ScratchTraining(SPACE.network(code), data, schedule, args.folder / f"train_{seed}_{name}.safetensors")
    training.resume()
    training.run(lambda e: say(f"  training, epoch {e.epoch}: loss {e.loss:.3f}, validation {100 * e.accuracy:.2f} %"))
    return training


def mean(rows: list[dict[str, Any]], rate: float, key: str) -> float:
    return float(np.mean([r[key] for r in rows if r["rate"] == rate]))


def chosen(rows: list[dict[str, Any]], rates: list[float]) -> float | None:
    """The rate of most throughput among those whose mean validation accuracy is within a point of rate 0's."""
    least = mean(rows, 0.0, "validation") - 0.01
    good = [r for r in rates if r and mean(rows, r, "validation") >= least]
    return max(good, key=lambda r: mean(rows, r, "images_per_s"), default=None)


def test(args: argparse.Namespace, rows: list[dict[str, Any]], data: Dataset, best: float | None) -> None:
    """Accuracy on test images of the networks of rate 0 and of the chosen rate."""
    for r in rows:
        if r["rate"] in (0.0, best) and "test" not in r:
            net = train(args, np.array(r["code"]), data, r["seed"]).net
            r["test"] = accuracy_of(net, data.x_test, data.y_test)


def claims(rows: list[dict[str, Any]], learnt: dict[str, Any]) -> list[Claim]:
    rates = sorted({x["rate"] for x in rows})
    base = mean(rows, 0.0, "images_per_s")
    fit = learnt["held_out"]
    out = [
        Claim("learnt throughput of the reduced cells, held-out codes", "-",
              f"{100 * fit['relative']:.2f} % off, Spearman {fit['spearman']:.4f}; labels {learnt['mean']:.0f} +- "
              f"{learnt['std']:.0f} images/s", "-", "ours", f"{fit['n']:,} codes; required 5 %, .95"),
    ]  # fmt: skip
    said = "; ".join(
        f"rate {r:g} {mean(rows, r, 'images_per_s'):.0f} images/s ({mean(rows, r, 'images_per_s') / base:.2f}x), "
        f"validation {100 * mean(rows, r, 'validation'):.2f} %"
        for r in rates
    )
    out.append(
        Claim("reduced search on CIFAR-10: throughput of the derived cells, accuracy after equal short training",
              "1.4x, accuracy kept", said, "EHDNAS21, abstract", "sourced",
              f"seeds: {', '.join(str(sum(x['rate'] == r for x in rows)) for r in rates)}; required 1.3x, one point")
    )  # fmt: skip
    tested = [x for x in rows if "test" in x]
    if rate := max((x["rate"] for x in tested), default=0.0):
        fast, slow = ([x for x in tested if x["rate"] == r] for r in (rate, 0.0))
        gain = mean(fast, rate, "images_per_s") / mean(slow, 0.0, "images_per_s")
        lost = 100 * (mean(slow, 0.0, "test") - mean(fast, rate, "test"))
        out.append(
            Claim("the rate chosen on validation, on test images", "1.4x, accuracy kept",
                  f"rate {rate:g}: {gain:.2f}x, {lost:+.2f} points lost ({100 * mean(slow, 0.0, 'test'):.2f} % at rate "
                  "0); by seed "
                  + ", ".join(f"{a['images_per_s'] / b['images_per_s']:.2f}x {100 * (b['test'] - a['test']):+.2f}"
                              for a, b in zip(fast, slow, strict=True)),
                  "EHDNAS21, abstract", "sourced", "required 1.3x within a point")
        )  # fmt: skip
    return out


if __name__ == "__main__":
    main()
