"""The closed form of a fused call against the pipeline simulated pixel by pixel, and against the plain maximum.

    python benchmarks/fused_form.py

Inverted residuals of published networks' sizes on random parallelisms; writes fused_form.json beside this file.
"""

from __future__ import annotations

import datetime
import json
import math
import platform
from pathlib import Path

import numpy as np
from record import write

from cofront import device
from cofront.hardware.subgraph import Config, KernelConfig, coefficients, cost
from cofront.hardware.subgraph.recurrence import PixelKernel, fused_cycles
from cofront.network import Builder

SEED = 1
CASES = 1_500
BIG = 1 << 20


def up(a: int, b: int) -> int:
    return -(-a // b)


def case(rng: np.random.Generator) -> tuple[int, int, int, float]:
    """(closed form, simulated, plain maximum, imbalance of the kernels) of one random call."""
    size, k = int(rng.choice([7, 14, 28, 56, 112])), int(rng.choice([3, 5, 7]))
    stride = int(rng.choice([1, 2]))
    i, e, o = (int(rng.choice(c)) for c in ([16, 24, 40, 80, 96, 160], [72, 144, 240, 480, 960], [24, 40, 80, 112]))
    pi, po, pc, qi, qo = (int(rng.choice([4, 8, 12, 16, 24, 32, 48])) for _ in range(5))
    taps = int(rng.choice([1, 3, 9, 25]))
    b = Builder("case", (i, size, size))
    b.block = "case"
    b.conv(e, 1)
    b.depthwise(k, stride)
    b.conv(o, 1)
    config = Config(
        "E88",
        KernelConfig(pi, po, 1, 1, BIG, 1, 0, BIG, BIG),
        KernelConfig(1, pc, taps, 1, BIG, k, BIG, 0, BIG),
        KernelConfig(qi, qo, 1, 1, BIG, 1, 0, BIG, BIG),
        250e6,
    )
    co = coefficients.load()
    fast = device.load("zu3eg").with_budget(bandwidth_bytes_per_s=1e15)
    call = cost(b.build().uniform_bits(8, 8), config, fast).calls[0]
    out = (size + 2 * (k // 2) - k) // stride + 1
    columns = up(k * max(k, taps), taps) if taps <= k else up(k * k, taps) + stride - 1
    work = (up(i, pi) * up(e, po), up(e, pc) * columns, up(e, qi) * up(o, qo))
    through = [
        front + co.pipeline_cycles + math.ceil(round(math.log(terms, 4), 9))
        for front, terms in ((1, pi), (3 if taps <= k else 4, taps), (1, qi))
    ]
    simulated = fused_cycles(
        [
            PixelKernel(size, size, 1, 1, 0, up(i, pi), work[0], through[0]),
            PixelKernel(size, size, k, stride, k // 2, up(e, pc), work[1], through[1], k),
            PixelKernel(out, out, 1, 1, 0, up(e, qi), work[2], through[2]),
        ]
    )
    own = (size * size * work[0], out * out * work[1], out * out * work[2])
    return call.cycles - call.overhead_cycles, simulated, max(own), max(own) * 3 / sum(own)


def errors(values: np.ndarray) -> dict[str, float]:
    return {
        "mean_abs_percent": round(float(np.mean(np.abs(values)) * 100), 3),
        "lowest_percent": round(float(values.min() * 100), 2),
        "highest_percent": round(float(values.max() * 100), 2),
    }


def main() -> None:
    rng = np.random.default_rng(SEED)
    table = np.array([case(rng) for _ in range(CASES)])
    closed, plain = table[:, 0] / table[:, 1] - 1, table[:, 2] / table[:, 1] - 1
    even = table[:, 3] < 1.3
    result = {
        "command": "python benchmarks/fused_form.py",
        "date": datetime.date.today().isoformat(),
        "seed": SEED,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "cases": CASES,
        "closed_form": errors(closed),
        "closed_form_balanced_kernels": {**errors(closed[even]), "cases": int(even.sum())},
        "plain_maximum": errors(plain),
        "plain_maximum_balanced_kernels": errors(plain[even]),
        "note": "reference: the per-pixel recurrence of recurrence.py, not RTL",
    }
    write(Path(__file__).with_suffix(".json"), result, indent=2)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
