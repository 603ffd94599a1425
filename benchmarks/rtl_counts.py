"""Accelerators of random configurations generated and synthesised: the counts that the resource model is fitted on.

    python benchmarks/rtl_counts.py [--fit 64] [--check 24] [--jobs 1]

Every accelerator (one, two or three kernels, any engine) is written as Verilog and mapped by Yosys for UltraScale+;
rtl_counts.json beside this file gets its configuration and counts. The first `--fit` are for fitting, `--check` are
held back: `rtl_calibration.py` looks at them once, after fitting. Goes on where it stopped; needs the extra `rtl`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cofront.hardware.subgraph.config import ABSENT, Config, KernelConfig
from cofront.rtl.netlist import TOP, engine_verilog
from cofront.rtl.synthesise import synthesise
from cofront.study.provenance import versions

RESULT = Path(__file__).with_suffix(".json")
FAMILY, CLOCK_HZ = "xcup", 250e6

#: Multipliers of a kernel and of an accelerator at most, and on LUTs: what a synthesis of minutes can take.
MOST, MOST_ALL, MOST_LUT = 192, 360, 48
WIDTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48)


def random_kernel(rng: np.random.Generator, name: str, rows: int, channels: int) -> KernelConfig:
    """A kernel as the grids of a search have them, within the limits above."""

    def pick(values: Any) -> int:
        return int(rng.choice(np.array(values)))

    while True:
        dsp = int(rng.random() < 0.8)
        if name == "dw":
            pi, po, taps = 1, pick(WIDTHS), pick([t for t in (1, 2, 3, 5, 9, 13, 25) if t <= rows**2])
        else:
            pi, po = pick(WIDTHS), pick(WIDTHS)
            taps = pick((1, 1, 3)) if name == "conv" and rows >= 3 else 1
        if pi * po * taps <= (MOST if dsp else MOST_LUT):
            break
    width = pick((8, 16, 28, 32))
    depth = pick((512, 1024, 2048)) if name != "dw" else 512
    line = width * channels if name != "pw" and rows > 1 else 0
    ins = 0 if name == "dw" else channels
    return KernelConfig(pi, po, taps, dsp, depth, rows, line, ins, pick((channels, 4 * channels)))


def random_config(seed: int, index: int, three: bool) -> tuple[Config, int]:
    """Configuration and bits of the memory port, by seed and number; `three`: with all kernels, as searches find."""
    rng = np.random.default_rng((seed, index))
    engine = ("E88", "E48", "E44", "DUAL")[index % 4]
    while True:
        present = [True] * 3 if three else [bool(rng.random() < 0.5) for _ in range(3)]
        if not any(present):
            continue
        size = int(rng.choice([3, 5, 5, 7]))
        rows = {"conv": int(rng.choice([1, 3, 3])), "dw": size, "pw": 1}
        channels = int(rng.choice([64, 96, 160, 320]))
        kernels = {
            n: random_kernel(rng, n, rows[n], channels) if p else ABSENT
            for n, p in zip(("conv", "dw", "pw"), present, strict=True)
        }
        if sum(k.pi * k.po * k.taps for k in kernels.values()) <= MOST_ALL:
            bus = int(rng.choice([64, 128, 128, 128, 256]))
            return Config(engine, kernels["conv"], kernels["dw"], kernels["pw"], CLOCK_HZ), bus


def measure(part: str, seed: int, index: int) -> dict[str, Any]:
    """The counts of one accelerator."""
    config, bus = random_config(seed, index, part == "check" or index % 3 != 0)
    began = time.process_time()
    start = time.perf_counter()
    text, _ = engine_verilog(config, bus, primitives=True)
    found = synthesise(text, TOP, FAMILY)
    return {
        "part": part,
        "index": index,
        "config": config.to_dict(),
        "bus_bits": bus,
        "counted": found.resources(),
        "cells": dict(found.cells),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_s": round(time.process_time() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=64)
    parser.add_argument("--check", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else []
    have = {(r["part"], r["index"]) for r in rows}
    wanted = [("fit", i) for i in range(args.fit)] + [("check", i) for i in range(args.check)]
    todo = [w for w in wanted if w not in have]
    seeds = {"fit": args.seed, "check": args.seed + 1_000_003}
    print(f"{len(todo)} of {len(wanted)} to count", file=sys.stderr, flush=True)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(args.jobs) as pool:
        for part, index in todo if args.jobs == 1 else []:
            keep(rows, measure(part, seeds[part], index), args.seed)
        if args.jobs > 1:
            for row in pool.map(measure, *zip(*((p, seeds[p], i) for p, i in todo), strict=True)):
                keep(rows, row, args.seed)


def keep(rows: list[dict[str, Any]], row: dict[str, Any], seed: int) -> None:
    """Adds a row to the file, which is whole at any moment."""
    rows.append(row)
    record = {
        "command": "python benchmarks/rtl_counts.py",
        "seed": seed,
        "label": "Yosys estimates: nothing here has met a vendor's tools",
        "family": FAMILY,
        "versions": versions(),
        "rows": rows,
    }
    part = RESULT.with_suffix(".part")
    part.write_text(json.dumps(record) + "\n")
    part.replace(RESULT)
    c = row["counted"]
    print(f"{row['part']} {row['index']}: {c} in {row['seconds']} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
