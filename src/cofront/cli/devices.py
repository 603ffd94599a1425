"""`cofront devices`."""

from __future__ import annotations

from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

HELP = """List the FPGA parts: resources, default clock, memory bandwidth.

With --known: the devices whose latencies come with cofront, for `predict` and `pareto`."""
EXAMPLE = """
Example:
  $ cofront devices
  $ cofront devices --json
  $ cofront devices --known
"""


def run(
    known: Annotated[bool, typer.Option("--known", help="Devices known from public tables, by space.")] = False,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront import api

    if known:
        found = api.known_devices()
        if json:
            output.emit_json(found)
            return
        for entry in found:
            output.line(f"{entry.space}: {', '.join(entry.names)}")
        return
    parts = api.devices()
    if json:
        output.emit_json(parts)
        return
    names = ("dsp", "lut_total", "lut", "ff", "bram36", "uram")
    rows = [
        [
            p.name,
            *(f"{p.resources.get(r, 0):,}" for r in names),
            f"{p.clock_hz / 1e6:g} MHz",
            f"{p.bandwidth_bytes_per_s / 1e9:.3g} GB/s",
        ]
        for p in parts
    ]
    output.table("Devices", ["name", *names, "clock", "memory"], rows)
