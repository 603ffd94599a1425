"""`cofront run`: a published system, from images and a device to a trained network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Clock, Json, Seed, a_folder, parse_clock, positive
from cofront.cli.run_models import SYSTEMS, Trained, run_model
from cofront.errors import UsageError

if TYPE_CHECKING:
    from cofront.study.documents import RunDocument

HELP = """Run a published system: fbnet, light-nas, eh-dnas or nasa on a space; haq or lana on a trained network.

The supernet learns from TASK's training images, the architecture from others of them; what was learnt is judged on
validation images beside the certified front of the same space, polished by exact search, and the derived network is
trained from the start and tested once. It goes on from where it was stopped (Ctrl-C, exit code 130).

haq and lana take --model and --target ('0.6x latency'): `cofront quantize` and `cofront accelerate` have more."""
EXAMPLE = """
Examples, with CIFAR-10 under $COFRONT_DATA/cifar10:
  $ cofront run fbnet --device zu3eg
  $ cofront run light-nas --device zu3eg --target 0.12ms --budget 20
  $ cofront run nasa --device 45nm --no-train
  $ cofront run haq --model trained.onnx --device bismo-edge --target '0.6x latency'
"""


def run(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="fbnet, light-nas, eh-dnas, nasa, haq or lana.")],
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "-d",
            help="FPGA part, table of operators, host or ssh://user@board (measured first), or 45nm: NASA's chip.",
        ),
    ],
    task: Annotated[
        Path | None,
        typer.Option(
            "--task",
            "--data",
            help="Images: folder with Parquet files, CIFAR binary batches or images by class, or .npz; "
            "$COFRONT_DATA/cifar10 if not given.",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Latency to reach, e.g. 24ms, 350us.")] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="Minutes for all: shortens the preset's epochs where needed.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="small: minutes on a CPU; paper: the published setting.")] = (
        "small"
    ),
    model: Annotated[
        str | None, typer.Option("--model", help="Of haq and lana: ONNX file, module:callable or design.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Of haq and lana: safetensors file, for a design or a name.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="Of haq and lana: the model's input, e.g. 3x32x32.")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean",
            help="Of haq and lana: what the model was trained with, (pixel / 255 - mean) / std; (pixel - 128) / 64 if "
            "not given.",
        ),
    ] = None,
    std: Annotated[str | None, typer.Option("--std", help="The same.")] = None,
    space: Annotated[str | None, typer.Option("--space", help="Another space than the preset's.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="Column of the table with the latencies.")] = None,
    weight: Annotated[
        float | None, typer.Option("--weight", help="Exchange rate of the latency, in the system's own terms.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Epochs of the search, 2 at least; of lana, epochs of the fine-tuning."),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option("--episodes", min=1, help="Of haq: episodes of its agent; the preset's if not given.")
    ] = None,
    train_epochs: Annotated[
        int | None, typer.Option("--train-epochs", min=1, help="Epochs of the derived network's training.")
    ] = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Search and judge, train nothing.")] = False,
    clock: Clock = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; runs/SYSTEM-SPACE-DEVICE if not given.")] = (
        None
    ),
    study: Annotated[Path | None, typer.Option("--study", help="Study file; in the folder if not given.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront.api.run.scene import RunRequest
    from cofront.cli.main import INTERRUPTED
    from cofront.cli.running import carry_out

    own = {"--model": model, "--weights": weights, "--input-shape": input_shape, "--mean": mean, "--std": std}
    if system in SYSTEMS:
        return run_model(
            system, Trained(model, weights, input_shape, mean, std), target, device=device, task=task, preset=preset,
            epochs=epochs, episodes=episodes, out=out and a_folder("--out", out), study=study, json=json, seed=seed,
            unused={"--budget": budget, "--space": space, "--column": column, "--weight": weight, "--clock": clock,
                    "--train-epochs": train_epochs, "--no-train": True if no_train else None},
        )  # fmt: skip
    if given := [name for name, value in {**own, "--episodes": episodes}.items() if value is not None]:
        whose = (
            "haq, whose agent has them"
            if given[0] == "--episodes"
            else (f"{' and '.join(SYSTEMS)}, which start from a trained network")
        )
        raise UsageError(f"{given[0]} is for {whose}; leave it out")
    if epochs == 1:
        raise UsageError(f"--epochs of the search of {system} expects at least 2, got 1")
    minutes = positive("--budget", budget)
    request = RunRequest(
        system=system, device=device, task=task, column=column, space=space, preset=preset,
        target_s=parse_seconds("--target", target), weight=weight,
        budget_s=None if minutes is None else 60 * minutes, epochs=epochs, train_epochs=train_epochs,
        train=not no_train, clock_hz=parse_clock(clock), seed=seed,
    )  # fmt: skip
    document = carry_out(request, out and a_folder("--out", out), study)
    if document is None:
        return INTERRUPTED
    if json:
        output.emit_json(document)
    else:
        show(document)
    return INTERRUPTED if document.interrupted else 0


#: Seconds of each unit of time.
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_seconds(option: str, text: str | None) -> float | None:
    """Seconds of "24ms", "350 us", "0.02s"; the unit must be there."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(s|ms|us|µs|ns)\s*", text)
    try:
        value = float(match.group(1)) * _UNITS[match.group(2)] if match else 0.0
    except ValueError:
        value = 0.0
    if not value > 0:
        raise UsageError(f"{option} expects a time above 0 with its unit such as 24ms or 350us, got '{text}'")
    return value


def show(document: RunDocument) -> None:
    """The networks side by side, what was proven, and what to do next."""
    rows = [
        [
            n.role + (" (trained)" if i == document.chosen and document.training is not None else ""),
            output.seconds(n.latency_s), f"{n.loss:.3f}", output.accuracy(n.accuracy), output.accuracy(n.predicted),
            output.quantity(n.macs), output.quantity(n.params),
        ]
        for i, n in enumerate(document.networks)
    ]  # fmt: skip
    title = f"{document.words}: {document.space} on {document.device}"
    if rows:
        columns = ["network", "latency", "loss", "accuracy", "predicted", "MACs", "parameters"]
        output.table(title, columns, rows, document.chosen)
    else:
        output.line(title)
    low, high = document.bounds_s
    output.line(f"networks take {output.seconds(low)} to {output.seconds(high)}; latency: {document.latency_note}")
    if document.target_s is not None and document.networks:
        first = document.networks[0].latency_s
        off = 100 * (first / document.target_s - 1)
        chosen = document.networks[document.chosen or 0]
        said = f"the most likely network is off by {off:+.1f} %"
        if chosen.role != "most likely":
            said += f", the {chosen.role} one takes {output.seconds(chosen.latency_s)}"
        output.line(f"target {output.seconds(document.target_s)}: {said}")
    if document.predictor_note:
        output.line("loss and accuracy: with the supernet's weights; the network of the lower loss is taken")
        output.line(f"predicted: {document.predictor_note}")
    if document.regret is not None:
        output.line(
            f"regret {100 * document.regret:.2f} points: the most likely network below the certified optimum (gap 0) "
            "of that model at its latency"
        )
    if document.training is not None and document.training.test is not None:
        t = document.training
        right = f"{output.accuracy(t.test)} of {t.test_images:,} test images"
        output.line(f"trained {t.epochs} epochs in {t.seconds:.0f} s: {right}")
    for text in document.notes:
        output.line(f"note: {text}")
    for name, path in document.files.items():
        output.line(f"  {name:<12} {path}")
    if document.report:
        output.line(f"  {'report':<12} {document.report}")
