"""Meta-training of HELP and its scores; the weights that ship with the package.

    python benchmarks/help.py train --space fbnet [--seed 3] [--minutes 20]     resumes where it was
    python benchmarks/help.py score --space fbnet [--draws 5]
    python benchmarks/help.py ship --space fbnet
    python benchmarks/help.py time --space fbnet         seconds of adapting to ten measurements; needs no tables
    python benchmarks/help.py pace --space fbnet [--episodes 60]    processor seconds of an episode of the training

One thread. Checkpoints lie under runs/help; `score` prints the paper's protocol (the ten reference networks measured as
well) and honest few-shot (ten measurements, nothing else) beside NNLS and transfer, and writes help.json; `ship` copies
the weights into the package. Devices that the tables at hand do not have are left out by name.
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
import pyarrow.csv as pc
import pyarrow.parquet as pq
import torch
from record import made, read, write
from scipy.stats import spearmanr

from cofront import space as spaces
from cofront.api.predicting import PAPER
from cofront.errors import UsageError
from cofront.hardware.tables import MeasuredTable, read_measured
from cofront.predict.base import one_hot
from cofront.predict.columns import latency_columns
from cofront.predict.devices import shipped
from cofront.predict.help import Help, MetaWeights, shipped_weights
from cofront.predict.help_net import Shape, adjacency_of, init_modulator, init_params
from cofront.predict.help_train import Devices, MetaRecipe, meta_train
from cofront.predict.latency_harness import Split, draw
from cofront.predict.nnls import Nnls
from cofront.predict.transfer import Transfer
from cofront.systems.claims import claims_json, claims_table
from cofront.systems.help import LIMITS, Chosen, HelpSearch, claims

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data"))
RUNS, OUT = ROOT / "runs" / "help", Path(__file__).with_suffix(".json")
#: file, key in the splits, episodes, one-hot columns of the operations, nodes of a graph
SPACES = {
    "nasbench201": ("nasbench201.parquet", "nb201", 2000, 30, 6),
    "fbnet": ("fbnet_space.parquet", "fbnet", 4000, 198, 0),
}
#: Episodes that the shipped weights were trained for.
SHIPPED = {"nasbench201": 2000, "fbnet": 3150}


def load(name: str) -> tuple[MeasuredTable, dict[str, list]]:  # type: ignore[type-arg]
    file, key, *_ = SPACES[name]
    split = json.loads((DATA / "help_splits.json").read_text())[key]
    columns = pq.read_schema(DATA / file).names
    wanted = [d for part in ("meta_train", "meta_valid", "meta_test") for d in split[part]]
    kept = [f"lat_ms_{d}" for d in wanted if f"lat_ms_{d}" in columns]
    print(f"{name}: not at hand: {', '.join(d for d in wanted if f'lat_ms_{d}' not in columns) or 'nothing'}")
    found = read_measured(DATA / file, spaces.load(name), kept)
    for part in ("meta_train", "meta_valid", "meta_test"):
        split[part] = [d for d in split[part] if f"lat_ms_{d}" in columns]
    return found, split


def checkpoint(name: str, seed: int) -> Path:
    return RUNS / f"{name}-{seed}.safetensors"


def materials(name: str) -> tuple[Devices, Shape, np.ndarray | None]:
    """What is learnt from, the predictor's shape, and a network's graph where it has one."""
    table, split = load(name)
    *_, columns, nodes = SPACES[name]
    devices = Devices(
        one_hot(table.space, table.points),
        {c.removeprefix("lat_ms_"): table.column(c) for c in table.values},
        split["meta_train"], split["meta_valid"], split["reference_idx"], np.arange(*split["help_pool"]),
    )  # fmt: skip
    return devices, Shape(columns, nodes), table.space.decision_graph() if nodes else None  # type: ignore[attr-defined]


def pace(name: str, seed: int, episodes: int) -> None:
    """The first `episodes` of a training, validation included, and what all episodes of the shipped one take so."""
    torch.set_num_threads(1)
    devices, shape, arcs = materials(name)
    used, begun = time.process_time(), time.perf_counter()
    meta_train(devices, shape, name, MetaRecipe(episodes=episodes, seed=seed), arcs=arcs)
    cpu, wall = time.process_time() - used, time.perf_counter() - begun
    found = {
        **made("numpy", "torch"), "episodes": episodes, "cpu_s": cpu, "wall_s": wall, "threads": 1,
        "shipped_episodes": SHIPPED[name], "shipped_cpu_minutes_estimated": cpu / episodes * SHIPPED[name] / 60,
    }  # fmt: skip
    print(name, found)
    write(OUT, {**read(OUT), "pace": {**read(OUT).get("pace", {}), name: found}})


def train(name: str, seed: int, minutes: float, episodes: int | None) -> None:
    torch.set_num_threads(1)
    devices, shape, arcs = materials(name)
    most = SPACES[name][2]
    end = time.monotonic() + 60 * minutes
    weights = meta_train(
        devices, shape, name, MetaRecipe(episodes=episodes or most, seed=seed), arcs=arcs,
        checkpoint=checkpoint(name, seed), until=lambda: time.monotonic() > end,
        on_progress=lambda e, loss, best: print(f"{name} {e:5d} loss {loss:.5f} best {best:.4f}", flush=True),
    )  # fmt: skip
    weights.save(RUNS / f"{name}-{seed}-weights.safetensors")
    print(weights.note)


def score(name: str, seed: int, draws: int) -> None:
    table, split = load(name)
    weights = MetaWeights.load(RUNS / f"{name}-{seed}-weights.safetensors")
    devices = shipped(name)
    devices = devices.select([d for d in PAPER[name] if d in devices.names])
    x = latency_columns(table.space, table.points)
    pool, test = np.arange(*split["help_pool"]), np.arange(*split["help_test"])
    makes = {"help": lambda: Help(weights, devices), "help, references measured": lambda: Help(weights),
             "transfer": lambda: Transfer(devices), "nnls": lambda: Nnls(devices)}  # fmt: skip
    ranks: dict[str, dict[str, float]] = {m: {} for m in makes}
    errors: dict[str, dict[str, float]] = {m: {} for m in makes}
    searches: dict[str, list[Chosen]] = {}
    for device in split["meta_test"] + split["meta_valid"]:
        y = table.column(f"lat_ms_{device}")
        references = y[split["reference_idx"]]
        for method, make in makes.items():
            found = []
            for number in range(draws):
                rows, rest = draw(Split(pool, test, trim=0.1).trimmed(y), 10, seed, number)
                model = make()
                measured = method.endswith("measured")
                if isinstance(model, Help):
                    model.fit(x[rows], y[rows], reference=references if measured else None)
                else:
                    model.fit(x[rows], y[rows])
                p = model.predict(x[rest])
                found.append((spearmanr(p.mean, y[rest]).statistic, np.mean(np.abs(p.mean / y[rest] - 1))))
                if method == "help, references measured" and number == 0 and device in LIMITS and name == "nasbench201":
                    searches[device] = constrained(model, x, y, device)
            ranks[method][device], errors[method][device] = (float(v) for v in np.mean(found, axis=0))
        print(device, {m: round(ranks[m][device], 3) for m in makes}, flush=True)
    means = {m: float(np.mean([ranks[m][d] for d in split["meta_test"]])) for m in makes}
    said = claims(name, ranks, searches)
    print(claims_table(said))
    print("mean over test devices at hand:", means)
    result = {
        "weights": weights.note, "draws": draws, "spearman": ranks, "mape": errors, "mean_test": means,
        "claims": claims_json(said),
    }  # fmt: skip
    write(OUT, {**read(OUT), **made("numpy", "scipy", "torch"), f"{name}/{seed}": result})


def constrained(model: Help, x: np.ndarray, y: np.ndarray, device: str) -> list[Chosen]:
    """The paper's limits on the MetaD2A ranking, with the adapted predictor."""
    read = pc.read_csv(DATA / "nb201_metad2a_candidates.csv.gz").to_pydict()
    rows = np.array(read["arch_index"])
    search = HelpSearch(x[rows], np.array(read["cifar100_acc"]) / 100, y[rows])
    return search.run(model, [1e-3 * limit for limit in LIMITS[device]])


