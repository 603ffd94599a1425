"""HAQ [HAQ19] beside the exact allocation: digits, HAQ's own table, bit-serial engines, and how long a proof takes.

    python benchmarks/haq.py [--seeds 0,1,2,3,4] [--parts table,uniform,search,devices,speed] [--out haq.json]

`table`: the figures of HAQ's released table.
`uniform`: an MLP 64-128-32-16-10 on scikit-learn's digits (8 x 8), weights by k-means of 3 iterations, no fine-tuning:
the best of all 6^4 allocations of 1 to 6 bits on validation, against uniform bits of no less size; three networks.
`search`: the published agent, 300 episodes, on one such network per seed at the size of uniform 2 bits: which share of
that gain it recovers, beside random policies with the same wall. The optimum over all allocations is its bound.
`devices`: linear bits of weights and inputs at the least latency on each device for the same loss, and what that policy
costs on the others; on the digits network with measured losses, and on MobileNetV2 with a stand-in for losses (ours).
`speed`: the exact allocation with its proof on HAQ's table (53 x 64, stand-in losses) and at LANA's size (30 x 197).

Training, validation and test are 1,000, 398 and 399 images by seed. Test is looked at once, for what is reported.
Another part of the results stays as it was; seeds from 100 are for trying.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from record import made, read, say, write

from cofront.hardware.bit_serial import CHIP, EDGE, SPATIAL, TEMPORAL, Chip, edge, read_haq_table
from cofront.hardware.bit_serial.haq_table import read_policies
from cofront.network import Builder, Linear, Network
from cofront.network.zoo import load
from cofront.search.allocation import Problem, allocate, greedy
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.systems.haq import HaqSearch, budget_wall, claim_wall, random_policies
from cofront.task.quantise.kmeans import SEARCH_ITERATIONS, kmeans

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("COFRONT_DATA", HERE.parent.parent / "shared" / "data"))
BITS = tuple(range(1, 7))
EPISODES = 300
HIDDEN = (128, 32, 16)


class Digits:
    """One trained network and its quantised layers; accuracies by look-up of what was computed before."""

    def __init__(self, seed: int) -> None:
        from sklearn.datasets import load_digits
        from sklearn.neural_network import MLPClassifier

        images, self.labels = load_digits(return_X_y=True)
        self.images = images / 16.0
        order = np.random.default_rng(seed).permutation(len(images))
        self.rows = {"train": order[:1000], "val": order[1000:1398], "test": order[1398:]}
        net = MLPClassifier(HIDDEN, max_iter=200, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it may not have converged after 200 epochs: no matter
            net.fit(self.images[self.rows["train"]], self.labels[self.rows["train"]])
        self.weights, self.offsets = net.coefs_, net.intercepts_
        self.sizes = np.array([w.size for w in self.weights])
        rng = np.random.default_rng((seed, 7))
        self.clustered = [[kmeans(w, b, rng, SEARCH_ITERATIONS).values for b in BITS] for w in self.weights]
        self.seen: dict[tuple[Any, ...], float] = {}

    def forward(self, weights: list[np.ndarray], part: str, inputs: tuple[int, ...] = ()) -> np.ndarray:
        """Logits; `inputs` are the bits of each layer's input, 0 or none for floats."""
        x = self.images[self.rows[part]]
        for i, (w, b) in enumerate(zip(weights, self.offsets, strict=True)):
            if inputs and inputs[i]:
                step = self.ranges[i] / (2 ** inputs[i] - 1)
                x = np.clip(np.rint(x / step), 0, 2 ** inputs[i] - 1) * step
            x = x @ w + b
            if i < len(weights) - 1:
                x = np.maximum(x, 0)
        return x

    @property
    def ranges(self) -> list[float]:
        """The greatest input of each layer on training images."""
        if not hasattr(self, "_ranges"):
            x, out = self.images[self.rows["train"]], []
            for i, (w, b) in enumerate(zip(self.weights, self.offsets, strict=True)):
                out.append(float(x.max()))
                x = x @ w + b
                x = np.maximum(x, 0) if i < len(self.weights) - 1 else x
            self._ranges = out
        return self._ranges

    def right(self, logits: np.ndarray, part: str) -> float:
        return float((logits.argmax(axis=1) == self.labels[self.rows[part]]).mean())

    def loss(self, logits: np.ndarray, part: str) -> float:
        """Mean cross-entropy."""
        y = self.labels[self.rows[part]]
        top = logits.max(axis=1)
        return float((np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(y)), y]).mean())

    def accuracy(self, bits: tuple[int, ...], part: str = "val") -> float:
        """Of k-means bits of each layer."""
        key = (part, *bits)
        if key not in self.seen:
            weights = [c[b - 1] for c, b in zip(self.clustered, bits, strict=True)]
            self.seen[key] = self.right(self.forward(weights, part), part)
        return self.seen[key]

    def best(self, size: float) -> tuple[int, ...]:
        """The best on validation of all allocations of at most so many bits; of equals the smallest."""
        every = [b for b in itertools.product(BITS, repeat=len(self.sizes)) if np.dot(b, self.sizes) <= size]
        return max(every, key=lambda b: (self.accuracy(b), -np.dot(b, self.sizes)))

    def network(self) -> Network:
        """Its layers, for accelerators."""
        b = Builder("digits", (64,))
        for w in self.weights[:-1]:
            b.add(Linear(w.shape[1]))
            b.act("relu")
        b.add(Linear(self.weights[-1].shape[1]))
        return b.build()


