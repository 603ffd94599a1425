"""Mixed bits against uniform bits at the same latency, and policies of one device on another.

    python benchmarks/mixed_bits.py [--seeds 3] [--images 10000]

Network: the widest of subgraph32 with full convolutions of half expansion, folded, with the weights that ship. A seed
draws the 256 training images that calibrate and say what bits hurt (divergence of the outputs, one layer at a time).
Devices: bit-serial (bismo-edge, 2 to 8 bits of each layer), and zu3eg, where the bits of each block and the accelerator
are found together; there the uniform network has its own best accelerator. The allocation is the exact one at the
uniform network's latency. First and last layer have 8 bits everywhere. Both networks are tested as rounded to nearest,
and refined alike ("moments" on the calibration images); nothing is chosen by accuracies.

Specialisation: for each of three devices the fastest policy (exact) whose expected rise is at most that of uniform 5
bits, so that each is the fastest on its own by construction; what is measured is how much longer it takes on another
device than that one's own, and every policy's accuracy.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import made, read, say, write

from cofront.api.budgets import Budget
from cofront.api.parts import load_device
from cofront.api.quantise.choosing import Point, on_layers
from cofront.api.quantise.costs import BitCosts, bit_costs
from cofront.api.quantise.parts import on_part
from cofront.network.blocks import label_blocks
from cofront.search.allocation import Problem, allocate
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.task.data import Dataset, load_dataset
from cofront.task.folded import folded
from cofront.task.quantise.curvature import LossTables
from cofront.task.quantise.inputs import PIXELS, pixels_of
from cofront.task.quantise.measured import measured_tables
from cofront.task.quantise.observe import observe, watched
from cofront.task.quantise.refine import refine
from cofront.task.quantise.simulate import QuantModule
from cofront.task.sensitivity import widest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data")) / "cifar10"
OUT = Path(__file__).with_suffix(".json")
WIDTHS = (2, 3, 4, 5, 6, 7, 8)
CALIBRATION = 256
DEVICES = ("bismo-edge", "bismo-cloud", "bitfusion")
REFINEMENTS = ("nearest", "moments")


class Scene:
    """The network, calibrated on a seed's images."""

    def __init__(self, data: Dataset, seed: int) -> None:
        self.data = data
        network, self.weights = folded(widest(4), data.x_train)
        self.network = label_blocks(network)
        order = np.random.default_rng(seed).permutation(len(data.x_train))[:CALIBRATION]
        self.images = data.x_train[order]
        self.module = QuantModule(self.network, self.weights, observe(self.network, self.weights, self.images))
        with torch.inference_mode():
            real = watched(self.network, self.weights)
            self.target = real((pixels_of(self.images, self.network) - PIXELS.zero) * PIXELS.scale).flatten(1)
        self.wide = (self.network.layers[0].name, self.network.layers[-1].name)

    def tables(self) -> LossTables:
        return measured_tables(
            self.module, self.images, target=self.target, weight_bits=WIDTHS, act_bits=WIDTHS,
            fixed_reads=self.wide[:1],
        )  # fmt: skip

    def test(self, point: Point, images: int, refined: bool = True) -> float:
        setting = self.module.set_bits(dict(point.bits))
        if refined:
            self.module.use(refine(setting, self.network, self.weights, self.images, "moments"))
        return self.module.accuracy(self.data.x_test[:images], self.data.y_test[:images])


def against_uniform(scene: Scene, tables: LossTables, images: int) -> list[dict[str, Any]]:
    rows = []
    costs = bit_costs(scene.network, "bismo-edge", WIDTHS, WIDTHS, dict.fromkeys(scene.wide, (8, 8)))
    for name in ("W4A4", "W3A3"):
        uniform = on_layers(costs, tables, (Budget("latency", share=1.0),), "exact", 0).uniform[name]
        chosen = on_layers(costs, tables, (Budget("latency", limit=uniform.costs["latency"]),), "exact", 0).point
        rows.append(_row(scene, "bismo-edge", name, uniform, chosen, images))
    blocks = {n.block or "" for n in scene.network.layers if n.name in scene.wide}
    part = load_device("zu3eg")
    how: dict[str, Any] = {"wide": tuple(blocks), "clock_hz": None}
    whole = on_part(scene.network, part, tables, (Budget("latency", share=1.0),), **how)
    for name in ("W4A8", "W4A4"):
        limit = whole.uniform[name].costs["latency"]
        within = [p for p in whole.front if p.costs["latency"] <= limit * (1 + 1e-9)]
        best = min(within, key=lambda p: p.rise)
        rows.append(_row(scene, "zu3eg", name, whole.uniform[name], best, images))
    return rows


