"""Random kernels on random layers, RTL against the integer model, with random stalls; cycles against the recurrence.

    python benchmarks/rtl_kernels.py [--cases 300] [--seed 0] [--fresh]

Every case is a configuration of conv, dw or pw (engine, parallelism, taps, rows, DSP or LUT multipliers) and a layer
(sizes, stride, padding, precision, residual) simulated in Amaranth's simulator. Two thirds of the cases have stalls on
every stream. Cycles are compared where there are none and padding is equal on all sides (the recurrence knows no
other).

Writes rtl_kernels.json beside this file, case by case: the same command goes on where it was stopped (--fresh: begins
anew; `sources` are the digests of the hardware's sources at work). Needs the extra `rtl`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "rtl"))

from record import read, write_text
from rtl_kernels import kernel_cycles, simulate
from rtl_reference import random_case

from cofront.rtl.cache import sources

FILE = Path(__file__).with_suffix(".json")
NAMES = ("pw", "conv", "dw")
ENGINES = ("E88", "E48", "E44", "DUAL")
STALLS = (0.0, 0.3, 0.7)
#: Cases between two times that the file is written.
OFTEN = 10


def run(seed: int, i: int) -> dict[str, Any]:
    """Case i: whether any output differs, and its cycles beside those of the recurrence."""
    began = time.process_time()
    name, engine = NAMES[i % len(NAMES)], ENGINES[i // len(NAMES) % len(ENGINES)]
    stall = STALLS[i // (len(NAMES) * len(ENGINES)) % len(STALLS)]
    case = random_case(np.random.default_rng((seed, i)), name, engine)
    out, cycles = simulate(case, stall, seed + i, i & 1)
    row = {
        "case": i,
        "what": [name, engine, *properties(case, stall)],
        "layer": describe(case),
        "outputs": case.expected.size,
        "differing": int((out != case.expected).sum()),
    }
    if stall == 0 and len(set(case.node.op.padding)) == 1:
        closed, exact = kernel_cycles(case)
        row |= {"cycles": cycles, "recurrence": exact, "closed_form": closed}
    return row | {"cpu_s": round(time.process_time() - began, 2)}


def properties(case: Any, stall: float) -> list[str]:
    """What a case has, to count how often each was tried."""
    op, k, padding = case.node.op, case.design.kernel, case.node.op.padding
    found = [f"stalls in {stall:.0%} of cycles", f"W{case.weight_bits}A{case.act_bits}", f"stride {op.stride[0]}"]
    found += [f"{op.kernel[0]} x {op.kernel[0]}", f"multipliers on {'DSP' if k.dsp else 'LUT'}"]
    found += ["a residual"] * (case.residual is not None)
    found += ["unequal padding"] * (len(set(padding)) > 1)
    return found + ["a partial beat"] * bool(case.inputs.shape[2] % k.pi or case.expected.shape[2] % k.po)


def describe(case: Any) -> str:
    """A layer and its kernel in a line."""
    k, op = case.design.kernel, case.node.op
    return (
        f"{case.inputs.shape} -> {case.expected.shape}, {op.kernel[0]} x {op.kernel[0]} stride {op.stride[0]} "
        f"padding {op.padding[0]} on {k.pi} x {k.po} x {k.taps}, {k.rows} rows"
    )


def keep(seed: int, rows: list[dict[str, Any]], of: set[str]) -> None:
    """The file, whole at any moment; a line a case."""
    compared = [r for r in rows if "cycles" in r]
    head = {
        "command": "python benchmarks/rtl_kernels.py",
        "seed": seed,
        "cases": len(rows),
        "outputs": sum(r["outputs"] for r in rows),
        "differing_cases": [r["case"] for r in rows if r["differing"]],
        "cases_with": dict(sorted(Counter(what for r in rows for what in r["what"]).items())),
        "cycles_compared": len(compared),
        "equal_to_recurrence": sum(r["cycles"] == r["recurrence"] for r in compared),
        "worst_over_recurrence": max((r["cycles"] - r["recurrence"] for r in compared), default=0),
        "cpu_s": round(sum(r["cpu_s"] for r in rows), 1),
        "sources": sorted(of),
        "date": datetime.date.today().isoformat(),
        "amaranth": version("amaranth"),
        "python": platform.python_version(),
    }
    lines = ",\n".join("    " + json.dumps(r) for r in rows)
    write_text(FILE, json.dumps(head, indent=2)[:-2] + f',\n  "rows": [\n{lines}\n  ]\n}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    before = {} if args.fresh else read(FILE)
    same = before.get("seed") == args.seed
    rows: list[dict[str, Any]] = before.get("rows", []) if same else []
    of = {*(before["sources"] if rows else []), sources()[:16]}
    done = {r["case"] for r in rows}
    for i in range(args.cases):
        if i not in done:
            rows.append(run(args.seed, i))
            if len(rows) % OFTEN == 0 or i == args.cases - 1:
                keep(args.seed, rows, of)
    head = read(FILE)
    head.pop("rows")
    print(json.dumps(head, indent=2))


if __name__ == "__main__":
    main()
