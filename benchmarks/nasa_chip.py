"""NASA's chip by the cost model: hybrid networks on three arrays beside their convolution twins on one.

    python benchmarks/nasa_chip.py edp [--networks 20] [--seed 0]
    python benchmarks/nasa_chip.py mapper [--layers 40]        layers of the spaces, the mapper against brute force
    python benchmarks/nasa_chip.py claims                      prints the table that was written

No training: energy and delay are the model's, from unit costs stated in hardware/nasa/units.toml. Writes nasa_chip.json
beside this file, part by part.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from collections import Counter
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
from record import made, read, write

from cofront.hardware.nasa import Chunk, Evaluation, Mapping, Silicon, Work, best_mapping, evaluate_network, load_units
from cofront.hardware.nasa.chunks import elements_um2
from cofront.hardware.nasa.mapping import DATAFLOWS, ORDERS, evaluate, fits
from cofront.hardware.nasa.work import layers_of
from cofront.space.nasa import Nasa
from cofront.systems import nasa
from cofront.systems.claims import Claim, claims_json, claims_table

OUT = Path(__file__).with_suffix(".json")
SPACES = ("add_shift", "add_add", "add_shift_add", "add_all")


def keep(part: str, found: dict[str, object], claims: list[Claim]) -> None:
    write(OUT, {**read(OUT), part: {**made("numpy"), "claims": claims_json(claims), **found}})


def run_edp(networks: int, seed: int) -> None:
    silicon, units = Silicon(), load_units()
    variants = {
        "stated units": units,
        "shifters as wide as the accumulator": replace(units, wide_shift=True),
        "elements without registers' area": replace(units, registers=False),
    }
    claims: list[Claim] = []
    rows: dict[str, object] = {}
    started = time.process_time()
    for which in SPACES:
        space = Nasa(which)
        points = space.sample(np.random.default_rng(seed), networks)
        for name, u in variants.items() if which == "add_all" else [("stated units", units)]:
            # the area of the chip follows from what an element holds: 256 multiplying elements
            chip = replace(silicon, elements_um2=elements_um2(256, "conv", u))
            found = nasa.versus(space, points, chip, u)
            label = which if name == "stated units" else f"{which}, {name}"
            rows[label] = [
                {
                    "pipelined": v.pipelined, "single": v.single, "energy": v.energy,
                    "operations_energy": v.operations_energy,
                    "hybrid": figures(v.hybrid), "convolutions": figures(v.convolutions),
                }
                for v in found
            ]  # fmt: skip
            claims += nasa.claim_edp(found, label, f"{networks} random networks, cost model, none trained")
            print(claims[-1].what, "|", claims[-1].ours, f"| {time.process_time() - started:.0f} s", flush=True)
            if name == "stated units":
                claims.append(fixed_dataflow(space, points[:3], found))
                print(claims[-1].what, "|", claims[-1].ours, flush=True)
    keep("edp", {"networks": networks, "seed": seed, "silicon": asdict(silicon), "rows": rows}, claims)


def figures(e: Evaluation) -> dict[str, object]:
    """What is kept of a network."""
    parts = {k: float(f"{v:.6g}") for k, v in e.energy_parts_j.items()}
    elements = [e.config.clp, e.config.slp, e.config.alp]
    return {"elements": elements, "latency_s": e.latency_s, "interval_s": e.interval_s, "energy_j": parts}


def fixed_dataflow(space: Nasa, points: np.ndarray, found: list[nasa.Versus]) -> Claim:
    """The mapper's choice against each dataflow everywhere, layer by layer."""
    worse, layers = 0, 0
    ratios: dict[str, list[float]] = {d: [] for d in DATAFLOWS}
    chosen: Counter[str] = Counter()
    for p, v in zip(points, found, strict=False):
        network = space.network(p)
        chosen.update(r.mapped.mapping.dataflow for r in v.hybrid.runs)
        for d in DATAFLOWS:
            fixed = evaluate_network(network, v.hybrid.config, v.hybrid.silicon, dataflows=(d,))
            pairs = list(zip(v.hybrid.runs, fixed.runs, strict=True))
            layers += len(pairs)
            worse += sum(a.mapped.edp > b.mapped.edp for a, b in pairs)
            ratios[d].append(v.hybrid.edp_single / fixed.edp_single)
    each = ", ".join(f"{d} {np.mean(r):.2f} (chosen by {chosen[d]} layers)" for d, r in ratios.items())
    return Claim(
        f"energy-delay product of mapped networks over one dataflow's: {space.which}", "-",
        f"{each}; a layer worse than with a fixed one: {worse} of {layers}",
        "-", "ours", f"{len(points)} networks, an image alone; every dataflow with its best tiles, orders and spreads",
    )  # fmt: skip