def table(seeds: list[int]) -> dict[str, Any]:
    """HAQ's own table: uniform bits, the published policy, the wall from 8 bits, and 1,000 random policies a budget."""
    haq = read_haq_table(DATA / "haq_mobilenetv2_latency.npy")
    policy = read_policies(DATA / "haq_published_policies.json")["linear_mobilenetv2_ratio0.6"]
    start = np.full((53, 2), 8)
    start[0, 1] = -1
    rng, ends = np.random.default_rng(seeds[0]), (0, 52)

    def within(bits: np.ndarray, share: float) -> np.ndarray:
        return budget_wall(bits, lambda b: float(haq.cost(b)[0]), share * haq.base, 2, ends)

    beyond = {}
    for share in (0.6, 0.4, 0.2):
        drawn = rng.integers(2, 9, (1000, 53, 2))
        drawn[:, list(ends)] = start[list(ends)]
        done = [within(bits, share) for bits in drawn]
        over = [b for b in done if haq.cost(b)[0] > share * haq.base]
        beyond[share] = {
            "over_budget": len(over),
            "of_them_at_the_fewest": sum(bool((b[1:52] == 2).all()) for b in over),
        }
    return {
        "base": haq.base, "uniform": {b: haq.uniform(b) for b in range(1, 8)},
        "published": float(haq.ratio(policy)[0]), "published_as_8_bits": float(haq.ratio(policy, quirk=False)[0]),
        "wall": {share: float(haq.ratio(within(start, share))[0]) for share in (0.6, 0.4)},
        "random_policies": beyond,
    }  # fmt: skip


def claims(found: dict[str, Any]) -> list[Claim]:
    """The paper's statements beside what was measured here, as far as the parts have been run."""
    out = [
        Claim("MobileNetV2 at .6x latency, top-1", "71.23 % against 72.05 %", "not measured", "HAQ19 readme", "sourced",
              "needs ImageNet"),
        Claim("ResNet-50, 10 times smaller, top-1", "75.48 % against 76.15 %", "not measured", "HAQ19 readme",
              "sourced", "needs ImageNet"),
    ]  # fmt: skip
    if part := found.get("table"):
        out.append(Claim("published policy on the released table", ".6 asked for", f"{part['published']:.4f}", "HAQ19",
                         "derived", "an input at -1 bits looked up in the column of 7, as released"))  # fmt: skip
        out += claim_wall({float(k): v for k, v in part["wall"].items()})
    if part := found.get("devices"):
        rows = part["mobilenetv2 (stand-in losses)"]
        worst = [t for r in rows for n, of in r["times_worse_than_own"].items() for d, t in of.items() if d != n]
        own = all(all(r["own_is_best"].values()) for r in rows)
        out.append(Claim(
            "policies specialised to three devices", "each best on its own, others 1.03 to 1.33 times as slow",
            f"each best on its own: {own}, others {min(worst):.2f} to {max(worst):.2f} times as slow", "HAQ19 page",
            "sourced", "ours: four devices, exact policies, MobileNetV2 with stand-in losses",
        ))  # fmt: skip
    if part := found.get("uniform"):
        gains = [100 * (r["test_mixed"] - r["test_uniform"]) for r in part["2 bits"]]
        out.append(Claim(
            "mixed against uniform 2-bit weights, top-1", "V1 37.62 -> 57.14, V2 58.07 -> 66.75, R50 68.95 -> 70.63",
            ", ".join(f"+{g:.1f}" for g in gains) + " points on digits", "HAQ19", "recalled, medium",
            "ours: the best of all allocations, no fine-tuning",
        ))  # fmt: skip
    return out


