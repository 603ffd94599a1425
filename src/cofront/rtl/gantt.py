"""What the kernels and the memory port did over a run: measured on an engine with probes, drawn as one HTML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cofront.rtl.compare import compare
from cofront.rtl.manifest import Built
from cofront.rtl.netlist import probed_verilog
from cofront.rtl.program import JobInfo
from cofront.rtl.programs import Note, silent
from cofront.rtl.simulate import MemoryModel, Run, Tool, compile_simulator, simulate
from cofront.study.provenance import write_atomic

#: Buckets of a run: enough for a picture of a call that is a twentieth of it.
BUCKETS: Final = 12000


@dataclass(frozen=True)
class Activity:
    """Counts by bucket: cycles of `kernels` (states, buckets) by name, words of the `memory` port (buckets,).

    `differing`: elements of the result that are not those of the integer model.
    """

    bucket: int
    cycles: int
    stamps: tuple[int, ...]
    kernels: dict[str, npt.NDArray[np.int64]]
    memory: npt.NDArray[np.int64]
    differing: int = 0

    def busy(self, name: str) -> float:
        """Share of the whole run in which a kernel multiplied."""
        return float(self.kernels[name][1].sum() / self.cycles)


def measure(
    built: Built,
    images: npt.NDArray[np.uint8],
    *,
    tool: Tool | None = None,
    memory: MemoryModel | None = None,
    note: Note = silent,
) -> Activity:
    """The first image through the engine with probes, on the same simulator and memory as without."""
    note("writing the engine with probes")
    text, ports = probed_verilog(built.config, built.bus_bits, dsp=built.device.dsp_kind, note=note)
    simulator = compile_simulator({"engine.v": text}, ports, built.bus_bits, tool=tool, note=note)
    given = built.manifest["memory"]
    bucket = max(int(built.manifest["expected"]["cycles"]) // BUCKETS, 1)
    model = memory or MemoryModel(int(given["latency"]), int(given["bytes_per_kilocycle"]))
    runs, memories = simulate(simulator, built.program, images[:1], memory=model, bucket=bucket)
    differing = compare(built.quantized, built.program, images[:1], memories).differing
    return replace(activity_of(runs[0]), differing=differing)


def activity_of(run: Run) -> Activity:
    """The counts of a run, of the kernels that did anything."""
    kernels = {
        name: np.array(rows, np.int64).T for name, rows in run.activity.items() if name != "memory" and np.any(rows)
    }
    return Activity(run.bucket, run.cycles, run.stamps, kernels, np.array(run.activity["memory"], np.int64))


def chart_data(activity: Activity, jobs: Sequence[JobInfo], clock_hz: float, stalls: int = 0) -> dict[str, Any]:
    """What `gantt.js` draws; `stalls`: of 1000 cycles, in which memory rested."""
    calls: list[list[Any]] = []
    before = 0
    for job, stamp in zip(jobs, activity.stamps, strict=True):
        if not calls or calls[-1][0] != job.call:
            calls.append([job.call, [], before, stamp])
        calls[-1][1] += [layer for layer in job.layers if layer not in calls[-1][1]]
        calls[-1][3] = before = stamp
    return {
        "bucket": activity.bucket,
        "cycles": activity.cycles,
        "clock_hz": clock_hz,
        "stalls": stalls,
        "kernels": {name: rows[1:].tolist() for name, rows in activity.kernels.items()},
        "memory": activity.memory.tolist(),
        "calls": calls,
    }


def draw(data: dict[str, Any], title: str, path: Path) -> None:
    """The chart of `chart_data` as one HTML file that needs no network."""
    from plotly.offline import get_plotlyjs

    report = files("cofront.study.report")
    payload = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    parts = {
        "title": escaped,
        "style": (report / "page.css").read_text(encoding="utf-8"),
        "script": (report / "gantt.js").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": payload,
    }
    out = []
    for i, piece in enumerate((files("cofront.rtl") / "gantt.html").read_text(encoding="utf-8").split("{{")):
        name, _, rest = piece.partition("}}") if i else ("", "", piece)
        out += [parts[name] if i else "", rest]
    write_atomic(path, "".join(out))
