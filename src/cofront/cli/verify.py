"""`cofront verify`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Data, Json, Seed
from cofront.figures import number

if TYPE_CHECKING:
    from cofront.rtl.verify import Work
    from cofront.study.documents import VerifyDocument

HELP = """Simulate a built accelerator on test images and compare every output.

DIR is a folder that `build` wrote; the images are those that `build --data` named, while they are there, unless --data
names others. Two predictions of the cycles stand beside the simulated ones: the cost model's, which searches use, and
the schedule's, which knows the program. Exit code 1 when anything differs from the integer model.
Charts and waveforms replace only charts and waveforms that cofront wrote."""
EXAMPLE = """
Example, after `cofront build`:
  $ cofront verify built --images 100 --synth
"""

#: Seconds between lines of progress where there is no terminal.
EVERY_S = 10.0


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Build folder.")],
    images: Annotated[int, typer.Option("--images", "-n", help="How many test images.")] = 4,
    synth: Annotated[bool, typer.Option("--synth", help="Count resources with Yosys, too.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="Compare every intermediate tensor.")] = False,
    data: Data = None,
    simulator: Annotated[
        str | None, typer.Option("--simulator", help="verilator or cxxrtl; verilator where it is installed.")
    ] = None,
    stalls: Annotated[int, typer.Option("--stalls", help="Of 1000 cycles, how many memory rests at random.")] = 0,
    vcd: Annotated[
        Path | None, typer.Option("--vcd", help="Write the waveform of the first image: 90 kB a cycle at 201 DSPs.")
    ] = None,
    gantt: Annotated[
        Path | None, typer.Option("--gantt", help="Chart of what kernels and memory do over an image (HTML).")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Add what is found, and that chart, to a study and its report.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Simulations side by side.")] = os.cpu_count() or 1,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront.api import building

    done = building.verify(
        folder, images=images, synth=synth, tensors=tensors, data=data, simulator=simulator, stalls=stalls, vcd=vcd,
        gantt=gantt, study=study, jobs=jobs, seed=seed, note=output.note, progress=_progress(),
    )  # fmt: skip
    if json:
        output.emit_json(done)
    else:
        _show(done)
    return 0 if done.passed else 1


def _progress() -> Callable[[Work], None]:
    """Shows how far a simulation is and how long it will still take."""
    last = time.monotonic()

    def show(work: Work) -> None:
        nonlocal last
        if time.monotonic() - last < (0.5 if sys.stderr.isatty() else EVERY_S) or work.cycles == 0:
            return
        last = time.monotonic()
        left = "" if work.left_s is None else f", about {work.left_s:.0f} s left"
        text = f"cofront: simulating, {number(work.images, 'image')} done, {100 * work.cycles / work.total:.0f} %{left}"
        print(text, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    return show


def _show(done: VerifyDocument) -> None:
    rows = [
        [c.call, str(c.descriptors), f"{c.simulated:,}", *_against(c.model, c.simulated, done.stalls),
         *_against(c.predicted, c.simulated, done.stalls)]
        for c in done.calls
    ]  # fmt: skip
    runs = str(sum(c.descriptors for c in done.calls))
    rows.append(
        ["all", runs, f"{done.cycles:,}", *_against(done.model_cycles, done.cycles, done.stalls),
         *_against(done.predicted_cycles, done.cycles, done.stalls)]
    )  # fmt: skip
    columns = ["call", "runs", "simulated", "cost model", "model is off", "schedule", "schedule is off"]
    output.table("cycles", columns, rows)
    if done.resources:
        found = [[r.resource, f"{r.predicted:,}", f"{r.counted:,}", output.percent(r.error)] for r in done.resources]
        output.table("resources (counted: Yosys estimate)", ["", "cost model", "counted", "model is off"], found)
    if done.busy:
        busy = ", ".join(f"{name} {output.percent(share, 0)}" for name, share in done.busy.items())
        output.line(f"kernels multiply: {busy} of the time{f'; chart: {done.gantt}' if done.gantt else ''}")
    if done.study:
        output.line(f"added to {done.study}; see it with: cofront report {done.study}")
    for text in done.notes:
        output.line(f"note: {text}")
    if done.accuracy is not None:
        right = f"{round(done.accuracy * done.images):,} of {done.images:,}"
        output.line(f"accuracy on these images: {right} ({output.accuracy(done.accuracy)})")
    if done.fps:
        output.line(f"an image after the other: {output.seconds(1 / done.fps)}, {done.fps:,.0f} fps")
    what = (
        f"{number(done.elements, 'element')} of {number(done.tensors, 'tensor')}, {done.image_source}, {done.simulator}"
    )
    if done.first_difference is None:
        output.line(f"bit-exact: {what}")
        return
    d = done.first_difference
    output.line(f"NOT equal: {done.differing:,} of {what}")
    output.line(
        f"first: image {d.image}, layer '{d.layer}' (tensor '{d.tensor}'), pixel ({d.row}, {d.column}), "
        f"channel {d.channel}: {d.found}, expected {d.expected} (descriptor {d.descriptor})"
    )


def _against(predicted: int | None, simulated: int, stalls: int) -> list[str]:
    """A prediction, and how far it is off the simulation, unless memory rested in that."""
    if predicted is None or not simulated or stalls:
        return ["-" if predicted is None else f"{predicted:,}", "-"]
    return [f"{predicted:,}", f"{100 * (predicted - simulated) / simulated:+.2f} %"]
