"""`cofront search`: the main job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cofront.cli.options import (
    Accelerator,
    Budget,
    Clock,
    Data,
    Device,
    Json,
    Seed,
    a_folder,
    fraction,
    names,
    parse_budget,
    parse_clock,
    positive,
)

HELP = """Find the exact front of networks, precisions and accelerators, and export a design.

Without further options: networks for 32 x 32 images (space subgraph32) with the accuracies measured on CIFAR-10 that
come with cofront. Writes a study, a report and the design asked for by --fps or --accuracy (the knee of the front when
neither is given) to --out: over files that cofront wrote, never over others. The same command again takes the finished
result from the study; Ctrl-C keeps what was found, with its certified gap (exit code 130).

--device may also be host, ssh://user@board, a table of measurements, or a device known by networks of the space
(`cofront devices --known`): then networks alone are chosen, and no accelerator."""
EXAMPLE = """
Examples:
  $ cofront search --device zu3eg --fps 2000
  $ cofront search --method nsga2 --time-limit 60
  $ cofront search --device host.parquet --space ofa_mobilenetv3 --accuracy-table top1.parquet
  $ cofront search --device few.parquet --space nasbench201 --accuracy-table top1.parquet --accuracy 0.9
  $ cofront search --space ofa_mobilenetv3 --accuracy-table top1.parquet --penalty W4A8=1.0,W4A4=4.0
"""


def run(
    device: Device = "zu3eg",
    space: Annotated[str, typer.Option("--space", help="Search space; `cofront spaces` lists them.")] = "subgraph32",
    fps: Annotated[float | None, typer.Option("--fps", help="Export the most accurate design this fast.")] = None,
    accuracy: Annotated[
        float | None, typer.Option("--accuracy", help="Export the fastest design at least this accurate (0.9).")
    ] = None,
    accuracy_table: Annotated[
        Path | None, typer.Option("--accuracy-table", help="Your own measurements: Parquet, CSV or JSON.")
    ] = None,
    accuracy_column: Annotated[str | None, typer.Option("--accuracy-column", help="Its column to use.")] = None,
    latency_column: Annotated[
        str | None, typer.Option("--latency-column", help="Of a --device that is a table of whole networks: which.")
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option("--penalty", help="Accuracy points lost by precisions not measured: W4A8=1.0,W4A4=4.0."),
    ] = None,
    precisions: Annotated[
        str | None,
        typer.Option("--precision", "-p", help="Only these, e.g. W8A8,W4A8; all measured ones if not given."),
    ] = None,
    budget: Budget = None,
    clock: Clock = None,
    grid: Annotated[
        str, typer.Option("--grid", help="Accelerator configurations to consider: coarse or fine.")
    ] = "coarse",
    method: Annotated[
        str, typer.Option("--method", help="exact; or nsga2, nsga2-fit, random, sequential, hao: nothing is proven.")
    ] = "exact",
    predictor: Annotated[
        str, typer.Option("--predictor", help="Accuracy model: additive; svr (methods nsga2-fit and hao only).")
    ] = "additive",
    accelerator: Accelerator = None,
    third: Annotated[
        str | None,
        typer.Option(
            "--third",
            help="A third objective: dsp, lut, ff or bram36 (the exact front at each of 12 budgets of it), or energy "
            "(the exact fronts of latency and of energy).",
        ),
    ] = None,
    cover: Annotated[
        float | None,
        typer.Option("--cover", help="Also: how few accelerators lose at most so many accuracy points anywhere."),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            help="Seconds from the start of the command to the end of the search; the gap stays certified. Checking "
            "the designs and writing the files come on top.",
        ),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option("--evaluations", min=1, help="What a heuristic may try: designs, networks or proposals."),
    ] = None,
    data: Data = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for everything written.")] = None,
    study: Annotated[Path | None, typer.Option("--study", help="Study file; OUT/study.sqlite if not given.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> int:
    from cofront.api.files import is_table
    from cofront.api.parts import check_space, load_device
    from cofront.api.tabled import check_part, is_measured
    from cofront.errors import UsageError

    started = time.perf_counter()
    check_space(space)  # names first: what searches takes seconds to import
    measured = is_measured(device, space)
    if not measured:
        check_part(device, space)
        load_device(device, parse_budget(budget))
    from cofront.api.request import SearchRequest

    request = SearchRequest(
        device=device, space=space, accuracy_table=accuracy_table, accuracy_column=accuracy_column,
        latency_column=latency_column, penalty=penalty, grid=grid,
        precisions=names("--precision", None if precisions is None else precisions.upper(), "W8A8,W4A8"),
        clock_hz=parse_clock(clock), budget=parse_budget(budget), fps=positive("--fps", fps),
        accuracy=fraction("--accuracy", accuracy), third=third, cover=_points(cover), method=method,
        predictor=predictor, accelerator=accelerator or "subgraph",
        time_limit_s=positive("--time-limit", time_limit), evaluations=evaluations, seed=seed,
    )  # fmt: skip
    if out is not None:
        a_folder("--out", out)
    if latency_column is not None and not is_table(device):
        raise UsageError(f"--latency-column is of a table of measured networks; --device {device} is none")
    if measured:
        from cofront.cli.searching_tables import run_table_search

        return run_table_search(request, out, study, json, data)
    from cofront.cli.searching import run_search

    if penalty is not None and not penalty.strip():
        raise UsageError("--penalty expects accuracy points by precision such as W4A8=1.0,W4A4=4.0, got ''")
    return run_search(request, out or _folder(space, device), study, json, data, started)


def _folder(space: str, device: str) -> Path:
    """Where everything goes unless told: the same for every spelling of a device, and for its file."""
    from cofront.api.parts import load_device
    from cofront.cli.writing import file_name

    return Path("runs") / file_name(f"{space}-{load_device(device).name}")


def _points(cover: float | None) -> float | None:
    """Accuracy points as a fraction."""
    from cofront.errors import UsageError

    if cover is not None and not 0 <= cover <= 100:
        raise UsageError(f"--cover is in accuracy points, 0 to 100, got {cover:g}")
    return None if cover is None else cover / 100
