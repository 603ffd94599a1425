"""The NETWORK argument: a published network, an ONNX or QONNX file, or a design file of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront.api.files import need_file
from cofront.errors import InputError, UnsupportedError, UsageError
from cofront.network.bits import with_precision
from cofront.study.documents import DesignDocument, clean, from_json, to_json
from cofront.study.provenance import file_hash

if TYPE_CHECKING:
    from cofront.network import Network
    from cofront.network.onnx_io.read import Imported

#: The largest side of an image that published networks are built for.
MOST_PIXELS = 4096


@dataclass(frozen=True)
class Resolved:
    """A network with bit-widths, where it came from, and the design it is part of (for a design file)."""

    network: Network
    label: str
    precision: str
    design: DesignDocument | None = None
    notes: tuple[str, ...] = ()


def resolve(
    source: str | Path | Network, precision: str | None = None, input_shape: tuple[int, ...] | None = None
) -> Resolved:
    """The network that `source` names.

    `precision` (such as "W4A8") sets every layer; without it a file's own bit-widths hold, and W8A8 where it has none.
    `input_shape` (without batch) fixes the dynamic sizes of an ONNX file, or is that of a published network, which can
    be had for any square image; a design and a Network have theirs.
    """
    from cofront.network import Network

    design = None
    notes: tuple[str, ...] = ()
    if isinstance(source, Network):
        network, label = source, source.name
        _own_shape(network, label, input_shape)
    else:
        path = Path(source)
        kind = path.suffix.lower()
        if kind == ".json":
            design = read_design(path)
            network, label = design_network(design), path.name
            _own_shape(network, label, input_shape)
        elif kind in (".onnx", ".qonnx") or path.is_file():
            found = imported(path, input_shape)
            network, label, notes = found.network, path.name, found.notes
        else:
            from cofront.network import zoo

            if path.exists() or len(path.parts) > 1:
                raise UsageError(f"'{source}' is not a file; expected an ONNX file, a design file or a network's name")
            if input_shape is None:
                network = zoo.load(str(source))
            else:
                network = zoo.load(str(source), resolution=_resolution(str(source), input_shape))
                notes = (f"input {'x'.join(map(str, input_shape))}",)
            label = network.name
    network = with_precision(network, precision)
    return Resolved(network, label, precision_label(network), design, notes)


#: What can be done where the command line has no option for it.
ONE_OUTPUT = "expected one: export the network with that alone, or cut the file (onnx.utils.extract_model)"


def imported(path: Path, input_shape: tuple[int, ...] | None) -> Imported:
    """What is in an ONNX or QONNX file; its errors speak of the command line's options."""
    from cofront.network.onnx_io import import_onnx

    need_file(path, "an ONNX model")
    try:
        return import_onnx(path, input_shape=input_shape)
    except UnsupportedError as error:
        text = str(error).replace("(input_shape=...)", "(--input-shape 3x224x224)")
        text = text.replace("say which one is meant with output=NAME", ONE_OUTPUT)
        raise UnsupportedError(text) from None


def _own_shape(network: Network, label: str, asked: tuple[int, ...] | None) -> None:
    """UsageError when another shape is asked for than the network has."""
    own = network.input.op.out_shape(())
    if asked is not None and asked != own:
        raise UsageError(
            f"'{label}' takes {'x'.join(map(str, own))}; --input-shape is for ONNX files and published networks, got "
            f"{'x'.join(map(str, asked))}"
        )


def _resolution(name: str, shape: tuple[int, ...] | None) -> int | None:
    """The side of a published network's input; None: its own."""
    if shape is None:
        return None
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        side = shape[-1]
        raise UsageError(
            f"--input-shape {'x'.join(map(str, shape))}: '{name}' takes square images of three channels; write "
            f"3x{side}x{side}"
        )
    if shape[1] > MOST_PIXELS:
        raise UsageError(f"--input-shape: '{name}' is built for images of at most {MOST_PIXELS} x {MOST_PIXELS}")
    return shape[1]


def read_design(path: Path) -> DesignDocument:
    """A design file, as `search` and `export` write them."""
    from cofront.api.files import read_text

    if path.suffix.lower() in (".onnx", ".qonnx"):
        raise UsageError(
            f"'{path}' is an ONNX file, expected a design file; `cofront fit {path} --save design.json` writes one"
        )
    need_file(path, "a design file, as `cofront search`, `cofront run` and `cofront fit --save` write it")
    if path.is_dir():
        inside = path / "design.json"
        raise UsageError(f"'{path}' is a folder; expected a design file" + f", such as {inside}" * inside.is_file())
    found = from_json(read_text(path), DesignDocument, f"design file '{path}'")
    if not found.network_sha256:
        return found
    return msgspec.structs.replace(found, network=os.path.normpath(path.resolve().parent / found.network))


def design_text(design: DesignDocument, folder: Path) -> str:
    """The text of a design file in a folder: a network's file stands in it relative to that, so that both can move."""
    if design.network_sha256:
        with suppress(ValueError):  # on another drive
            network = Path(os.path.relpath(design.network, folder.resolve())).as_posix()
            design = msgspec.structs.replace(design, network=network)
    return to_json(design) + "\n"


def design_network(design: DesignDocument) -> Network:
    """The Network of a design: rebuilt from its space and point, or read again from its source.

    InputError when the source is another file than the design was made for.
    """
    if design.network_sha256:
        source = Path(design.network)
        need_file(
            source, "the network of the design, whose file names it relative to itself: keep the two together, or fit "
            "it again (cofront fit NETWORK --save)"
        )  # fmt: skip
        if file_hash(source) != design.network_sha256:
            raise InputError(
                f"'{source}' is not the network that the design was made for (another SHA-256); restore it, or fit it "
                "again (cofront fit NETWORK --save)"
            )
    if not design.space:
        return resolve(design.network, design.precision or None, tuple(design.input_shape) or None).network
    return space_network(design.space, design.design.point, design.design.choices)


def space_network(name: str, point: Sequence[int], choices: Mapping[str, Any]) -> Network:
    """The Network of a point of a space. The values of the choices decide: a space with other options than the
    default (resolutions) numbers them differently."""
    import numpy as np

    from cofront import space

    found = space.load(name)
    try:
        points = found.validate(np.array([list(point)], dtype=np.int64).reshape(1, -1))
        if choices and clean(found.describe(points[0])) != clean(dict(choices)):
            raise InputError("the point is of another version of the space")
    except (InputError, OverflowError):
        if not choices:
            raise InputError(f"space '{name}' has no point {list(point)[:40]}") from None
        found, points = found.from_table({k: [v] for k, v in choices.items()})
    return found.network(points[0])


def precision_label(network: Network) -> str:
    """ "W4A8", or all precisions of a mixed network joined by "+"."""
    found = {f"W{n.weight_bits}A{n.in_bits}" for n in network.layers}
    return "+".join(sorted(found, reverse=True))


def block_precisions(*parts: Network) -> dict[str, int]:
    """How many blocks (layers, where there are no blocks) of a network are at which precision, the widest first.

    The network may come in parts.
    """
    blocks = {n.block or n.name: f"W{n.weight_bits}A{n.in_bits}" for part in parts for n in part.layers}
    found = list(blocks.values())
    return {p: found.count(p) for p in sorted(set(found), reverse=True)}
