"""`export`: a design as ONNX, QONNX, weights and accelerator JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cofront import __version__
from cofront.api.costing import TABLE, cost_part, family
from cofront.api.networks import block_precisions, design_network, design_text, read_design
from cofront.api.ours import check_ours, is_ours
from cofront.api.parts import device_file, device_of, load_device
from cofront.api.weights import Trained, check_request, trained_weights
from cofront.errors import CofrontError, StudyError, UsageError, unknown_name
from cofront.study.documents import (
    AcceleratorDocument,
    Cost,
    Design,
    DesignDocument,
    ExportDocument,
    FitDocument,
    SearchDocument,
    to_json,
)
from cofront.study.provenance import file_hash, write_atomic

if TYPE_CHECKING:
    from cofront.network import Network

#: Format -> file name.
FORMATS = {
    "design": "design.json",
    "accelerator": "accelerator.json",
    "onnx": "network.onnx",
    "qonnx": "network.qonnx.onnx",
    "integer": "network.integer.onnx",
    "weights": "weights.safetensors",
}


def formats_of(found: SearchDocument | DesignDocument) -> list[str]:
    """The formats that make sense for its designs: a device known by a table has no accelerator to build."""
    return [f for f in FORMATS if f != "accelerator" or found.accelerator != TABLE]


@dataclass(frozen=True)
class Exported:
    """Format -> file written, and what was left out with the reason."""

    files: dict[str, str]
    left_out: list[str]


def design_document(search: SearchDocument, index: int, network: Network, provenance: dict[str, Any]) -> DesignDocument:
    """Design `index` of a front as a document of its own."""
    d = search.front[index]
    design = msgspec.structs.replace(d, macs=network.macs, params=network.params, precisions=block_precisions(network))
    return DesignDocument(
        accelerator=search.accelerator, device=search.device, clock_hz=search.clock_hz, design=design,
        space=search.space,
        provenance={"gap": search.gap, "designs": search.designs, "accuracy": search.accuracy_note, **provenance},
    )  # fmt: skip


def save_fit(
    found: FitDocument,
    source: str,
    path: Path,
    input_shape: tuple[int, ...] | None = None,
    device: str | None = None,
) -> DesignDocument:
    """Writes the result of `fit` as a design file; `source`, `input_shape` and `device` are what it was found for."""
    if found.config is None or found.latency_s is None or found.cycles is None or found.fps is None:
        raise UsageError("nothing to save: no accelerator was found")
    base, earlier = network_to_save(source, path, found.precision, input_shape)
    design = msgspec.structs.replace(
        base.design, latency_s=found.latency_s, fps=found.fps, cycles=found.cycles, resources=found.resources or {},
        config=found.config, energy_j=found.energy_j, macs=found.macs, params=found.params,
    )  # fmt: skip
    proof = {"status": found.status, "objective": found.objective, "bound": found.bound, "designs": found.designs}
    document = msgspec.structs.replace(
        base,
        accelerator=found.accelerator,
        device=found.device,
        device_file=earlier.device_file if device is None and earlier is not None else device_file(device),
        clock_hz=found.clock_hz,
        design=design,
        provenance=proof,
    )
    write_atomic(path, design_text(document, path.parent))
    return document


def network_to_save(
    source: str, path: Path, precision: str | None, input_shape: tuple[int, ...] | None = None
) -> tuple[DesignDocument, DesignDocument | None]:
    """A design file for `path` that has its network alone, and the design file that `source` is, if any.

    `precision` is what was asked for, or the label of a network. UsageError when the network would still have to be
    read from the file that is replaced.
    """
    from cofront.api.networks import resolve

    uniform = "" if precision is None or "+" in precision else precision
    own = resolve(source, None, input_shape)
    earlier, label = own.design, resolve(source, uniform or None, input_shape).precision
    if earlier is not None and label == own.precision:
        base = earlier
    elif earlier is not None and not earlier.space:
        base = msgspec.structs.replace(earlier, precision=uniform)
    else:  # a design of a space has precisions of its own: at another one it is only a network
        base = DesignDocument(
            device="", clock_hz=0.0, network=str(Path(source).resolve()) if Path(source).is_file() else source,
            design=Design(accuracy=None, latency_s=0.0, fps=0.0, cycles=0, resources={}, config={}),
            precision=label if "+" not in label else "", input_shape=list(input_shape or ()),
        )  # fmt: skip
    if not base.network_sha256 and Path(base.network).is_absolute():
        base = msgspec.structs.replace(base, network_sha256=file_hash(Path(base.network)))
    if _is_source(path, base):
        raise UsageError(f"--save {path}: the network is read from that file; choose another")
    return base, earlier


def _is_source(path: Path, design: DesignDocument) -> bool:
    """Whether a path is the file that a design's network is read from."""
    source = Path(design.network)
    return bool(design.network) and path.exists() and source.exists() and path.samefile(source)


