"""Checks of a build folder: outputs against the integer model, cycles and resources against what was expected."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cofront.hardware.subgraph.config import Config
from cofront.rtl import manifest
from cofront.rtl.compare import Comparison, Difference, compare
from cofront.rtl.manifest import Built
from cofront.rtl.netlist import TOP
from cofront.rtl.program import Program
from cofront.rtl.programs import Note, Processes, silent
from cofront.rtl.schedule import schedule
from cofront.rtl.simulate import MemoryModel, Run, Tool, choose_tool, compile_simulator, simulate
from cofront.rtl.synthesise import Synthesis, family_of, synthesise

#: Memory contents kept at once.
BATCH_BYTES = 1 << 28
#: A run is given up after this many times the cycles expected, and these on top.
PATIENCE, SLACK = 6, 200_000


@dataclass(frozen=True)
class CallCycles:
    """Cycles of one call: by the schedule of the program, by the cost model (None: it has no such call), simulated."""

    name: str
    layers: tuple[str, ...]
    descriptors: int
    predicted: int
    model: int | None
    simulated: int

    @property
    def error(self) -> float:
        """(predicted - simulated) / simulated."""
        return (self.predicted - self.simulated) / self.simulated


@dataclass(frozen=True)
class Simulated:
    """Results of the simulation of some images."""

    tool: str
    comparison: Comparison
    runs: tuple[Run, ...]
    calls: tuple[CallCycles, ...]
    model_cycles: int
    seconds: float

    @property
    def predicted_cycles(self) -> int:
        return sum(c.predicted for c in self.calls)

    @property
    def cycles(self) -> int:
        """Cycles of the first image: of all of them, as they depend on memory, which begins afresh with each."""
        return self.runs[0].cycles


@dataclass(frozen=True)
class Work:
    """How far a simulation is: cycles done and expected in all, images done."""

    cycles: int
    total: int
    images: int
    seconds: float

    @property
    def left_s(self) -> float | None:
        return self.seconds * (self.total - self.cycles) / self.cycles if self.cycles else None


def check_simulation(
    built: Built,
    images: npt.NDArray[np.uint8],
    *,
    everything: bool = False,
    tool: Tool | None = None,
    memory: MemoryModel | None = None,
    jobs: int = 1,
    vcd: Path | None = None,
    note: Note = silent,
    progress: Callable[[Work], None] | None = None,
) -> Simulated:
    """Runs images (n, h, w, c) on the built engine and compares the results, or every tensor (`everything`)."""
    chosen = tool or choose_tool()
    simulator = simulator_of(built, chosen, vcd is not None, note)
    expected = int(built.manifest["expected"]["cycles"])
    given = built.manifest["memory"]
    model = memory or MemoryModel(int(given["latency"]), int(given["bytes_per_kilocycle"]))
    # A memory that rests most of the time takes that much longer.
    limit = (PATIENCE * expected + SLACK) * 1000 // (1000 - model.stall_per_mille)
    begun = time.monotonic()
    tracker = _Tracker(expected * len(images), begun, progress)
    size = max(min(BATCH_BYTES // max(jobs * built.program.memory_bytes, 1), -(-len(images) // jobs)), 1)
    batches = [range(i, min(i + size, len(images))) for i in range(0, len(images), size)]

    def run(batch: range) -> tuple[list[Run], Comparison]:
        part = images[batch.start : batch.stop]
        runs, memories = simulate(
            simulator, built.program, part, memory=model, everything=everything,
            limit=limit, vcd=vcd if batch.start == 0 else None,
            progress=lambda image, cycle, _: tracker(batch.start, image * expected + cycle, image), processes=processes,
        )  # fmt: skip
        found = compare(built.quantized, built.program, part, memories, everything=everything, numbers=batch)
        return [replace(r, image=r.image + batch.start) for r in runs], found

    processes, pool = Processes(), ThreadPoolExecutor(max(jobs, 1))
    try:
        futures = [pool.submit(run, batch) for batch in batches]
        for future in as_completed(futures):
            future.result()
        done = [future.result() for future in futures]
    finally:  # interrupted, or one has failed: the others are not waited for
        processes.stop()
        pool.shutdown(cancel_futures=True)
    runs = tuple(r for part, _ in done for r in part)
    return Simulated(
        tool=chosen,
        comparison=_joined([c for _, c in done]),
        runs=runs,
        calls=call_cycles(
            built.program,
            Config.from_dict(built.manifest["config"]),
            {c["name"]: int(c["cycles"]) for c in built.manifest["expected"]["calls"]},
            runs[0].stamps,
            model,
        ),
        model_cycles=expected,
        seconds=time.monotonic() - begun,
    )


class _Tracker:
    """Adds up the progress of batches that run side by side, each in a thread of its own."""

    def __init__(self, total: int, begun: float, show: Callable[[Work], None] | None) -> None:
        self.total, self.begun, self.show = total, begun, show
        self.done: dict[int, tuple[int, int]] = {}
        self.lock = threading.Lock()

    def __call__(self, batch: int, cycles: int, images: int) -> None:
        with self.lock:
            self.done[batch] = (cycles, images)
            if self.show:
                parts = self.done.values()
                cycles, images = sum(c for c, _ in parts), sum(i for _, i in parts)
                self.show(Work(min(cycles, self.total), self.total, images, time.monotonic() - self.begun))


def simulator_of(built: Built, tool: Tool, trace: bool, note: Note) -> Path:
    """The compiled simulator of a build."""
    lines = (line.split() for line in built.text("testbench/ports.h").splitlines())
    names = [words[1].removeprefix("P_") for words in lines if len(words) == 3 and words[1].startswith("P_")]
    sources = {"engine.v": built.text(manifest.VERILOG), "dsp48e2.v": built.text(manifest.MODEL)}
    return compile_simulator(sources, names, built.bus_bits, tool=tool, trace=trace, note=note)


def call_cycles(
    program: Program, config: Config, model: Mapping[str, int], stamps: Sequence[int], memory: MemoryModel
) -> tuple[CallCycles, ...]:
    """Cycles of each call, from the cycles at which descriptors ended. `model`: what the cost model says of a call."""
    predicted: Counter[str] = Counter()
    pace = memory.bytes_per_kilocycle
    for run in schedule(program, config, memory_latency=memory.latency, bytes_per_kilocycle=pace):
        predicted[run.call] += run.cycles
    spent: dict[str, list[int]] = {}
    layers: dict[str, dict[str, None]] = {}
    before = 0
    for job, stamp in zip(program.jobs, stamps, strict=True):
        spent.setdefault(job.call, []).append(stamp - before)
        layers.setdefault(job.call, {}).update(dict.fromkeys(job.layers))
        before = stamp
    return tuple(CallCycles(n, tuple(layers[n]), len(c), predicted[n], model.get(n), sum(c)) for n, c in spent.items())


def _joined(parts: Sequence[Comparison]) -> Comparison:
    first: Difference | None = next((p.first for p in parts if p.first), None)
    return Comparison(
        sum(p.elements for p in parts), sum(p.differing for p in parts), max(p.tensors for p in parts), first
    )


def check_synthesis(built: Built, *, note: Note = silent, processes: Processes | None = None) -> Synthesis:
    """Counts the resources of the built engine."""
    note(f"synthesising with yosys for {family_of(built.device)} (minutes for engines of hundreds of DSPs)")
    return synthesise(built.text(manifest.VERILOG), TOP, family_of(built.device), note=note, processes=processes)