@cache
def digits(seed: int) -> Digits:
    return Digits(seed)


def uniform(seeds: list[int]) -> dict[str, Any]:
    """Mixed against uniform bits, three networks."""
    out: dict[str, Any] = {}
    for bits in (2, 3):
        rows = []
        for seed in seeds[:3]:
            net = digits(seed)
            limit = bits * net.sizes.sum()
            mixed = net.best(limit)
            rows.append({
                "seed": seed, "mixed_bits": mixed, "size_share": float(np.dot(mixed, net.sizes) / limit),
                "val_uniform": net.accuracy((bits,) * 4), "val_mixed": net.accuracy(mixed),
                "test_uniform": net.accuracy((bits,) * 4, "test"), "test_mixed": net.accuracy(mixed, "test"),
                "test_float": net.right(net.forward(net.weights, "test"), "test"),
            })  # fmt: skip
            say(f"uniform {bits} bits, seed {seed}: {rows[-1]}")
        out[f"{bits} bits"] = rows
    return out


def additive(net: Digits, limit: float) -> dict[str, Any]:
    """The exact allocation of losses that each layer's bits cost by themselves, as measured on validation."""
    whole = net.loss(net.forward(net.weights, "val"), "val")
    loss = np.zeros((len(net.sizes), len(BITS)))
    for i, j in np.ndindex(*loss.shape):
        weights = list(net.weights)
        weights[i] = net.clustered[i][j]
        loss[i, j] = net.loss(net.forward(weights, "val"), "val") - whole
    problem = Problem(loss, {"bits": net.sizes[:, None] * np.array(BITS, float)})
    got = allocate(problem, {"bits": limit})
    chosen = tuple(BITS[o] for o in got.choice)
    return {"bits": chosen, "val": net.accuracy(chosen), "loss": got.loss, "bound": got.bound, "status": got.status}


def search(seeds: list[int]) -> dict[str, Any]:
    """The agent at the size of uniform 2 bits. The bound is the best of all allocations."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        net = digits(seed)
        limit = float(2 * net.sizes.sum())
        exact, flat = additive(net, limit), net.accuracy((2,) * len(net.sizes))
        best = net.best(limit)
        layers = np.array([[0, *w.shape, 0, 1, w.size, 1, i] for i, w in enumerate(net.weights)], float)
        haq = HaqSearch(
            layers, lambda b, n=net: float(b @ n.sizes), lambda b, n=net: n.accuracy(tuple(b.tolist())), limit,
            net.right(net.forward(net.weights, "val"), "val"), "kmeans", (1, 6), episodes=EPISODES, seed=seed,
        )  # fmt: skip
        started = time.perf_counter()
        found = haq.run()
        seconds = time.perf_counter() - started
        drawn = random_policies(haq, EPISODES, seed)
        bound = net.accuracy(best)
        gain = max(bound - flat, 1e-9)
        curve = {
            "agent": [net.accuracy(e.bits) for e in found.history],
            "random": [net.accuracy(e.bits) for e in drawn.history],
        }
        running = {k: np.maximum.accumulate(v) for k, v in curve.items()}
        rows.append({
            "seed": seed, "val_uniform": flat, "additive_exact": exact,
            "val_optimum_bound": bound, "optimum_bits": best,
            **{
                who: {
                    "bits": f.best.bits, "val": f.best.accuracy, "test": net.accuracy(tuple(f.best.bits), "test"),
                    "mean_best_so_far": float(running[who].mean()),
                    "mean_of_last_100": float(np.mean(curve[who][-100:])),
                    "episodes_to_80_percent": int(np.argmax(running[who] >= flat + 0.8 * gain)) + 1
                    if running[who][-1] >= flat + 0.8 * gain else None,
                }
                for who, f in (("agent", found), ("random", drawn))
            },
            "agent_seconds": seconds,
        })  # fmt: skip
        say(f"search seed {seed}: {rows[-1]}")
    return summary(rows)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Who found better allocations, by seeds, and which share of the gain that the optimum has."""
    for row in rows:
        gain = row["val_optimum_bound"] - row["val_uniform"]
        for who in ("agent", "random"):
            row[who]["recovered"] = (row[who]["val"] - row["val_uniform"]) / gain if gain > 0 else None
            row[who]["episodes_to_80_percent"] = row[who]["episodes_to_80_percent"] if gain > 0 else None

    def count(key: str) -> dict[str, int]:
        pairs = [(r["agent"][key], r["random"][key]) for r in rows]
        return {
            "agent_better": sum(a > b for a, b in pairs), "equal": sum(a == b for a, b in pairs),
            "random_better": sum(a < b for a, b in pairs),
        }  # fmt: skip

    return {
        "episodes": EPISODES, "rows": rows,
        "seeds_that_recover_80_percent": sum((r["agent"]["recovered"] or 0) >= 0.8 for r in rows),
        "best_found": count("val"), "mean_best_so_far": count("mean_best_so_far"),
        "mean_of_last_100": count("mean_of_last_100"),
    }  # fmt: skip


