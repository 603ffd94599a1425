"""`cofront devices`."""

from __future__ import annotations

from cofront.cli import output
from cofront.cli.options import Json, Seed

HELP = "List the FPGA parts: resources, default clock, memory bandwidth."
EXAMPLE = """
Example:
  $ cofront devices
  $ cofront devices --json
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    from cofront import api

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
