"""`cofront export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Data, Json, Seed, a_folder, names

HELP = """Write a design as ONNX, QONNX, weights and accelerator JSON.

DESIGN is a design file, as `search` and `fit --save` write them. Trained weights need images to set batch norm and
scales on: CIFAR-10 (see --data). Files in --out that cofront did not write are never replaced."""
EXAMPLE = """
Example, after `cofront search`:
  $ cofront export runs/subgraph32-zu3eg/design.json --out exported --format onnx,accelerator
"""


def run(
    design: Annotated[Path, typer.Argument(metavar="DESIGN", help="Design file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("exported"),
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="Some of onnx, qonnx, integer (ONNX of integers), weights, accelerator, design; "
            "all but design if not given.",
        ),
    ] = None,
    data: Data = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront import api

    wanted = names("--format", None if formats is None else formats.lower(), "onnx,accelerator")
    done = api.export(design, a_folder("--out", out), wanted, seed, data)
    if json:
        output.emit_json(done)
    else:
        for name, path in done.files.items():
            output.line(f"  {name:<12} {path}")
        for text in done.left_out:
            output.line(f"  left out: {text}")
    return 0 if done.files else 1
