"""The MODEL argument: a trained network in floating point, from an ONNX file, PyTorch, a design, or a weights file."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cofront.api.networks import imported, resolve
from cofront.api.training import need_torch
from cofront.errors import InputError, UsageError

if TYPE_CHECKING:
    from cofront.network import Network
    from cofront.network.weights import Weights
    from cofront.task.data import Images

#: `package.module:attribute`, which a path or a name of a published network never looks like.
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Normalisation:
    """What a network was trained on: (pixel / 255 - mean) / std, by channel, or one number for all."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or not self.std or min(self.std) <= 0:
            raise UsageError(f"--mean and --std expect numbers, those of --std above 0, got {self.mean} and {self.std}")


@dataclass(frozen=True)
class TrainedModel:
    """A network, its float weights (batch norms folded), what to call it, and what reading it noticed.

    `network` keeps the bit-widths of a file that has them (`has_bits`); otherwise it is in floating point.
    """

    network: Network
    weights: Weights
    label: str
    notes: tuple[str, ...] = ()

    @property
    def has_bits(self) -> bool:
        return any(n.weight_bits is not None for n in self.network.layers)


def load_trained(
    source: str,
    *,
    weights: Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    images: Callable[[], Images] | None = None,
    normalised: Normalisation | None = None,
) -> TrainedModel:
    """The trained model that `source` names, for inputs of (pixel - 128) / 64.

    `normalised` says what it was trained with, where that is something else: it moves into the first layer.

    An ONNX or QONNX file has its weights inside. `module:callable` is imported, from the working folder too, and called
    without arguments for a PyTorch module, which is traced for `input_shape`. A published network's name and a design
    file need `weights`, a safetensors file; a design of `subgraph32` without takes the weights that come with cofront,
    with batch-norm statistics of the training images that `images` gives. UsageError or InputError for anything else.
    """
    found = _load(source, weights, input_shape, images)
    return found if normalised is None else _moved(found, normalised)


def _moved(found: TrainedModel, how: Normalisation) -> TrainedModel:
    from cofront.network.input_scale import rescaled_input

    channels = found.network.shapes[found.network.input.name][0]
    mean, std = (values * channels if len(values) == 1 else values for values in (how.mean, how.std))
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) != channels:
            raise UsageError(f"{option} expects one number, or one for each of {channels} channels, got {len(values)}")
    gain = [64 / 255 / s for s in std]
    offset = [(128 / 255 - m) / s for m, s in zip(mean, std, strict=False)]
    network, weights = rescaled_input(found.network, found.weights, gain, offset)
    note = (
        "its normalisation was moved into the first layer: what is written takes (pixel - 128) / 64, not what --mean "
        "and --std say; padding stands for grey now"
    )
    return replace(found, network=network, weights=weights, notes=(*found.notes, note))


def _load(
    source: str, weights: Path | None, input_shape: tuple[int, ...] | None, images: Callable[[], Images] | None
) -> TrainedModel:
    if _CALLABLE.fullmatch(source) and not Path(source).exists():
        if weights is not None:
            raise UsageError("--weights is for designs and published networks; a PyTorch module has its own")
        return _of_torch(source, input_shape)
    if Path(source).suffix.lower() in (".onnx", ".qonnx"):
        if weights is not None:
            raise UsageError("--weights is for designs and published networks; an ONNX file has its own")
        return _of_onnx(Path(source), input_shape)
    found = resolve(source, None, input_shape)
    from cofront.network import weights as files
    from cofront.network.bits import without_bits

    network = without_bits(found.network)
    if weights is not None:
        return TrainedModel(network, files.load(weights, network), found.label, found.notes)
    design = found.design
    if design is not None and design.space == "subgraph32" and images is not None:
        need_torch("taking weights from the supernet")
        from cofront.task.folded import folded

        network, values = folded(network, images())
        return TrainedModel(network, values, found.label, (*found.notes, "weights of the supernet that ships"))
    raise UsageError(
        f"'{source}' is a network without trained weights: give --weights FILE.safetensors, or the trained network as "
        "an ONNX file"
    )


def _of_onnx(path: Path, input_shape: tuple[int, ...] | None) -> TrainedModel:
    found = imported(path, input_shape)
    if not found.weights:
        raise InputError(f"'{path}' has no weights inside; export it with its parameters")
    return TrainedModel(found.network, dict(found.weights), path.name, found.notes)


def _of_torch(source: str, input_shape: tuple[int, ...] | None) -> TrainedModel:
    need_torch("reading a PyTorch module")
    import torch

    from cofront.network.pytorch import from_torch

    module: Any = _called(source)
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"'{source}' gives {type(module).__name__}; expected a torch.nn.Module")
    if input_shape is None:
        raise UsageError(f"'{source}' needs the shape of its input: --input-shape 3x32x32")
    network, values = from_torch(module, input_shape)
    return TrainedModel(network, values, source)


def _called(source: str) -> Any:
    """What the named function returns; whatever goes wrong in it becomes one line."""
    import torch

    name, _, attribute = source.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found() if callable(found) and not isinstance(found, torch.nn.Module) else found
    except (Exception, SystemExit) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"'{source}' cannot be called: {type(error).__name__}: {line}") from error
    finally:
        if here in sys.path:
            sys.path.remove(here)
