"""`cofront evaluate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Data, Json, Seed

HELP = """Test a design: accuracy of the quantised network and of the integers that hardware computes.

DESIGN is a design file of space subgraph32, as `search` writes it."""
EXAMPLE = """
Example, after `cofront search` and with CIFAR-10 under $COFRONT_DATA/cifar10:
  $ cofront evaluate runs/subgraph32-zu3eg/design.json
"""


def run(
    design: Annotated[Path, typer.Argument(metavar="DESIGN", help="Design file.")],
    data: Data = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Weights, e.g. of `cofront train`; the shipped ones if not given.")
    ] = None,
    images: Annotated[str, typer.Option("--images", help="test, or validation.")] = "test",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write the integer network to.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront.api import training
    from cofront.cli.train import show_accuracies
    from cofront.errors import unknown_name

    if images not in ("test", "validation"):
        raise unknown_name("set of images", images, ("test", "validation"))
    found = training.evaluate(design, data=data, weights=weights, images=images, out=out)
    if json:
        output.emit_json(found)
    else:
        show_accuracies(found)
        if weights is None:
            tuned = training.finetuned(design)
            name = shlex.quote(str(design)) + output.named_data(data)
            if tuned is None:
                output.line(f"next: cofront train {name}  (fine-tunes the shared weights for it)")
            else:
                name += f" --weights {shlex.quote(str(tuned))}"
                output.line(f"next: cofront evaluate {name}  (fine-tuned for it)")
