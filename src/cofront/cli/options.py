"""Options that verbs share, and the parsers of their values. Values are checked here, meaning in `cofront.api`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.errors import UsageError

if TYPE_CHECKING:
    from cofront.api.trained import Normalisation

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on standard output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; the same seed, the same result.")]
Device = Annotated[str, typer.Option("--device", "-d", help="FPGA part, e.g. zu3eg; `cofront devices` lists them.")]
Network = Annotated[str, typer.Argument(metavar="NETWORK", help="Name, ONNX/QONNX file or design file.")]
OwnDevice = Annotated[
    str | None,
    typer.Option("--device", "-d", help="FPGA part; the design file's own, or zu3eg, when not given."),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        help="Channels x height x width, e.g. 3x160x160: of a published network, or for dynamic sizes of an ONNX file.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option("--precision", "-p", help="W8A8, W4A8 or W4A4; W8A8 when neither this nor the file says."),
]
Accelerator = Annotated[
    str | None, typer.Option("--accelerator", help="Accelerator family; subgraph, or the design file's, if not given.")
]
Clock = Annotated[
    str | None, typer.Option("--clock", help="Clock, e.g. 250MHz or 2.5e8; the device's own when not given.")
]
Budget = Annotated[
    list[str] | None,
    typer.Option("--budget", "-b", help="Limit a resource: dsp=200, or dsp=200,lut=40000. Repeatable."),
]

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Images: folder with Parquet files, CIFAR binary batches or images by class, or .npz; "
        "$COFRONT_DATA/cifar10 if not given.",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        help="What the model was trained with: (pixel / 255 - mean) / std, e.g. 0.485,0.456,0.406; "
        "(pixel - 128) / 64 if not given.",
    ),
]
Std = Annotated[str | None, typer.Option("--std", help="The same, e.g. 0.229,0.224,0.225.")]


def parse_clock(text: str | None) -> float | None:
    """Hertz of "250MHz", "0.25 GHz" or "2.5e8"."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*([-+0-9.eE]+|nan|inf)\s*([kKmMgG]?[hH][zZ])?\s*", text)
    try:
        value = float(match.group(1)) if match else math.nan
    except ValueError:
        value = math.nan
    if match and match.group(2):
        value *= {"k": 1e3, "m": 1e6, "g": 1e9}.get(match.group(2)[0].lower(), 1.0)
    elif 0 < value < 1e5:
        raise UsageError(f"--clock {text} is in hertz; write {text}MHz for megahertz")
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"--clock expects a positive frequency such as 250MHz, got '{text}'")
    return value


def parse_pairs(option: str, texts: list[str] | None, example: str) -> dict[str, float]:
    """{"dsp": 200.0} of ["dsp=200"] or ["dsp=200,lut=400"]; a name given twice is refused."""
    out: dict[str, float] = {}
    for item in (part.strip() for text in texts or [] for part in text.split(",")):
        name, equals, raw = item.partition("=")
        name = name.strip().lower()
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not (name and equals and math.isfinite(value)):
            raise UsageError(f"{option} expects NAME=NUMBER such as {example}, got '{item}'")
        if name in out:
            raise UsageError(f"{option} gives '{name}' twice: {out[name]:g} and {value:g}")
        out[name] = value
    return out


def parse_budget(texts: list[str] | None) -> dict[str, int] | None:
    """Resource limits as whole numbers of at least 1."""
    pairs = parse_pairs("--budget", texts, "dsp=200")
    for name, value in pairs.items():
        if value < 1 or value != int(value):
            raise UsageError(f"--budget {name} must be a whole number of at least 1, got {value:g}")
    return {name: int(value) for name, value in pairs.items()} or None


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """(3, 224, 224) of "3x224x224"."""
    if text is None:
        return None
    parts = text.lower().replace(",", "x").split("x")
    if not all(p.strip().isascii() and p.strip().isdigit() and 0 < int(p) <= 1 << 20 for p in parts):
        raise UsageError(f"--input-shape expects sizes such as 3x224x224, got '{text}'")
    return tuple(int(p) for p in parts)


def parse_normalisation(mean: str | None, std: str | None) -> Normalisation | None:
    """--mean and --std, of which both or neither are given; one number stands for all channels."""
    from cofront.api.trained import Normalisation

    if mean is None and std is None:
        return None
    if mean is None or std is None:
        given, other = ("--std", "--mean") if mean is None else ("--mean", "--std")
        raise UsageError(f"{given} goes with {other}: inputs are (pixel / 255 - mean) / std; give both")
    found = []
    for option, text in (("--mean", mean), ("--std", std)):
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = (math.nan,)
        if not all(math.isfinite(v) for v in values):
            raise UsageError(f"{option} expects numbers such as 0.485,0.456,0.406, or one for all, got '{text}'")
        found.append(values)
    return Normalisation(*found)


def positive(option: str, value: float | None) -> float | None:
    """The value, or a UsageError when it is not a positive finite number."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} must be a positive number, got {value:g}")
    return value


def not_a_folder(option: str, path: Path | None) -> None:
    """UsageError when a file to be written is a folder."""
    if path is not None and path.is_dir():
        raise UsageError(f"{option} {path} is a folder; expected a file to write, such as {path / 'design.json'}")


def a_folder(option: str, path: Path) -> Path:
    """The folder to write to; UsageError when it is a file."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{option} {path} is a file; expected a folder to write to")
    return path


def fraction(option: str, value: float | None) -> float | None:
    """An accuracy as a fraction."""
    if value is not None and not 0 < value <= 1:
        hint = f"; write {value / 100:g} for {value:g} %" if 2 <= value <= 100 else ", such as 0.8 for 80 %"
        raise UsageError(f"{option} is a fraction above 0 and at most 1, got {value:g}{hint}")
    return value


def names(option: str, text: str | None, example: str) -> tuple[str, ...] | None:
    """("W8A8", "W4A8") of "W8A8,W4A8"."""
    if text is None:
        return None
    found = tuple(part.strip() for part in text.split(","))
    if not all(found) or any(len(part.split()) > 1 for part in found):
        raise UsageError(f"{option} expects names separated by commas such as {example}, got '{text}'")
    return found
