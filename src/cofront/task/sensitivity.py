"""How much each precision of each block of `subgraph32` is expected to hurt: HAO's bit sensitivities [HAO21].

    python -m cofront.task.sensitivity [--weights FILE] [--data FOLDER] [--out FILE]

After HAWQ-V2 [HAWQV2]: half the Hessian's mean trace (`hessian.py`) times the squared quantisation error, summed over a
block's weights and over the activations its quantisers round. Of HAO only the weights' term is known to us; the
activations' is ours to include, because W4A8 and W4A4 have the same weights. Traces are taken on the widest and
deepest network of each operator, with batch norm folded, and hold per weight (per activation) for its slices, whose
own quantisation errors are exact.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cofront.task.augment import network_input
from cofront.task.calibrate import _grid, calibrate
from cofront.task.data import Dataset
from cofront.task.evaluate import CALIBRATION, tensor
from cofront.task.hessian import Trace, piecewise_linear_traces
from cofront.task.quant import weight_integers, weight_scale
from cofront.task.subnet import BLOCKS, OPS, PRECISIONS, STEM, WIDTHS, Block, as_point, decode
from cofront.task.supernet import Conv, Supernet, convs

IMAGES, SAMPLES = 128, 160
NAMES = ("W8A8", "W4A8", "W4A4")


@dataclass(frozen=True)
class RealNet:
    """The widest network of one operator in real numbers, batch norm folded; `deltas` are zeros added to what each
    convolution of a block reads, so that derivatives by activations can be taken."""

    weights: dict[str, torch.Tensor]
    gains: dict[str, torch.Tensor]
    deltas: dict[str, torch.Tensor]
    reads: dict[str, tuple[torch.Tensor, bool]]  # what a convolution reads, and whether it has a sign
    logits: Callable[[], torch.Tensor]


def widest(op: int) -> Any:
    """The point with operator `op` everywhere, at full width, depth and resolution."""
    return as_point([2] + [2, 2] * len(WIDTHS) + [op] * BLOCKS + [0] * BLOCKS)


def real_network(net: Supernet, data: Dataset, op: int, images: int = IMAGES) -> RealNet:
    """On the first `images` training images; statistics of batch norm are those of the calibrated W8A8 network."""
    sub = decode(widest(op))
    quantised = calibrate(net, sub, tensor(data.x_train[:CALIBRATION]).float())
    layers = [c.layer for block in quantised.blocks for c in block]
    gains = {la.conv.name: la.factor / weight_scale(net.weight(la.conv), 8) for la in layers}
    weights = {
        la.conv.name: (net.weight(la.conv) * gains[la.conv.name].view(-1, 1, 1, 1)).detach().requires_grad_()
        for la in layers
    }
    shifts = {la.conv.name: la.shift.detach() for la in layers}
    x = network_input(tensor(data.x_train[:images]).float(), sub.resolution)
    deltas: dict[str, torch.Tensor] = {}
    reads: dict[str, tuple[torch.Tensor, bool]] = {}

    def conv(c: Conv, h: torch.Tensor) -> torch.Tensor:
        groups = c.cout if c.depthwise else 1
        out = F.conv2d(h, weights[c.name], shifts[c.name], c.stride, c.kernel // 2, groups=groups)
        return F.relu(out) if c.relu else out

    def forward() -> torch.Tensor:
        h = conv(layers[0].conv, x)
        for b in sub.blocks:
            inner = h
            for i, c in enumerate(convs(b)):
                reads[c.name] = inner.detach(), i == 0 and b.slot > 0
                inner = conv(c, inner + deltas[c.name] if c.name in deltas else inner)
            h = h + inner if b.residual else inner
        return F.linear(h.mean((2, 3)), net.linear.detach(), net.bias.detach())

    with torch.no_grad():
        forward()  # fills `reads`
    deltas |= {name: torch.zeros_like(h, requires_grad=True) for name, (h, _) in reads.items()}
    return RealNet(weights, gains, deltas, reads, forward)


def traces(real: RealNet, samples: int = SAMPLES, seed: int = 0) -> tuple[dict[str, Trace], dict[str, Trace]]:
    """Hessian traces by weights and by what they read, for each convolution of the blocks."""
    names = list(real.deltas)
    groups = {f"w {n}": [real.weights[n]] for n in names} | {f"a {n}": [real.deltas[n]] for n in names}
    found = piecewise_linear_traces(real.logits, groups, samples=samples, seed=seed)
    return {n: found[f"w {n}"] for n in names}, {n: found[f"a {n}"] for n in names}


def weight_error(net: Supernet, c: Conv, gain: torch.Tensor, bits: int) -> float:
    """Squared error of a convolution's folded weights at `bits`; `gain` is its widest network's."""
    w = net.weight(c).detach()
    scale = weight_scale(w, bits)
    real = w * gain[: c.cout].view(-1, 1, 1, 1)
    rounded = weight_integers(w, scale, bits) * (scale * gain[: c.cout]).view(-1, 1, 1, 1)
    return float((rounded - real).square().sum())


def read_error(h: torch.Tensor, signed: bool, bits: int) -> float:
    """Squared error of activations at `bits`, over all images."""
    grid = _grid(h, bits, signed)
    return float(((h / grid.scale).round().clamp(grid.low, grid.high) * grid.scale - h).square().sum())


def slices(op: int) -> Iterator[Block]:
    """Every block with operator `op`: each slot with each width of what it reads and writes."""
    kind, kernel, expand = OPS[op]
    for slot in range(BLOCKS):
        stage, position = divmod(slot, 3)
        outs = WIDTHS[stage]
        first = (STEM,) if stage == 0 else WIDTHS[stage - 1]
        for cin, cout in [(i, o) for i in first for o in outs] if position == 0 else [(o, o) for o in outs]:
            hidden = int(expand * (cin if kind == "dw" else cout))
            yield Block(slot, cin, cout, 2 if position == 0 else 1, kind, kernel, hidden, 8, 8)


def sensitivities(
    net: Supernet, data: Dataset, *, images: int = IMAGES, samples: int = SAMPLES, seed: int = 0
) -> tuple[list[list[Any]], float]:
    """Rows [block, operator, inputs, outputs, precision, sensitivity], and the worst relative standard error of the
    traces that matter (those of at least a hundredth of the largest of their network)."""
    rows: list[list[Any]] = []
    worst = 0.0
    for op in range(len(OPS)):
        found, error = of_operator(net, data, op, images=images, samples=samples, seed=seed)
        rows += found
        worst = max(worst, error)
    return rows, worst


def of_operator(
    net: Supernet, data: Dataset, op: int, *, images: int = IMAGES, samples: int = SAMPLES, seed: int = 0
) -> tuple[list[list[Any]], float]:
    """The same for the blocks of one operator; operators do not depend on one another."""
    from cofront.space.subgraph32 import OPS as NAMED

    real = real_network(net, data, op, images)
    by_weight, by_read = traces(real, samples, seed)
    worst = 0.0
    for found in (by_weight, by_read):
        least = max(t.trace for t in found.values()) / 100
        worst = max([worst, *(t.stderr / t.trace for t in found.values() if t.trace >= least)])
    reads = {
        (n, bits): max(by_read[n].mean, 0.0) * read_error(*real.reads[n], bits) for n in by_read for bits in (8, 4)
    }
    rows: list[list[Any]] = []
    for b in slices(op):
        stage, position = divmod(b.slot, 3)
        for name, (w_bits, a_bits) in zip(NAMES, PRECISIONS, strict=True):
            value = sum(
                max(by_weight[c.name].mean, 0.0) * weight_error(net, c, real.gains[c.name], w_bits)
                + reads[c.name, a_bits]
                for c in convs(b)
            )
            rows.append([f"s{stage + 1}b{position + 1}", NAMED[op].name, b.cin, b.cout, name, 0.5 * value])
    return rows, worst


def write_table(path: Path, weights: Path, rows: list[list[Any]], worst: float, *, command: str, **made: Any) -> None:
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


def main() -> None:
    from cofront.task.data import load_dataset
    from cofront.task.release import default_weights, load_supernet

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=default_weights().with_name("subgraph32_hessian.json"))
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    made = {"images": args.images, "samples": args.samples, "seed": args.seed}
    rows, worst = sensitivities(load_supernet(args.weights)[0], load_dataset(args.data), **made)
    write_table(
        args.out, args.weights, rows, worst, command=" ".join(["python -m cofront.task.sensitivity", *sys.argv[1:]]),
        **made, processor_s=round(time.process_time() - started, 1),
    )  # fmt: skip
    by_bits = {n: float(np.median([r[5] for r in rows if r[4] == n])) for n in NAMES}
    print("median sensitivity " + ", ".join(f"{n} {v:.3g}" for n, v in by_bits.items()))
    print(f"{args.out}: {len(rows)} rows, worst relative standard error {worst:.1%}")


if __name__ == "__main__":
    main()
