"""`cofront accelerate`: a trained network made faster by cheaper operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Data, InputShape, Json, Mean, Seed, Std, a_folder, parse_normalisation, parse_shape
from cofront.figures import number

if TYPE_CHECKING:
    from cofront.study.documents import AccelerateDocument

HELP = """Make a trained network faster: cheaper operators that learn from its layers (LANA).

All operators of all units learn what the unit gives, each is scored by a single swap and priced on the device, the best
choice within the budget is found exactly, checked with its operators swapped in, and trained on with the teacher's
answers. MODEL is an ONNX file, package.module:callable (a PyTorch module), a design file, or a published network's name
with --weights. It goes on from where it was stopped (Ctrl-C, exit code 130)."""
EXAMPLE = """
Examples, with CIFAR-10 under $COFRONT_DATA/cifar10:
  $ cofront accelerate trained.onnx --device host --budget '0.5x latency'
  $ cofront accelerate mymodels:resnet --input-shape 3x32x32 --data images/ --device table.parquet --budget 2ms
  $ cofront accelerate design.json --device zu3eg --budget '0.6x latency' --candidates some --no-finetune
"""


def run(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX file, module:callable, design file or name.")],
    device: Annotated[
        str,
        typer.Option(
            "--device", "-d",
            help="host or ssh://user@board (operators are measured), a table of operators, or an FPGA part.",
        ),
    ],
    budget: Annotated[str, typer.Option("--budget", "-b", help="Latency: '0.5x latency' of what it is now, or 2ms.")],
    data: Data = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="safetensors file, for a design or a published network.")
    ] = None,
    input_shape: InputShape = None,
    mean: Mean = None,
    std: Std = None,
    column: Annotated[str | None, typer.Option("--column", help="Column of the table with the latencies.")] = None,
    candidates: Annotated[
        str, typer.Option("--candidates", help="few, some, all, or names of operators with commas between.")
    ] = "few",
    images: Annotated[int, typer.Option("--images", min=2, help="Training images that operators learn from.")] = 2048,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Epochs of the fine-tuning.")] = 8,
    no_finetune: Annotated[bool, typer.Option("--no-finetune", help="Leave the fine-tuning out.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; runs/accelerate-MODEL if not given.")] = None,
    study: Annotated[Path | None, typer.Option("--study", help="Study file; in the folder if not given.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:  # fmt: skip
    from cofront.api.accelerate.accelerating import WRITTEN, accelerate
    from cofront.api.accelerate.scene import AccelerateRequest
    from cofront.cli.in_folder import in_folder
    from cofront.cli.main import INTERRUPTED
    from cofront.cli.writing import file_name
    from cofront.study.documents import to_json
    from cofront.study.provenance import write_atomic

    request = AccelerateRequest(
        model=model, device=device, budget=budget, data=data, weights=weights, input_shape=parse_shape(input_shape),
        normalised=parse_normalisation(mean, std),
        column=column, candidates=candidates, images=images, epochs=0 if no_finetune else epochs, seed=seed,
    )  # fmt: skip
    folder = a_folder("--out", out) if out else Path("runs") / file_name(f"accelerate-{Path(model).stem}")
    found = in_folder(
        lambda kept, progress, stop: accelerate(request, folder, study=kept, on_progress=progress, should_stop=stop),
        folder, study, WRITTEN, (model, weights, device),
    )  # fmt: skip
    if found.interrupted:
        output.note(f"cofront: stopped; the same command goes on from {folder}")
    else:
        write_atomic(folder / "accelerate.json", to_json(found) + "\n")
    if json:
        output.emit_json(found)
    elif not found.interrupted:
        show(found, folder)
    return INTERRUPTED if found.interrupted else 0


def show(found: AccelerateDocument, folder: Path) -> None:
    """Units with their operators, what each costs and saves, and the network before and after."""
    rows = []
    for unit in found.units:
        k = unit.names.index(unit.chosen)
        rows.append(
            [
                unit.name, unit.chosen, str(len(unit.names)), _error(unit.error[k]), f"{unit.change[k]:+.4f}",
                output.seconds(unit.seconds[0] or 0.0), output.seconds(unit.saved_s) if unit.saved_s else "-",
            ]
        )  # fmt: skip
    columns = ["unit", "operator", "of", "error", "loss", "teacher's", "saved"]
    output.table(f"{found.model} on {found.device}: {found.budget}", columns, rows)
    assert found.chosen is not None and found.training is not None and found.validation is not None
    best, first = found.solutions[found.chosen], found.solutions[0]
    output.line(
        f"latency {output.seconds(found.before_s)} -> {output.seconds(best.latency_s)} (limit "
        f"{output.seconds(found.limit_s)}, fastest possible {output.seconds(found.least_s)}): {found.latency_note}"
    )
    output.line(
        f"{len(found.solutions)} solutions swapped in: loss {best.loss:.4f} of the chosen one, {first.loss:.4f} of the "
        f"exact optimum of the sum of changes, {found.teacher_loss:.4f} of the teacher"
    )
    trained = (
        f"after {number(found.training.epochs, 'epoch')} of fine-tuning"
        if found.training.epochs
        else "without fine-tuning"
    )
    teacher = output.accuracy(found.teacher_test)
    output.line(
        f"test accuracy {output.accuracy(found.training.test)} {trained}, teacher {teacher}, "
        f"{found.training.test_images:,} images; MACs {output.quantity(found.macs[0])} -> "
        f"{output.quantity(found.macs[1])}, parameters {output.quantity(found.params[0])} -> "
        f"{output.quantity(found.params[1])}"
    )
    if (m := found.measured) is not None:
        low, high = m.interval_95
        output.line(
            f"measured in turns: {output.seconds(m.before_s)} -> {output.seconds(m.after_s)}, {m.speed_up:.2f} times "
            f"faster (95 %: {low:.2f} to {high:.2f}; {m.visits} visits each)"
        )
    for note in found.notes:
        output.line(f"note: {note}")
    files = {**found.files, "document": str(folder / "accelerate.json")}
    if found.report:
        files["report"] = found.report
    for name, path in files.items():
        output.line(f"  {name:<10} {path}")


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
