"""What the kernels and the memory port did over a run: measured on an engine with probes, drawn as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cofront.rtl.manifest import Built
from cofront.rtl.netlist import probed_verilog
from cofront.rtl.program import JobInfo
from cofront.rtl.simulate import MemoryModel, Run, compile_simulator, simulate
from cofront.rtl.yosys import Note, silent
from cofront.study.provenance import write_atomic

#: Columns of the picture.
BUCKETS: Final = 1500

_COLOURS: Final = ("rgba(0,0,0,0)", "#2a78b5", "#e3a008", "#c0392b")
_STATES: Final = ("idle", "busy", "waits for input", "waits for output")


@dataclass(frozen=True)
class Activity:
    """Shares of time, bucket by bucket: `kernels` (states, buckets) by name, `memory` (buckets,) of the port's rate."""

    bucket: int
    cycles: int
    stamps: tuple[int, ...]
    kernels: dict[str, npt.NDArray[np.float64]]
    memory: npt.NDArray[np.float64]

    def busy(self, name: str) -> float:
        """Share of the whole run in which a kernel multiplied."""
        return float(self.kernels[name][1].sum() * self.bucket / self.cycles)


def measure(built: Built, images: npt.NDArray[np.uint8], note: Note = silent) -> Activity:
    """One image through the engine with probes."""
    note("writing the engine with probes")
    text, ports = probed_verilog(built.config, built.bus_bits, note)
    cache = built.folder / "simulators"
    simulator = compile_simulator({"engine.v": text}, ports, built.bus_bits, cache, note=note)
    given = built.manifest["memory"]
    bucket = max(int(built.manifest["expected"]["cycles"]) // BUCKETS, 1)
    model = MemoryModel(int(given["latency"]), int(given["bytes_per_kilocycle"]))
    runs, _ = simulate(simulator, built.program, images[:1], memory=model, bucket=bucket)
    return activity_of(runs[0])


def activity_of(run: Run) -> Activity:
    """Shares from counts."""
    size = float(run.bucket)
    kernels = {
        name: np.array(rows, np.float64).T / size
        for name, rows in run.activity.items()
        if name != "memory" and np.any(rows)
    }
    return Activity(run.bucket, run.cycles, run.stamps, kernels, np.array(run.activity["memory"], np.float64) / size)


def draw(activity: Activity, jobs: Sequence[JobInfo], title: str, path: Path) -> None:
    """The chart as one HTML file."""
    write_atomic(path, figure(activity, jobs, title).to_html(include_plotlyjs=True, full_html=True))


def figure(activity: Activity, jobs: Sequence[JobInfo], title: str) -> Any:
    """A row for each kernel and the memory port, stacked shares of time by state; calls are marked below."""
    from plotly.graph_objects import Bar, Figure
    from plotly.subplots import make_subplots

    names = list(activity.kernels)
    titles = [f"{name}: busy {100 * activity.busy(name):.0f} % of the time" for name in names]
    chart: Figure = make_subplots(
        rows=len(names) + 1, cols=1, shared_xaxes=True, vertical_spacing=0.06,
        subplot_titles=[*titles, "memory port: words per cycle"],
    )  # fmt: skip
    x = (np.arange(len(activity.memory)) + 0.5) * activity.bucket
    for row, name in enumerate(names, 1):
        for state in (1, 2, 3):
            chart.add_trace(
                Bar(
                    x=x, y=np.round(activity.kernels[name][state], 3), width=activity.bucket, name=_STATES[state],
                    marker={"color": _COLOURS[state], "line": {"width": 0}}, legendgroup=_STATES[state],
                    showlegend=row == 1, hovertemplate="cycle %{x:.0f}: %{y:.0%}",
                ),
                row=row, col=1,
            )  # fmt: skip
    chart.add_trace(
        Bar(
            x=x, y=np.round(activity.memory, 3), width=activity.bucket, name="words moved", showlegend=False,
            marker={"color": "#777777", "line": {"width": 0}},
        ),
        row=len(names) + 1, col=1,
    )  # fmt: skip
    before, call = 0, ""
    for job, stamp in zip(jobs, activity.stamps, strict=True):
        if job.call != call:
            chart.add_vline(x=before, line={"width": 0.5, "color": "#999999"})
            chart.add_annotation(
                x=before, y=0, yref="paper", yanchor="top", yshift=-18, xanchor="left", text=job.call, textangle=60,
                showarrow=False, font={"size": 8},
            )  # fmt: skip
            call = job.call
        before = stamp
    chart.update_layout(
        title=f"{title}: {activity.cycles:,} cycles", barmode="stack", bargap=0, template="plotly_white",
        height=170 * (len(names) + 1) + 120, margin={"b": 110}, legend={"orientation": "h", "y": 1.12},
    )  # fmt: skip
    chart.update_yaxes(range=[0, 1.02])
    return chart