def rounded(w: np.ndarray, bits: int) -> np.ndarray:
    """Symmetric linear weights; one bit is the sign times the mean size."""
    if bits == 1:
        return np.sign(w) * np.abs(w).mean()
    step = np.abs(w).max() / (2 ** (bits - 1) - 1)
    return np.rint(w / step) * step


def specialised(loss: np.ndarray, tables: dict[str, np.ndarray], limit: float) -> dict[str, Any]:
    """For each device the policy of least latency whose loss is within the limit, and what it costs on all of them."""
    found = {}
    for name, table in tables.items():
        got = allocate(Problem(table / table.max(), {"loss": loss}), {"loss": limit})
        found[name] = got
    on = {
        name: {d: float(t[np.arange(len(t)), got.array].sum()) for d, t in tables.items()}
        for name, got in found.items()
    }
    return {
        "latency": on, "status": {n: g.status for n, g in found.items()},
        "own_is_best": {d: all(on[d][d] <= on[n][d] for n in tables) for d in tables},
        "times_worse_than_own": {n: {d: on[n][d] / on[d][d] for d in tables} for n in tables},
        "choices": {n: g.choice for n, g in found.items()},
    }  # fmt: skip


def tables_of(network: Network) -> dict[str, np.ndarray]:
    """(l, 64) by weight bits - 1 and input bits - 1: two plain tables and two engines."""
    w, a = np.arange(1, 9)[:, None] * np.ones(8), np.arange(1, 9) * np.ones((8, 1))
    size = np.array([np.prod(n.op.weight_shape(network.in_shapes(n))) for n in network.layers], float)
    area = np.array([np.prod(network.in_shapes(n)[0]) for n in network.layers], float)
    tables = {
        "weight-bound (bits of weights)": size[:, None, None] * w + 1e-3 * a,
        "activation-bound (bits of inputs)": area[:, None, None] * a + 1e-3 * w,
        "temporal, edge (s)": TEMPORAL.table(network, edge(), EDGE).latency_s,
        "spatial (s)": SPATIAL.table(network, Chip(), CHIP).latency_s,
    }
    return {k: v.reshape(len(v), 64) for k, v in tables.items()}


