"""How much each precision of each block of `subgraph32` is expected to hurt: HAO's bit sensitivities [HAO21].

    python -m cofront.task.sensitivity [--weights FILE] [--data FOLDER] [--out FILE]

After HAWQ-V2 [HAWQV2]: half the Hessian's mean trace (`quantise/curvature.py`) times the squared quantisation error,
summed over a block's layers, for their weights and for the activations they read. Of HAO only the weights' term is
known to us; the activations' is ours to include, because W4A8 and W4A4 have the same weights. Grids and scales are
those of `task/quantise`, by least squared error.

A block is weighed in networks of its own operator throughout, of full depth and resolution, folded. Their widths are
such that each pair of neighbouring stages' widths occurs; a block that several of them have gets the mean.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cofront.space.base import PRECISIONS
from cofront.space.subgraph32 import OPS, PRECISION_NAMES, STAGE_WIDTHS
from cofront.task.data import Dataset
from cofront.task.folded import float_inputs, folded
from cofront.task.quantise.choose import Chooser
from cofront.task.quantise.curvature import LossTables, curvature_tables
from cofront.task.quantise.measured import ChosenQuantisers
from cofront.task.quantise.observe import observe, watched
from cofront.task.subnet import BLOCKS, STAGES, Point, as_point, decode
from cofront.task.supernet import Supernet

IMAGES, SAMPLES = 256, 2
WIDTHS = tuple(sorted({bits for pair in PRECISIONS.values() for bits in pair}))
#: Choices of the three stages' widths: all pairs of the first two, and of the last two.
WIDTH_CHOICES = tuple((i, j, (i + j) % len(STAGE_WIDTHS[0])) for i in range(3) for j in range(3))

Row = list[Any]


def uniform(op: int, widths: tuple[int, ...]) -> Point:
    """The point with operator `op` everywhere, the widths of these numbers, full depth and resolution."""
    stages = [choice for width in widths for choice in (width, 2)]
    return as_point([2, *stages] + [op] * BLOCKS + [0] * BLOCKS)


def widest(op: int) -> Point:
    """The point with operator `op` everywhere, at full width, depth and resolution."""
    return uniform(op, (2,) * STAGES)


def of_network(
    point: Point, net: Supernet, data: Dataset, *, images: int = IMAGES, samples: int = SAMPLES, seed: int = 0
) -> LossTables:
    """Expected rises of the loss of a point's network, layer by layer, on the first `images` training images."""
    network, weights = folded(point, data.x_train, net)
    chooser = Chooser(network, weights, observe(network, weights, data.x_train[:images]))
    inputs = float_inputs(data.x_train[:images], network.shapes[network.input.name][1])
    hessian, _ = curvature_tables(
        watched(network, weights), ChosenQuantisers(chooser), inputs, weight_bits=WIDTHS, act_bits=WIDTHS,
        fixed_reads=(network.layers[0].name,), samples=samples, seed=seed,
    )  # fmt: skip
    return hessian


def blocks(point: Point, table: LossTables) -> Iterator[tuple[Row, float]]:
    """Each block's [block, operator, inputs, outputs, precision] with the sum of its layers' rises."""
    for b in decode(point).blocks:
        label, op = f"s{b.slot // 3 + 1}b{b.slot % 3 + 1}", OPS[int(point[7 + b.slot])].name
        layers = [n for n in table.layers if n.startswith(f"{label}.")]
        for name in PRECISION_NAMES:
            yield [label, op, b.cin, b.cout, name], sum(table.rise(n, *PRECISIONS[name]) for n in layers)


def of_operator(
    net: Supernet, data: Dataset, op: int, *, images: int = IMAGES, samples: int = SAMPLES, seed: int = 0
) -> tuple[list[Row], float]:
    """Rows of the blocks of one operator, and the worst standard error; operators do not depend on one another."""
    found: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    worst = 0.0
    for number, widths in enumerate(WIDTH_CHOICES):
        point = uniform(op, widths)
        table = of_network(point, net, data, images=images, samples=samples, seed=seed + number)
        worst = max(worst, table.stderr)
        for key, value in blocks(point, table):
            found[tuple(key)].append(value)
    order = {name: i for i, name in enumerate(PRECISION_NAMES)}
    keys = sorted(found, key=lambda k: (*k[:4], order[k[4]]))
    return [[*k, float(np.mean(found[k]))] for k in keys], worst


def sensitivities(
    net: Supernet,
    data: Dataset,
    *,
    images: int = IMAGES,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> tuple[list[Row], float]:
    """Rows [block, operator, inputs, outputs, precision, sensitivity], and the worst relative standard error of a
    layer's trace in one network, of traces of at least a hundredth of its largest.

    `progress` is told each operator, and how many rows it has, as soon as they are known.
    """
    rows: list[Row] = []
    worst = 0.0
    for op in range(len(OPS)):
        found, error = of_operator(net, data, op, images=images, samples=samples, seed=seed)
        rows += found
        worst = max(worst, error)
        if progress is not None:
            progress(OPS[op].name, len(found))
    return rows, worst


def write_table(path: Path, weights: Path, rows: list[Row], worst: float, *, command: str, **made: Any) -> None:
    """The rows as JSON, with what made them."""
    from cofront import __version__
    from cofront.task.release import digest

    document = {
        "what": "half the mean Hessian trace times the squared quantisation error, over the weights and activations of "
        "a block: rows of block, operator, inputs, outputs, precision, sensitivity",
        "command": command, **made, "worst_relative_standard_error": round(worst, 4), "weights_sha256": digest(weights),
        "versions": {
            "cofront": __version__, "torch": torch.__version__, "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }  # fmt: skip
    body = json.dumps(document, indent=1)[:-2]
    lines = ",\n  ".join(json.dumps([*r[:5], float(f"{r[5]:.5g}")]) for r in rows)
    path.write_text(f'{body},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8")


def _say(operator: str, rows: int) -> None:
    print(f"{operator}: {rows} rows", file=sys.stderr, flush=True)


def main() -> None:
    from cofront.task.data import load_dataset
    from cofront.task.release import default_weights, load_supernet
    from cofront.task.train import prepare_cpu

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=default_weights().with_name("subgraph32_hessian.json"))
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prepare_cpu(1)
    started = time.process_time()
    made = {"images": args.images, "samples": args.samples, "seed": args.seed}
    rows, worst = sensitivities(load_supernet(args.weights)[0], load_dataset(args.data), progress=_say, **made)
    write_table(
        args.out, args.weights, rows, worst, command=" ".join(["python -m cofront.task.sensitivity", *sys.argv[1:]]),
        **made, processor_s=round(time.process_time() - started, 1),
    )  # fmt: skip
    by_bits = {n: float(np.median([r[5] for r in rows if r[4] == n])) for n in PRECISION_NAMES}
    print("median sensitivity " + ", ".join(f"{n} {v:.3g}" for n, v in by_bits.items()))
    print(f"{args.out}: {len(rows)} rows, worst relative standard error {worst:.1%}")


if __name__ == "__main__":
    main()
