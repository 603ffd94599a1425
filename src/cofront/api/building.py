"""`build` and `verify`: a design as hardware, and the proof that it computes what it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from cofront.api.files import need_file
from cofront.api.scheduling import missed_wish
from cofront.api.weights import real_beside
from cofront.errors import CofrontError, InputError, StudyError, UnsupportedError, UsageError
from cofront.figures import number
from cofront.study.documents import BuildDocument, CyclesPart, DifferencePart, ResourcePart, VerifyDocument, to_json
from cofront.study.provenance import file_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cofront.network import Network
    from cofront.rtl.gantt import Activity
    from cofront.rtl.verify import Simulated, Work
    from cofront.study.documents import DesignDocument
    from cofront.task.integer import QuantizedNetwork

Note = Callable[[str], None]


def build(
    design: Path,
    folder: Path,
    *,
    smallest: bool = False,
    weights: Path | None = None,
    data: Path | None = None,
    bus_bits: int | None = None,
    seed: int = 0,
    note: Note = lambda _: None,
) -> BuildDocument:
    """Builds the accelerator of a design file, or of a study's `smallest` design.

    `weights`: an integer network, as `train` and `evaluate --out` write.
    """
    from cofront.api.networks import design_network, read_design
    from cofront.api.parts import device_of, load_device
    from cofront.api.smallest import smallest_design
    from cofront.hardware.subgraph.config import Config
    from cofront.rtl.build import VECTORS, Source, check_target
    from cofront.rtl.build import build as make
    from cofront.rtl.yosys import need_amaranth, yosys_version
    from cofront.task.fusing import DEFINED, listed, without_integers

    begun = time.monotonic()
    _check_images(data)
    document = smallest_design(design) if smallest else read_design(design)
    need_file(weights, "an integer network, as `cofront train` and `cofront evaluate --out` write it")
    if document.accelerator != "subgraph":
        raise UnsupportedError(f"hardware is generated for accelerator 'subgraph', not '{document.accelerator}'")
    check_target(folder, bus_bits)
    need_amaranth()
    yosys_version()
    config = Config.from_dict(document.design.config, document.clock_hz)
    network = design_network(document)
    if bad := without_integers(network):
        raise UnsupportedError(f"'{network.name}' cannot be built yet for {listed(bad)}: hardware has {DEFINED}")
    device = load_device(device_of(document))
    quantized, origin = integers_of(document, network, weights, seed, note, data)
    images, _, source_note = _images(quantized, data, VECTORS)
    notes = (_unplaced(f"the test bench runs {source_note}", document),)
    named = "" if data is None else str(data.resolve())
    ours = _portable(document)
    text, weights_of = to_json(ours) + "\n", _unplaced(origin, document)
    source = Source(quantized, config, device, text, weights_of, images, notes, named)
    replaced = _replaced(folder, ours)
    built = make(source, folder, bus_bits=bus_bits, note=note)
    if replaced:
        note(replaced)
    m = built.manifest
    cycles = m["expected"]["scheduled_cycles"]
    missed = [
        *missed_wish(document, cycles, "the schedule of its program"),
        *real_beside(Path(design), weights, origin),
    ]
    return BuildDocument(
        design=str(design), folder=str(folder), network=m["network"], device=device.name, clock_hz=m["clock_hz"],
        config=m["config"], bus_bits=built.bus_bits, weights=origin, cycles=m["expected"]["cycles"],
        latency_s=m["expected"]["latency_s"], scheduled_cycles=cycles, fps=m["clock_hz"] / cycles,
        resources=m["expected"]["resources"], descriptors=m["descriptors"],
        memory_bytes=m["memory_bytes"], files=sorted([*m["files"], "manifest.json"]),
        seconds=time.monotonic() - begun, notes=[*m["notes"], *missed],
    )  # fmt: skip


def _portable(document: DesignDocument) -> DesignDocument:
    """A design as it is in a build folder: without the folders that its files are in, but with its network's hash."""

    def name(path: Any) -> Any:
        return Path(path).name if isinstance(path, str) and Path(path).is_absolute() else path

    known = document.network_sha256
    if not known and Path(document.network).is_absolute():
        known = file_hash(Path(document.network))
    return msgspec.structs.replace(
        document, network=name(document.network), network_sha256=known, device_file=name(document.device_file),
        provenance={key: name(value) for key, value in document.provenance.items()},
    )  # fmt: skip