def brute_force(work: Work, chunk: Chunk) -> tuple[float, int]:
    """The least energy-delay product over every tile, order, dataflow and spread, one by one; and how many."""
    units, best, count = load_units(), float("inf"), 0
    for tile in product(*(range(1, n + 1) for n in (work.m, work.c, work.p))):
        if not fits(work, chunk, *tile):
            continue
        m, c, p = tile
        ends = {"WS": (m, c), "OS": (m, p * work.q), "IS": (c, p * work.q), "RS": (work.kernel[0], p, m)}
        for dataflow in DATAFLOWS:
            for spread in product(*(range(1, min(e, chunk.elements) + 1) for e in ends[dataflow])):
                if int(np.prod(spread)) <= chunk.elements:
                    for order in ORDERS:
                        best = min(best, evaluate(work, chunk, units, Mapping(dataflow, order, tile, spread)).edp)
                        count += 1
    return best, count


def run_mapper(layers: int, seed: int) -> None:
    """Layers of random networks, shrunk to a few channels and rows so that brute force ends."""
    rng, space = np.random.default_rng(seed), Nasa()
    works = [x.work for p in space.sample(rng, 4) for x in layers_of(space.network(p))]
    equal, checked, started = 0, 0, time.process_time()
    worst, mappings = 0.0, []
    while checked < layers and time.process_time() - started < 170:
        w = works[int(rng.integers(len(works)))]
        p = int(rng.integers(1, 4))
        small = replace(
            w, m=int(rng.integers(1, 5)), c=1 if w.depthwise else int(rng.integers(1, 5)), p=p,
            q=int(rng.integers(1, 4)), in_rows=p * w.stride, in_columns=3 * w.stride,
        )  # fmt: skip
        capacity = int(rng.choice([100, 200, 1000]))
        chunk = Chunk(
            w.kind, int(rng.integers(1, 7)), capacity, float(rng.choice([2.0, 8.0])), float(rng.choice([0.5, 2.0])),
            load_units().buffer_pj_per_byte(capacity),
        )  # fmt: skip
        found = best_mapping(small, chunk, load_units())
        least, count = brute_force(small, chunk)
        if found is None:
            assert count == 0
            continue
        checked += 1
        mappings.append(count)
        worst = max(worst, abs(found.edp / least - 1))
        equal += abs(found.edp / least - 1) < 1e-12
    claim = Claim(
        "mapper against brute force", "-",
        f"equal on {equal} of {checked} layers, largest difference {worst:.1e}; {min(mappings)} to {max(mappings)} "
        f"mappings each",
        "-", "ours", "layers of the space with fewer channels and rows",
    )  # fmt: skip
    print(claim.ours)
    keep("mapper", {"layers": checked, "equal": equal, "seed": seed, "mappings": sum(mappings)}, [claim])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("edp", "mapper", "claims"))
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--layers", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    if a.part == "edp":
        run_edp(a.networks, a.seed)
    elif a.part == "mapper":
        run_mapper(a.layers, a.seed)
    else:
        parts = json.loads(OUT.read_text())
        print(claims_table([Claim(**c) for part in parts.values() for c in part["claims"]]))


if __name__ == "__main__":
    main()