def export(
    design: Path, folder: Path, formats: Sequence[str] | None = None, seed: int = 0, data: Path | None = None
) -> ExportDocument:
    """Writes a design file's network and accelerator to `folder`. `data`: see `trained_weights`."""
    document = read_design(design)
    check_request(document.space, data)
    wanted = formats or [f for f in formats_of(document) if f != "design"]
    for path in (folder / FORMATS[f] for f in wanted if f in FORMATS):
        if _is_source(path, document):
            raise UsageError(f"--out {folder}: the network is read from '{path}'; choose another folder")
    check_ours(folder, [FORMATS[f] for f in wanted if f in FORMATS])
    network = design_network(document)
    cost = None
    if document.accelerator != TABLE:
        config = family(document.accelerator).config(document.design.config, document.clock_hz)
        cost, _ = cost_part(network, load_device(device_of(document)), config, document.accelerator)
    done = export_design(document, network, cost, folder, wanted, seed, data)
    return ExportDocument(design=str(design), files=done.files, left_out=done.left_out)


def export_design(
    design: DesignDocument,
    network: Network,
    cost: Cost | None,
    folder: Path,
    formats: Sequence[str],
    seed: int = 0,
    data: Path | None = None,
) -> Exported:
    """Writes the formats asked for; what cannot be written is named with the reason. `cost`: None on a table."""
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    files: dict[str, str] = {}
    left_out: list[str] = []

    def put(name: str, write: Callable[[Path], None]) -> None:
        path = folder / FORMATS[name]
        try:
            write(path)
        except StudyError:  # a disk that is full or not ours: nothing further can be written either
            raise
        except CofrontError as error:
            left_out.append(f"{FORMATS[name]}: {error}")
            return
        files[name] = str(path)

    before = _trained_before(folder, design)
    if "design" in formats:
        put("design", lambda p: write_atomic(p, design_text(design, folder)))
    if "accelerator" in formats and cost is None:
        left_out.append(
            f"{FORMATS['accelerator']}: '{design.device}' is known by a table, which says of no accelerator"
        )
    elif "accelerator" in formats and cost is not None:
        put("accelerator", lambda p: write_atomic(p, to_json(accelerator_document(design, cost)) + "\n"))
    if {"onnx", "qonnx", "integer", "weights"} & set(formats):
        trained = trained_weights(design, network, seed, data)
        if trained.reason and before:  # random weights must not take the place of trained ones
            left_out.append(f"trained weights: {trained.reason}; those of the same design that are here stay")
            files |= {name: str(folder / FORMATS[name]) for name in before if name in formats}
        else:
            if trained.reason:
                left_out.append(f"trained weights: {trained.reason}")
            _write_network(network, trained, formats, put)
    for name in formats:
        if name not in files and is_ours(folder / FORMATS[name]):
            (folder / FORMATS[name]).unlink()  # a file of an earlier design must not stand beside this one's
    return Exported(files, left_out)


def _trained_before(folder: Path, design: DesignDocument) -> list[str]:
    """The formats of network files in `folder` that hold trained weights of the same network, if any."""
    if not is_ours(folder / FORMATS["integer"]) or not (folder / FORMATS["design"]).is_file():
        return []
    try:
        earlier = read_design(folder / FORMATS["design"])
    except CofrontError:  # not a design of ours
        return []
    same = (earlier.space, earlier.network, earlier.design.point) == (design.space, design.network, design.design.point)
    names = ("onnx", "qonnx", "integer", "weights")
    return [n for n in names if is_ours(folder / FORMATS[n])] if same else []


def _write_network(network: Network, trained: Trained, formats: Sequence[str], put: Callable[..., None]) -> None:
    from cofront.network import weights
    from cofront.network.onnx_io import calibrate, to_integer_onnx, to_onnx, to_qonnx

    def serialised(make: Callable[[], Any]) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            model = make()
            if trained.integers is not None and trained.integers.input_scale:
                note = model.metadata_props.add()
                note.key, note.value = "input", _input(trained.integers, model)
            write_atomic(path, model.SerializeToString())

        return write

    if "onnx" in formats:
        put("onnx", serialised(lambda: to_onnx(network, trained.weights)))
    if "qonnx" in formats:
        put(
            "qonnx",
            serialised(
                lambda: to_qonnx(network, trained.quantisation or calibrate(network, trained.weights, trained.samples))
            ),
        )
    if "integer" in formats and trained.integers is not None:
        put("integer", serialised(lambda: to_integer_onnx(trained.integers)))
    if "weights" in formats and trained.integers is not None:
        put("weights", trained.integers.save)
    elif "weights" in formats and not trained.reason:
        put(
            "weights",
            lambda path: weights.save(path, trained.weights, {"network": network.name, "cofront": __version__}),
        )


def _input(integers: Any, model: Any) -> str:
    """What the input of a model means, for its metadata."""
    if model.graph.input[0].type.tensor_type.elem_type != 1:  # not float: the pixels themselves
        return "pixels 0 to 255, RGB, resized to this resolution"
    return f"{integers.input_scale:g} * (pixel - {integers.input_zero}), RGB, resized to this resolution"


def accelerator_document(design: DesignDocument, cost: Cost) -> AcceleratorDocument:
    """The accelerator and its schedule: what a hardware flow needs."""
    return AcceleratorDocument(
        family=design.accelerator, device=design.device, clock_hz=cost.clock_hz, config=cost.config,
        resources=cost.resources, budget=cost.budget, calls=cost.calls, provenance=design.provenance,
    )  # fmt: skip