def _unplaced(text: str, document: DesignDocument) -> str:
    """A text for a build folder, in which the network's file and the usual images have names alone."""
    from cofront.task.data import default_path

    for path in (Path(document.network), default_path()):
        if path.is_absolute():
            text = text.replace(str(path), path.name)
    return text


def _replaced(folder: Path, ours: DesignDocument) -> str:
    """What to say of a build in a folder that is of another design than `ours` (`_portable`); "" when there is none."""
    from cofront.api.networks import read_design
    from cofront.rtl.folder import manifest_of

    manifest = manifest_of(folder)
    if manifest is None:
        return ""
    try:
        earlier = _portable(read_design(folder / "design.json"))
    except CofrontError:  # lost, or changed since
        return f"{folder} held a build whose design is lost: replaced"
    same = ("space", "network", "network_sha256", "precision", "input_shape", "device", "clock_hz")
    if all(getattr(earlier, key) == getattr(ours, key) for key in same) and (
        (earlier.design.point, earlier.design.config) == (ours.design.point, ours.design.config)
    ):
        return ""
    return f"{folder} held another design ({manifest['network']} on {manifest['device']}): replaced"


def integers_of(
    document: DesignDocument, network: Network, weights: Path | None, seed: int, note: Note, data: Path | None = None
) -> tuple[QuantizedNetwork, str]:
    """The integers of a design and where they are from: a file, the shipped supernet, or random ones."""
    from cofront.api.weights import SUPERNETS, trained_weights
    from cofront.rtl.standin import random_integers
    from cofront.task.integer import QuantizedNetwork

    if weights is not None:
        found = QuantizedNetwork.load(weights)
        if _structure(found.network) != _structure(network):
            raise InputError(f"'{weights}' holds the integers of another network than the design's")
        return found, f"of {weights.name}"
    reason = f"no trained integers come with '{document.network}'"
    if document.space:
        note("quantising the design's network")
        trained = trained_weights(document, network, seed, data if document.space in SUPERNETS else None)
        if trained.integers is not None:
            return trained.integers, "trained"
        reason = trained.reason.partition(";")[0]
    return random_integers(network, seed), f"random (seed {seed}), useless for inference: {reason}"


def _structure(network: Network) -> list[Any]:
    return [(node.op, node.weight_bits, node.in_bits, network.shapes[node.name]) for node in network.nodes]


def _images(
    quantized: QuantizedNetwork, data: Path | None, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, str]:
    """Test images with labels and what they are; random images where there is no data."""
    import numpy as np

    from cofront.api.training import load_data

    shapes = quantized.network.shapes
    channels, h, w = shapes[quantized.network.input.name]
    classes = shapes[quantized.network.output.name][0]
    try:
        found = load_data(data)
        have = found.x_test.shape[1:]
        reason = ""
        if have[-1] != channels or (h != w and have[:2] != (h, w)):
            reason = f"the test images are {' x '.join(map(str, have))}, the network takes {h} x {w} x {channels}"
    except CofrontError as error:
        if data is not None:
            raise
        reason = str(error)
    if not reason:
        if count > len(found.x_test):
            raise UsageError(f"--images {count}: there are {len(found.x_test)} test images")
        labels = found.y_test[:count] if len(found.classes) == classes else None
        return found.x_test[:count], labels, f"{number(count, 'test image')} of {data.name if data else 'CIFAR-10'}"
    if data is not None:
        raise InputError(reason)
    images = np.random.default_rng(0).integers(0, 256, (count, h, w, channels)).astype(np.uint8)
    return images, None, f"{number(count, 'random image')} ({reason})"


