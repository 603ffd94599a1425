"""`cofront predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

if TYPE_CHECKING:
    from cofront.study.documents import LatencyDocument

HELP = """Predict the latency of networks on a device that was measured, with its uncertainty.

NETWORK is a published name, an ONNX or design file, or a point of a space: fbnet:0,1,2,... A table of operators serves
every network; a few measured networks (measure --samples), or a known device, those of their space."""
EXAMPLE = """
Examples:
  $ cofront predict mobilenetv2 fbnet_a --device host.parquet
  $ cofront predict nasbench201:3,2,1,0,3,2 --device pixel3
  $ cofront predict nasbench201:3,2,1,0,3,2 --device board --table latencies.parquet --json
"""


def run(
    networks: Annotated[list[str], typer.Argument(metavar="NETWORK...", help="Names, files, or points SPACE:0,1,2.")],
    device: Annotated[
        str | None, typer.Option("--device", "-d", help="A measured table, a known device, or a column of --table.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--table", help="Table that holds the device.")] = None,
    space: Annotated[str | None, typer.Option("--space", help="Space of a table that does not say it.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront import api

    found = api.predict(networks, device=device, table=table, space=space)
    if json:
        output.emit_json(found)
    else:
        show(found)


def show(found: LatencyDocument) -> None:
    rows = [
        [
            p.network if len(p.network) <= 40 else p.network[:37] + "...",
            output.seconds(p.latency_s),
            "-" if p.low_s is None else f"{output.seconds(p.low_s)} to {output.seconds(p.high_s)}",
            p.how,
        ]
        for p in found.networks
    ]
    output.table(f"Latency on {found.device}", ["network", "latency", "95 %", "how"], rows)
    for note in found.notes:
        output.line(f"note: {note}")
