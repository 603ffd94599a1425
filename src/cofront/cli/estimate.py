"""`cofront estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import (
    Accelerator,
    Clock,
    InputShape,
    Json,
    Network,
    OwnDevice,
    Precision,
    Seed,
    parse_clock,
    parse_shape,
)

HELP = """Cost a network on one accelerator, layer by layer, without any search.

NETWORK is a published network (`cofront zoo`), an ONNX or QONNX file, or a design file of ours. The accelerator is a
default one for the device, or the one in --config (the JSON of `fit`, `search` or `export`). Exit code 1 with the
limits printed when it does not fit."""
EXAMPLE = """
Example:
  $ cofront estimate mobilenetv2 --device zu3eg --precision W8A8
"""


def run(
    network: Network,
    device: OwnDevice = None,
    precision: Precision = None,
    input_shape: InputShape = None,
    clock: Clock = None,
    accelerator: Accelerator = None,
    config: Annotated[Path | None, typer.Option("--config", help="JSON with the accelerator to use.")] = None,
    calls: Annotated[bool, typer.Option("--calls", help="Print every call and where its time goes.")] = False,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront import api
    from cofront.cli import show

    found = api.estimate(
        network, device=device, precision=precision, config=config, clock_hz=parse_clock(clock),
        input_shape=parse_shape(input_shape), accelerator=accelerator,
    )  # fmt: skip
    if json:
        output.emit_json(found)
    else:
        show.estimate(found, calls)
    if found.fits:
        return 0
    show.limits(found.infeasible, f"this accelerator for {found.network} does not fit {found.device}")
    return 1