def _check_images(data: Path | None) -> None:
    """An error now for images that are named and are not there, rather than behind other work."""
    from cofront.api.training import check_data

    if data is not None:
        check_data(data)


def _images_of(manifest: dict[str, Any], note: Note) -> Path | None:
    """The images that were named when the folder was built; None when none were, or when they are not here."""
    named = str(manifest.get("data") or "")
    if not named:
        return None
    if not Path(named).exists():
        note(f"the images this was built with ('{named}') are not here: the usual ones are taken; --data names others")
        return None
    return Path(named)


def verify(
    folder: Path,
    *,
    images: int = 4,
    synth: bool = False,
    tensors: bool = False,
    data: Path | None = None,
    simulator: str | None = None,
    stalls: int = 0,
    vcd: Path | None = None,
    gantt: Path | None = None,
    study: Path | None = None,
    jobs: int = 1,
    seed: int = 0,
    note: Note = lambda _: None,
    progress: Callable[[Work], None] | None = None,
) -> VerifyDocument:
    """Simulates a build folder on test images and compares it with the integer model; `synth` counts resources too.

    What is found is added to `study`, whose report then shows it; UsageError when no front there has the design.
    """
    from cofront.api.networks import read_design
    from cofront.rtl.gantt import chart_data, draw, measure
    from cofront.rtl.manifest import read
    from cofront.rtl.programs import beside
    from cofront.rtl.simulate import MemoryModel, choose_tool
    from cofront.rtl.synthesise import family_of
    from cofront.rtl.verify import check_simulation, check_synthesis
    from cofront.rtl.yosys import yosys_version

    if images < 1:
        raise UsageError(f"--images must be at least 1, got {images}")
    if not 0 <= stalls < 1000:
        raise UsageError(f"--stalls is how many of 1000 cycles memory rests, 0 to 999, got {stalls}")
    _check_written(vcd, gantt)
    begun = time.monotonic()
    if not folder.exists():
        raise UsageError(f"there is no folder '{folder}'; `cofront build` writes one")
    _check_images(data)
    if study is not None:
        need_file(study, "a study, as `cofront search` writes it")
    built = read(folder)
    place = None if study is None else _place(study, folder)
    data = data or _images_of(built.manifest, note)
    tool = choose_tool(simulator, note)
    if synth:  # before minutes of simulation
        family_of(built.device)
        yosys_version()
    found, labels, source = _images(built.quantized, data, images)
    given = built.manifest["memory"]
    memory = MemoryModel(int(given["latency"]), int(given["bytes_per_kilocycle"]), stalls, seed)
    with beside(lambda own: check_synthesis(built, note=note, processes=own) if synth else None) as synthesis:
        done = check_simulation(
            built, found, everything=tensors, tool=tool, memory=memory, jobs=jobs, vcd=vcd, note=note, progress=progress
        )  # fmt: skip
        charted = gantt is not None or study is not None
        measured = measure(built, found, tool=tool, memory=memory, note=note) if charted else None
        counted = synthesis.result()
    title = f"{built.manifest['network']} on {built.device.name}"
    result = replace_document(_document(folder, done, images, source, built.manifest["clock_hz"], stalls), title=title)
    if stalls:
        said = [f"memory rests {stalls} of 1000 cycles at random"]
    else:
        said = missed_wish(read_design(folder / "design.json"), done.cycles, "the simulation")
    result = replace_document(result, notes=[*result.notes, *said])
    if labels is not None and built.manifest["weights"].partition(" ")[0] != "random" and not done.comparison.differing:
        accuracy = built.quantized.accuracy(found, cast(Any, labels))
        result = replace_document(result, accuracy=accuracy)
    activity = None
    if measured is not None:
        other = _other_run(measured, done)
        if other:
            result = replace_document(result, notes=[*result.notes, other])
        activity = chart_data(measured, built.program.jobs, built.manifest["clock_hz"], stalls)
        if gantt is not None:
            draw(activity, title, gantt)
        busy = {name: measured.busy(name) for name in measured.kernels}
        result = replace_document(result, busy=busy, gantt=str(gantt) if gantt else None)
    if counted is not None:
        predicted = built.manifest["expected"]["resources"]
        rows = [
            ResourcePart(resource=k, predicted=predicted[k], counted=n, error=(predicted[k] - n) / n if n else None)
            for k, n in counted.resources().items()
        ]
        result = replace_document(result, resources=rows, synthesis=counted.to_dict())
    result = replace_document(
        result,
        seconds=time.monotonic() - begun,
        waveform=str(vcd) if vcd else None,
        study=str(study) if study else None,
    )
    if study is not None and activity is not None and place is not None:
        result = replace_document(result, front_run=place[0], front_index=place[1])
        try:
            _store(study, result, built.manifest["digest"], activity, seed)
        except StudyError as error:  # minutes of simulation are not thrown away for that
            result = replace_document(
                result,
                study=None,
                front_run=None,
                front_index=None,
                notes=[*result.notes, f"not added to the study: {error}"],
            )
    return result


