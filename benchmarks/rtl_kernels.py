"""Random kernels on random layers, RTL against the integer model, with random stalls; cycles against the recurrence.

    python benchmarks/rtl_kernels.py [--cases 200] [--seed 0]

Every case is a configuration of conv, dw or pw (engine, parallelism, taps, rows, DSP or LUT multipliers) and a layer
(sizes, stride, padding, precision, residual) simulated in Amaranth's simulator. Writes rtl_kernels.json beside this
file; needs the extra `rtl`. Two thirds of the cases have stalls on every stream. Cycles are compared where there are
none and padding is equal on all sides (the recurrence knows no other).
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "rtl"))

from rtl_kernels import kernel_cycles, simulate
from rtl_reference import random_case

NAMES = ("pw", "conv", "dw")
ENGINES = ("E88", "E48", "E44", "DUAL")
STALLS = (0.0, 0.3, 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    differing, compared, rows, began = [], 0, [], time.process_time()
    outputs = 0
    for i in range(args.cases):
        name, engine = NAMES[i % len(NAMES)], ENGINES[i // len(NAMES) % len(ENGINES)]
        stall = STALLS[i // (len(NAMES) * len(ENGINES)) % len(STALLS)]
        case = random_case(np.random.default_rng((args.seed, i)), name, engine)
        out, cycles = simulate(case, stall, args.seed + i, i & 1)
        outputs += case.expected.size
        if not np.array_equal(out, case.expected):
            differing.append(i)
        if stall == 0 and len(set(case.node.op.padding)) == 1:
            closed, exact = kernel_cycles(case)
            compared += 1
            rows.append((cycles, closed, exact, name, engine, case))
    result = {
        "command": "python benchmarks/rtl_kernels.py",
        "seed": args.seed,
        "cases": args.cases,
        "outputs": outputs,
        "differing_cases": differing,
        "cycles_compared": compared,
        "equal_to_recurrence": sum(c == e for c, _, e, *_ in rows),
        "cycles_over_recurrence": [
            {"simulated": c, "recurrence": e, "closed_form": f, "kernel": n, "engine": g, "layer": describe(case)}
            for c, f, e, n, g, case in rows
            if c != e
        ],
        "cpu_s": round(time.process_time() - began, 1),
        "date": datetime.date.today().isoformat(),
        "amaranth": version("amaranth"),
        "python": platform.python_version(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    shown = {k: v for k, v in result.items() if k != "cycles_over_recurrence"}
    print(json.dumps(shown, indent=2))


def describe(case) -> str:  # type: ignore[no-untyped-def]
    """A layer and its kernel in a line."""
    k, op = case.design.kernel, case.node.op
    return (
        f"{case.inputs.shape} -> {case.expected.shape}, {op.kernel[0]} x {op.kernel[0]} stride {op.stride[0]} "
        f"padding {op.padding[0]} on {k.pi} x {k.po} x {k.taps}, {k.rows} rows"
    )


if __name__ == "__main__":
    main()