def _row(scene: Scene, device: str, name: str, uniform: Point, mixed: Point | None, images: int) -> dict[str, Any]:
    assert mixed is not None
    tests = {how: [scene.test(p, images, how == "moments") for p in (uniform, mixed)] for how in REFINEMENTS}
    say(f"{device} at {name}: {tests}")
    return {
        "device": device, "uniform": name, "latency_s": uniform.costs["latency"], "mixed_s": mixed.costs["latency"],
        "rise": uniform.rise, "mixed_rise": mixed.rise, "tests": tests, "images": images,
        "bits": [list(b) for b in mixed.bits.values()],
    }  # fmt: skip


def specialised(scene: Scene, tables: LossTables, images: int) -> dict[str, Any]:
    """Latency (policies, devices) and test accuracy of each policy."""
    costs = {d: bit_costs(scene.network, d, WIDTHS, WIDTHS, dict.fromkeys(scene.wide, (8, 8))) for d in DEVICES}
    found: dict[str, Point] = {}
    for d, c in costs.items():
        rise = np.array([[tables.rise(n, *p) for p in c.pairs] for n in c.layers])
        five = np.where(c.allowed[:, c.pairs.index((5, 5))], c.pairs.index((5, 5)), c.pairs.index((8, 8)))
        limit = float(rise[np.arange(len(five)), five].sum())
        best = allocate(Problem(c.costs["latency"], {"rise": rise}, c.allowed), {"rise": limit})
        bits = {n: c.pairs[o] for n, o in zip(c.layers, best.choice, strict=True)}
        found[d] = Point(bits, {}, float(rise[np.arange(len(five)), best.array].sum()))
    latency = [[_latency(costs[d], p) for d in DEVICES] for p in found.values()]
    return {
        "devices": DEVICES, "latency_s": latency, "rise": [p.rise for p in found.values()],
        "test": [scene.test(p, images) for p in found.values()],
        "bits": {d: [list(b) for b in p.bits.values()] for d, p in found.items()},
    }  # fmt: skip


def _latency(costs: BitCosts, p: Point) -> float:
    return costs.of("latency", p.bits)


def _foreign(special: dict[str, Any]) -> str:
    """How much longer a policy takes on a device than that device's own."""
    t = np.array(special["latency_s"])
    ratio = (t / np.diag(t))[~np.eye(len(t), dtype=bool)]
    return f"{ratio.min():.2f} to {ratio.max():.2f} times the own policy's"


def claims(found: dict[str, Any]) -> list[Claim]:
    out = []
    rows = [r for s in found["seeds"] for r in s["uniform"]]
    for device, name in dict.fromkeys((r["device"], r["uniform"]) for r in rows):
        mine = [r for r in rows if (r["device"], r["uniform"]) == (device, name)]
        said = []
        for how in REFINEMENTS:
            pairs = [r["tests"][how] for r in mine]
            gain = 100 * np.mean([b - a for a, b in pairs])
            each = ", ".join(f"{100 * a:.2f} to {100 * b:.2f}" for a, b in pairs)
            said.append(f"{how} {gain:+.2f} points ({each})")
        ratio = np.mean([r["mixed_s"] / r["latency_s"] for r in mine])
        out.append(
            Claim(
                f"mixed bits at the latency of uniform {name} on {device}: test accuracy",
                "62.44 to 67.40 % (MobileNetV1, edge)", f"{'; '.join(said)}; latency {ratio:.3f} of uniform",
                "HAQ19, recalled", "recalled", f"{len(mine)} seeds; required +1 point at 4 bits",
            )
        )  # fmt: skip
    for s in found["seeds"]:
        special = s["specialised"]
        said = "; ".join(
            f"policy of {d}: " + ", ".join(f"{1e6 * t:.1f}" for t in row) + " us"
            for d, row in zip(special["devices"], special["latency_s"], strict=True)
        )
        note = f"seed {s['seed']}, tests " + ", ".join(f"{100 * t:.2f} %" for t in special["test"])
        out.append(
            Claim("policies on the devices of others, latencies", "1.03 to 1.33 times the own policy's (3 devices)",
                  f"{said}; {_foreign(special)}", "HAQ19, table", "sourced", note)
        )  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, kept = load_dataset(DATA), read(OUT).get("seeds", [])
    for seed in range(args.seeds):
        if any(s["seed"] == seed for s in kept):
            continue
        scene = Scene(data, seed)
        tables = scene.tables()
        kept.append({
            "seed": seed, "uniform": against_uniform(scene, tables, args.images),
            "specialised": specialised(scene, tables, args.images),
        })  # fmt: skip
        found = {**made("numpy", "torch", seeds=args.seeds), "seeds": kept}
        write(OUT, {**found, "claims": claims_json(claims(found))})
    print(claims_table(claims(read(OUT))))


if __name__ == "__main__":
    main()