def _check_written(vcd: Path | None, gantt: Path | None) -> None:
    """UsageError for a waveform or chart that cannot be written, or would replace what is none."""
    from cofront.api.ours import check_our_file

    for path, kind, option, what in ((vcd, ".vcd", "--vcd", "a waveform"), (gantt, "chart", "--gantt", "a chart")):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder '{path.parent}' to write '{path.name}' into")
        check_our_file(path, kind, option, what)


def _other_run(measured: Activity, done: Simulated) -> str:
    """What the chart's run has not in common with the verified one; "" if they are the same."""
    if bool(measured.differing) != bool(done.comparison.differing):
        what = "its results differ" if measured.differing else "its results are right"
    elif measured.cycles != done.cycles:
        what = f"it takes {measured.cycles} cycles"
    else:
        return ""
    return f"the chart is of the engine that this version of cofront writes, not of the folder's: {what}"


def _place(study: Path, folder: Path) -> tuple[int, int]:
    """Where in a study the design of a folder is; an error now rather than behind minutes of simulation."""
    from cofront.api.networks import read_design
    from cofront.study import Study
    from cofront.study.fronts import place_of

    with Study(study, write=False) as opened:
        found = place_of(opened.runs(), read_design(folder / "design.json"))
    if found is None:
        raise UsageError(f"no front in study '{study}' has the design of '{folder}': name the study that it is from")
    return found


def _store(study: Path, result: VerifyDocument, digest: str, activity: dict[str, Any], seed: int) -> None:
    from cofront.study import Study

    with Study(study) as opened:
        run = opened.start("verify", {"folder": result.folder, "build": digest, "images": result.images}, seed)
        run.event("activity", activity)
        run.finish("done", result)


def replace_document(document: VerifyDocument, **values: Any) -> VerifyDocument:
    return msgspec.structs.replace(document, **values)


def _document(folder: Path, done: Simulated, images: int, source: str, clock_hz: float, stalls: int) -> VerifyDocument:
    first = done.comparison.first

    def error(predicted: int) -> float | None:
        """Predictions are of a memory that does not rest."""
        return None if stalls else (predicted - done.cycles) / done.cycles

    return VerifyDocument(
        folder=str(folder), passed=not done.comparison.differing, simulator=done.tool, images=images,
        image_source=source, tensors=done.comparison.tensors, elements=done.comparison.elements,
        differing=done.comparison.differing, cycles=done.cycles, fps=clock_hz / done.cycles,
        predicted_cycles=done.predicted_cycles,
        cycles_error=error(done.predicted_cycles), model_cycles=done.model_cycles,
        model_error=error(done.model_cycles), seconds=done.seconds, stalls=stalls,
        calls=[
            CyclesPart(
                call=c.name, layers=list(c.layers), descriptors=c.descriptors, simulated=c.simulated,
                predicted=c.predicted, error=None if stalls else c.error, model=c.model,
            )
            for c in done.calls
        ],
        first_difference=DifferencePart(**asdict(first)) if first else None,
    )  # fmt: skip