def untrained(name: str) -> MetaWeights:
    """Weights as meta-training starts: adapting them takes as long as adapting trained ones."""
    space = spaces.load(name)
    _, _, _, columns, nodes = SPACES[name]
    shape, generator = Shape(columns, nodes), torch.Generator().manual_seed(0)
    params = init_params(shape, generator, torch.float64)
    rates = {k: torch.full_like(v, 1e-3) for k, v in params.items()}
    arcs = adjacency_of(torch.from_numpy(space.decision_graph())).double() if nodes else None  # type: ignore[attr-defined]
    references = one_hot(space, space.sample(np.random.default_rng(0), 10))
    return MetaWeights(name, shape, params, rates, init_modulator(generator, torch.float64), references, arcs)


def timed(name: str, repeats: int = 20) -> None:
    """Adapts to ten measurements again and again; the first time is the first of the process."""
    devices = shipped(name)
    space = spaces.load(devices.space)
    points = space.sample(np.random.default_rng(0), 10)
    x = latency_columns(space, points)
    y = devices.predict(one_hot(space, points))[:, 0]  # stands for measurements: the time does not depend on them
    try:
        weights, whose = shipped_weights(name), "those that ship"
    except UsageError:
        weights, whose = untrained(name), "untrained: none ship; the time does not depend on them"
    wall, cpu = [], []
    for _ in range(repeats + 1):
        begun, used = time.perf_counter(), time.process_time()
        Help(weights, devices).fit(x, y)
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    found = {
        **made("numpy", "scipy", "torch"), "weights": whose, "samples": len(y), "threads": torch.get_num_threads(),
        "repeats": repeats, "first_s": wall[0], "median_s": float(np.median(wall[1:])), "longest_s": max(wall[1:]),
        "median_cpu_s": float(np.median(cpu[1:])),
    }  # fmt: skip
    print(name, {k: round(v, 3) for k, v in found.items() if k.endswith("_s")})
    old = read(OUT)
    old.setdefault("adaptation", {})[name] = found
    write(OUT, old)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "score", "ship", "time", "pace"))
    parser.add_argument("--space", choices=tuple(SPACES), required=True)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--episodes", type=int)
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    if args.what == "train":
        train(args.space, args.seed, args.minutes, args.episodes)
    elif args.what == "score":
        score(args.space, args.seed, args.draws)
    elif args.what == "pace":
        pace(args.space, args.seed, args.episodes or 60)
    elif args.what == "time":
        torch.set_num_threads(1)
        timed(args.space)
    else:
        weights = MetaWeights.load(RUNS / f"{args.space}-{args.seed}-weights.safetensors")
        weights.save(ROOT / "src" / "cofront" / "data_tables" / f"help_{args.space}.safetensors")
        print(weights.note)


if __name__ == "__main__":
    main()
