"""`cofront build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Data, Json, Seed

HELP = """Build a design's accelerator: Verilog, program, weights, test bench.

DESIGN is a design file, as `search` and `fit --save` write them; with --smallest, a study of `search`. An
earlier build in --out is replaced, unless files of others are in it."""
EXAMPLE = """
Example, after `cofront search`:
  $ cofront build runs/subgraph32-zu3eg/design.json -o built
  $ cofront verify built
  $ cofront build runs/subgraph32-zu3eg/study.sqlite --smallest -o built
"""


def run(
    design: Annotated[Path, typer.Argument(metavar="DESIGN", help="Design file; with --smallest, a study.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")] = Path("built"),
    smallest: Annotated[
        bool,
        typer.Option(
            "--smallest",
            help="Of a study's front the design with the fewest DSPs (among equals the fewest LUTs; others may have "
            "fewer LUTs with more DSPs).",
        ),
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", help="Integer network of `train` or `evaluate --out`; the shipped weights if not given."
        ),
    ] = None,
    data: Data = None,
    bus: Annotated[
        int | None,
        typer.Option("--bus", help="Bits of the memory port: 64, 128, 256, 512; by the device if not given."),
    ] = None,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront.api import building
    from cofront.api.smallest import study_at
    from cofront.errors import UsageError

    if not smallest and (study := study_at(design)) is not None:
        raise UsageError(f"'{design}' is a study: add --smallest, or name its design file, {study.parent}/design.json")
    done = building.build(
        design, out, smallest=smallest, weights=weights, data=data, bus_bits=bus, seed=seed, note=output.note
    )
    if json:
        output.emit_json(done)
        return
    used = ", ".join(f"{v} {k}" for k, v in done.resources.items())
    output.line(f"{done.network} on {done.device}: {done.descriptors} descriptors, {done.bus_bits}-bit memory port")
    output.line(f"by the cost model: {done.cycles:,} cycles, {output.seconds(done.latency_s)}; {used}")
    latency = output.seconds(done.scheduled_cycles / done.clock_hz)
    output.line(f"by the schedule of its program: {done.scheduled_cycles:,} cycles, {latency}, {done.fps:,.0f} fps")
    output.line(f"weights: {done.weights}")
    for text in done.notes:
        output.line(f"note: {text}")
    output.line(f"built in {done.folder} ({done.seconds:.0f} s); next: cofront verify {done.folder}")
