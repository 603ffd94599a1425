"""`cofront quantize`: bits for every layer of a trained network within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import (
    Clock,
    InputShape,
    Json,
    Mean,
    Seed,
    Std,
    a_folder,
    parse_clock,
    parse_normalisation,
    parse_shape,
)
from cofront.errors import UsageError
from cofront.figures import limit_words

if TYPE_CHECKING:
    from cofront.study.documents import QuantisedDocument

HELP = """Give every layer of a trained network its bits, within a budget, and write its integers.

MODEL is an ONNX or QONNX file, module:callable (a PyTorch module), a design file or a published network's name (both
with --weights). Images calibrate the quantisers and say what bits hurt; the allocation is proven optimal for that; the
accuracy is that of the integers. Sensitivities stay in the folder: another budget is quick."""
EXAMPLE = """
Examples, with CIFAR-10 under $COFRONT_DATA/cifar10:
  $ cofront quantize model.onnx --device bismo-edge --budget '0.6x latency'
  $ cofront quantize mynets:resnet --input-shape 3x32x32 --calib images/ --budget 0.2x\\ size
  $ cofront quantize model.onnx --device zu3eg --budget 2ms --refine train
"""


def run(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="ONNX/QONNX file, module:callable, design or name.")],
    budget: Annotated[
        str, typer.Option("--budget", "-b", help="'0.6x latency' (of 8 bits), 12ms, 3mJ, 1MB; several after commas.")
    ],
    calib: Annotated[
        Path | None,
        typer.Option(
            "--calib",
            "--data",
            help="Images that calibrate, validate and test: folder with Parquet files, CIFAR binary batches or images "
            "by class, or .npz; $COFRONT_DATA/cifar10 if not given.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "-d",
            help="FPGA part (bits and accelerator together), bit-serial accelerator, or table.npy (layers, 8, 8); none "
            "is needed to limit the size.",
        ),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="exact, greedy, evolution or haq.")] = "exact",
    sensitivity: Annotated[
        str,
        typer.Option(
            "--sensitivity",
            help="divergence or loss (measured), hessian or fisher (curvature); auto: divergence, hessian for large "
            "networks.",
        ),
    ] = "auto",
    images: Annotated[int, typer.Option("--images", min=16, help="Training images to calibrate on.")] = 256,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="safetensors file of a design's or name's weights.")
    ] = (None),
    input_shape: InputShape = None,
    mean: Mean = None,
    std: Std = None,
    weight_bits: Annotated[
        str | None,
        typer.Option("--weight-bits", help="Widths to choose from besides 8, 1 to 8; 2-8, on an FPGA part 4,8."),
    ] = None,
    act_bits: Annotated[
        str | None,
        typer.Option("--act-bits", help="Widths to choose from besides 8, 2 to 8; 2-8, on an FPGA part 4,8."),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="LAYER=W4A8", help="Bits of a layer that are not chosen; * in names; repeat it."),
    ] = None,
    refine: Annotated[
        str, typer.Option("--refine", help="none, bias, moments, rounding, or train (fine-tuning by --epochs).")
    ] = "rounding",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs of --refine train; 3.")] = None,
    episodes: Annotated[int | None, typer.Option("--episodes", min=1, help="Episodes of --method haq; 300.")] = None,
    keep_float: Annotated[
        bool, typer.Option("--keep-float", help="Leave operators without integers in floating point.")
    ] = False,
    clock: Clock = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; runs/quantize-MODEL if not given.")] = None,
    study: Annotated[Path | None, typer.Option("--study", help="Study file; in the folder if not given.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront.api.quantise.scene import QuantizeRequest
    from cofront.cli.quantizing import carry_out

    if epochs is not None and refine != "train":
        raise UsageError("--epochs is for --refine train; leave it out, or give both")
    if episodes is not None and method != "haq":
        raise UsageError("--episodes is for --method haq; leave it out, or give both")
    request = QuantizeRequest(
        model=model, budget=budget, data=calib, device=device, method=method, sensitivity=sensitivity, images=images,
        weights=weights, input_shape=parse_shape(input_shape),
        normalised=parse_normalisation(mean, std), weight_bits=widths("--weight-bits", weight_bits),
        act_bits=widths("--act-bits", act_bits), refine=refine, epochs=3 if epochs is None else epochs,
        episodes=300 if episodes is None else episodes, fix=tuple(fix or ()), keep_float=keep_float,
        clock_hz=parse_clock(clock), seed=seed,
    )  # fmt: skip
    document = carry_out(request, out and a_folder("--out", out), study)
    if json:
        output.emit_json(document)
    else:
        show(document)
    return 0 if document.layers else 1


def widths(option: str, text: str | None) -> tuple[int, ...] | None:
    """(2, 3, 4, 8) of "2-4,8"; None: not given."""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not (low.isdecimal() and (high.isdecimal() or not dash)) or len(low + high) > 4:
            raise UsageError(f"{option} expects widths such as 2-8 or 2,4,8, got '{text}'")
        found |= set(range(int(low), int(high or low) + 1))
    return tuple(sorted(found))


def show(document: QuantisedDocument) -> None:
    """The layers with their bits, what was proven, and accuracies."""
    from cofront.api.quantise.shortage import SI, least_and_asked

    if document.infeasible:
        for limit in document.infeasible:
            if limit.limit == "limits":
                output.line("infeasible: no allocation keeps all limits together, though each can be kept alone")
                continue
            if limit.limit not in SI:
                output.line(
                    f"infeasible: {limit_words(limit.limit, limit.needed, limit.available, limit.unit, limit.remedy)}"
                )
                continue
            least, asked = least_and_asked(limit.limit, limit.needed, limit.available)
            output.line(f"infeasible: the least {limit.limit} is {least}, the budget {asked}; {limit.remedy}")
        return
    if not document.layers:
        output.line(
            f"method '{document.method}' found nothing within the budget; --method exact knows whether there is"
        )
        return
    rows = [
        [n.name, n.op, output.quantity(n.macs), output.quantity(n.weights), str(n.weight_bits), str(n.act_bits),
         f"{n.rise:.2g}"]
        for n in document.layers
    ]  # fmt: skip
    columns = ["layer", "operator", "MACs", "weights", "weight bits", "activation bits", "expected rise of the loss"]
    output.table(f"{document.model}: bits by {document.method} allocation", columns, rows)
    for b in document.budgets:
        output.line(
            f"{b.quantity}: {quantity(b.quantity, b.taken or 0.0)} of {quantity(b.quantity, b.limit)} allowed; "
            f"{quantity(b.quantity, b.at_8_bits)} at 8 bits"
        )
    if (scheduled := document.accelerator.get("scheduled_s")) is not None:
        output.line(f"latency by the schedule of its program: {output.seconds(scheduled, 4)}")
    if document.gap is not None and document.bound is not None:
        proven = "proven optimal" if document.gap <= 1e-9 else f"at most {document.gap:.2g} above the optimum"
        output.line(f"expected rise of the loss {document.rise:.3g}: {proven} for this sensitivity model")
    elif document.rise is not None:
        output.line(f"expected rise of the loss {document.rise:.3g}; nothing is proven by method '{document.method}'")
    for a in document.accuracies:
        output.line(f"{a.what}: {output.accuracy(a.accuracy)} of {a.images:,} {a.part} images")
    for name in document.floating:
        output.line(f"in floating point: {name}")
    for note in (document.cost_note, *document.notes):
        output.line(f"note: {note}")
    for kind, path in document.files.items():
        output.line(f"{kind}: {path}")
    if "design" in document.files and document.accelerator.get("can_be_built", True):
        output.line(f"next: cofront build {document.files['design']} --weights {document.files['integers']}")


def quantity(name: str, value: float) -> str:
    """A figure with its unit."""
    if name == "latency":
        return output.seconds(value)
    if name == "energy":
        return f"{1e3 * value:.4g} mJ"
    return f"{value / 1e3:,.1f} kB"