def devices(seeds: list[int]) -> dict[str, Any]:
    """Specialisation: the loss of uniform 4 bits at the least latency of each device."""
    out: dict[str, Any] = {"digits": [], "mobilenetv2 (stand-in losses)": []}
    for seed in seeds[:3]:
        net = digits(seed)
        whole = net.loss(net.forward(net.weights, "val"), "val")
        loss = np.zeros((4, 64))
        for i, o in np.ndindex(4, 64):
            w, a = divmod(o, 8)
            weights = list(net.weights)
            weights[i] = rounded(weights[i], w + 1)
            inputs = tuple(a + 1 if k == i else 0 for k in range(4))
            loss[i, o] = net.loss(net.forward(weights, "val", inputs), "val") - whole
        got = specialised(loss, tables_of(net.network()), float(loss[:, 3 * 8 + 3].sum()))
        got["test_accuracy"] = {}
        for name, choice in got["choices"].items():
            weights = [rounded(w, o // 8 + 1) for w, o in zip(net.weights, choice, strict=True)]
            logits = net.forward(weights, "test", tuple(o % 8 + 1 for o in choice))
            got["test_accuracy"][name] = net.right(logits, "test")
        out["digits"].append({"seed": seed, **got})
        say(f"devices, digits, seed {seed}: {got['times_worse_than_own']}, {got['test_accuracy']}")
        loss = stand_in(53, seed)
        got = specialised(loss, tables_of(load("mobilenetv2")), float(loss[:, 3 * 8 + 3].sum()))
        out["mobilenetv2 (stand-in losses)"].append({"seed": seed, **got})
        say(f"devices, mobilenetv2, seed {seed}: {got['times_worse_than_own']}")
    return out


def stand_in(layers: int, seed: int) -> np.ndarray:
    """(l, 64) losses that fall by a factor of 4 a bit, from log-normal sensitivities (sigma 1.5): ours."""
    rng = np.random.default_rng(seed)
    of_w, of_a = rng.lognormal(0, 1.5, (2, layers, 1, 1))
    bits = np.arange(1, 9)
    return (of_w * 4.0 ** -bits[:, None] + of_a * 4.0**-bits).reshape(layers, 64)


def speed(seeds: list[int]) -> dict[str, Any]:
    """Seconds of the allocation with its proof, on the clock and of the processor, and how much more greedy loses."""
    table = read_haq_table(DATA / "haq_mobilenetv2_latency.npy").cycles.reshape(53, 64).astype(float)
    out = {}
    for name in ("53 x 64, HAQ's table", "30 x 197, random"):
        times, busy, proven, worse = [], [], 0, []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            mobile = name.startswith("53")
            cost = table if mobile else rng.random((30, 197))
            problem = Problem(stand_in(53, seed) if mobile else rng.random((30, 197)), {"cost": cost})
            for share in (0.3, 0.4, 0.5, 0.6):
                limit = share * (table[:, 63].sum() if mobile else 0.5 * cost.mean(axis=1).sum())
                got = []
                for _ in range(3):
                    before = time.process_time()
                    got.append(allocate(problem, {"cost": limit}))
                    busy.append(time.process_time() - before)
                times += [g.solve_s for g in got]
                proven += got[0].status == "optimal"
                worse.append(greedy(problem, {"cost": limit}).loss / got[0].loss - 1)
        out[name] = {
            "problems": len(seeds) * 4, "proven": proven, "runs": len(times), "median_s": float(np.median(times)),
            "p90_s": float(np.quantile(times, 0.9)),
            "median_cpu_s": float(np.median(busy)), "max_cpu_s": float(max(busy)), "max_s": float(max(times)),
            "greedy_more_loss_median": float(np.median(worse)), "load_average": os.getloadavg()[0],
        }  # fmt: skip
        say(f"speed {name}: {out[name]}")
    return out


PARTS: dict[str, Callable[[list[int]], dict[str, Any]]] = {
    "table": table, "uniform": uniform, "search": search, "devices": devices, "speed": speed,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=HERE / "haq.json")
    given = parser.parse_args()
    seeds = [int(s) for s in given.seeds.split(",")]
    found = read(given.out)
    for part in given.parts.split(","):
        result = PARTS[part](seeds)
        if "best_found" in result:  # a row is a seed: those of other seeds stay
            kept = [r for r in found.get(part, {}).get("rows", []) if r["seed"] not in seeds]
            result = summary(sorted([*kept, *result["rows"]], key=lambda r: r["seed"]))
        how = made("numpy", "scipy", "scikit-learn", "torch", seeds=seeds)
        found[part] = {"made": how, **result}
        found["claims"] = claims_json(claims(found))
        write(given.out, found)
    print(claims_table(claims(found)))


if __name__ == "__main__":
    main()
