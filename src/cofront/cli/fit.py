"""`cofront fit`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import (
    Accelerator,
    Budget,
    Clock,
    InputShape,
    Json,
    Network,
    OwnDevice,
    Precision,
    Seed,
    not_a_folder,
    parse_budget,
    parse_clock,
    parse_shape,
    positive,
)

HELP = """Find the provably best accelerator for one network.

NETWORK is a published network (`cofront zoo`), an ONNX or QONNX file, or a design file of ours. Exit code 1 with the
limits printed when nothing fits."""
EXAMPLE = """
Example: the fastest accelerator for MobileNetV2, then the fewest DSPs that reach 100 frames per second:
  $ cofront fit mobilenetv2 --device zu3eg --precision W4A8
  $ cofront fit mobilenetv2 --device zu3eg --precision W4A8 --objective dsp --fps 100 --save design.json
"""


def run(
    network: Network,
    device: OwnDevice = None,
    precision: Precision = None,
    input_shape: InputShape = None,
    clock: Clock = None,
    accelerator: Accelerator = None,
    budget: Budget = None,
    objective: Annotated[
        str, typer.Option("--objective", help="What to minimise: latency, energy, dsp, lut, ff or bram36.")
    ] = "latency",
    fps: Annotated[float | None, typer.Option("--fps", help="Frame rate to reach at least.")] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="Engine: enumerate, cpsat, milp, or scipy (HiGHS as SciPy has it: far slower, a cross-check); all "
            "prove the same optimum.",
        ),
    ] = "enumerate",
    time_limit: Annotated[float | None, typer.Option("--time-limit", help="Seconds; the bound stays valid.")] = None,
    grid: Annotated[str, typer.Option("--grid", help="Configurations to consider: coarse or fine.")] = "coarse",
    save: Annotated[Path | None, typer.Option("--save", help="Write network and accelerator as a design file.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront import api
    from cofront.api.exporting import network_to_save
    from cofront.api.ours import check_our_file
    from cofront.cli import show

    not_a_folder("--save", save)
    if save is not None:
        network_to_save(network, save, precision, parse_shape(input_shape))
        check_our_file(save, ".json", "--save")
    best: list[tuple[float, float]] = []  # (value, bound) in the solver's units, as it goes
    try:
        found = api.fit(
            network, device=device, precision=precision, objective=objective, fps=positive("--fps", fps),
            budget=parse_budget(budget), clock_hz=parse_clock(clock), input_shape=parse_shape(input_shape),
            method=method, grid=grid, time_limit_s=positive("--time-limit", time_limit), seed=seed,
            accelerator=accelerator, on_progress=lambda value, bound: best.append((value, bound)),
        )  # fmt: skip
    except KeyboardInterrupt:
        if best and best[-1][0] < float("inf"):
            value, bound = best[-1]
            output.note(
                f"cofront: best so far {value:,.0f}, proven to be at most {value - bound:,.0f} above the optimum"
            )
        raise
    if save is not None and found.status != "infeasible":
        api.save_fit(found, network, save, parse_shape(input_shape), device)
    if json:
        output.emit_json(found)
    else:
        show.fit(found)
        if save is not None and found.status != "infeasible":
            output.line(f"  {'design':<12} {save}")
            output.line(f"next: cofront estimate {shlex.quote(str(save))} --calls")
            if found.accelerator == "subgraph":
                output.line(f"      cofront build {shlex.quote(str(save))} -o built")
    if found.status == "infeasible":
        show.limits(found.infeasible, f"nothing fits {found.network} at {found.precision} on {found.device}")
        return 1
    return 0
