"""`cofront train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Data, Json, Seed, positive

if TYPE_CHECKING:
    from cofront.study.documents import AccuracyDocument

HELP = """Fine-tune a design with quantisation-aware training, or train the supernet and its accuracy table.

DESIGN is a design file of space subgraph32, as `search` writes it; the results go beside it, to a folder named after
the network and the seed. Training goes on from where it was stopped (Ctrl-C, exit code 130) when the same command runs
again, for longer with more --minutes."""
EXAMPLE = """
Examples, after `cofront search` and with CIFAR-10 under $COFRONT_DATA/cifar10:
  $ cofront train runs/subgraph32-zu3eg/design.json --minutes 10
  $ cofront train --supernet --minutes 100 --points 2400 --out runs/supernet
"""


def run(
    design: Annotated[Path | None, typer.Argument(metavar="[DESIGN]", help="Design file.")] = None,
    supernet: Annotated[bool, typer.Option("--supernet", help="Train the supernet and measure the table.")] = False,
    minutes: Annotated[float, typer.Option("--minutes", help="Time box of the training.")] = 10.0,
    points: Annotated[int, typer.Option("--points", min=8, help="Pairs to measure (with --supernet).")] = 2400,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that measure (with --supernet).")] = 2,
    data: Data = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Start from these, not the shipped ones.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for checkpoint and results.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront.api import training
    from cofront.cli.main import INTERRUPTED
    from cofront.errors import UsageError

    positive("--minutes", minutes)
    if supernet and design is not None:
        raise UsageError("name a DESIGN to fine-tune, or --supernet, not both")
    if not supernet and design is None:
        raise UsageError("name a DESIGN to fine-tune (`cofront search` writes one), or --supernet")
    if design is None:
        from cofront.study import documents
        from cofront.study.provenance import command_line

        folder = out or Path("runs/supernet")
        files = training.train_supernet(
            minutes=minutes, points=points, workers=workers, data=data, out=folder, seed=seed, command=command_line()
        )
        stopped = "table" not in files
        found = documents.AccuracyDocument(
            verb="train", design="", task="cifar10", images=0, accuracies={}, seconds=60 * minutes, files=files,
            note=f"stopped; the same command goes on from {folder}" if stopped else "supernet and accuracy table",
        )  # fmt: skip
    else:
        where = out or training.default_folder(design, seed)
        found, stopped = training.train(design, minutes=minutes, data=data, weights=weights, out=where, seed=seed)
    if json:
        output.emit_json(found)
    else:
        show_accuracies(found)
    return INTERRUPTED if stopped else 0


def show_accuracies(found: AccuracyDocument) -> None:
    """Predicted and measured side by side."""
    if found.predicted is not None:
        output.line(f"predicted          {output.accuracy(found.predicted)}")
    words = {"pytorch": "quantised PyTorch", "integer": "integers", "agreement": "same answer"}
    for name, value in found.accuracies.items():
        output.line(f"{words.get(name, name):<18} {output.accuracy(value)}")
    for name, path in found.files.items():
        output.line(f"  {name:<12} {path}")
    output.line(f"{found.note} ({found.images:,} images, {found.seconds:.0f} s)" if found.images else found.note)
