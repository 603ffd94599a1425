"""`cofront devices`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

HELP = """List the FPGA parts: resources, default clock, memory bandwidth.

With --known: the devices whose latencies come with cofront, for `predict`, `pareto` and `search`; with --space, how
alike they are, or the devices of a --table: the rank correlation of their latencies, pair by pair."""
EXAMPLE = """
Example:
  $ cofront devices
  $ cofront devices --json
  $ cofront devices --known
  $ cofront devices --known --space fbnet --picture fbnet.svg
"""


def run(
    known: Annotated[bool, typer.Option("--known", help="Devices known from public tables, by space.")] = False,
    space: Annotated[
        str | None, typer.Option("--space", help="How alike those of this space are, by random networks.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Compare its columns of latency instead of what comes with cofront.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write the comparison as a picture, FILE.svg.")
    ] = None,
    drop_negative: Annotated[
        bool, typer.Option("--drop-negative", help="Leave negative entries of the table out.")
    ] = False,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront import api

    if known and space is not None:
        _alike(space, table, drop_negative, picture, json, seed)
        return
    if (space, table, picture) != (None, None, None):
        from cofront.errors import UsageError

        raise UsageError("--space, --table and --picture compare known devices: give --known and --space")
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


def _alike(space: str, table: Path | None, drop_negative: bool, picture: Path | None, json: bool, seed: int) -> None:
    """How alike known devices are: numbered rows and columns, and the picture."""
    from cofront.api.alike import alike
    from cofront.api.ours import check_our_file
    from cofront.errors import UsageError
    from cofront.study.provenance import write_atomic
    from cofront.study.report.matrix import matrix_svg, short

    if picture is not None:
        if picture.suffix.lower() != ".svg":
            raise UsageError(f"--picture {picture}: pictures are SVG, choose FILE.svg")
        check_our_file(picture, ".svg", "--picture")
    found = alike(space, table=table, seed=seed, drop_negative=drop_negative)
    if picture is not None:
        write_atomic(picture, matrix_svg(found))
    if json:
        output.emit_json(found)
        return
    rows = [
        [f"{i} {name}", *("-" if v is None else short(v) for v in values)]
        for i, (name, values) in enumerate(zip(found.devices, found.spearman, strict=True), 1)
    ]
    title = f"{found.space}: rank correlation (Spearman) of latencies, {found.networks:,} networks"
    output.table(title, ["device", *(str(i) for i in range(1, len(rows) + 1))], rows)
    output.line(found.source)
    if picture is not None:
        output.line(f"picture: {picture}")
