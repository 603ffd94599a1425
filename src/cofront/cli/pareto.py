"""`cofront pareto`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

if TYPE_CHECKING:
    from cofront.study.documents import ParetoDocument

HELP = """Exact accuracy-cost front of a full table, and the share of it that searches find.

The table has the space's columns and the two named ones. A cost named throughput is better when higher."""
EXAMPLE = """
Example, with the public tables under $COFRONT_DATA:
  $ cofront pareto --space nasbench201 --accuracy cifar10_test_200 --cost lat_ms_raspi4 --table nasbench201.parquet
  $ cofront pareto --space nasbench201 --accuracy cifar10_test_200 --cost lat_ms_raspi4 --table nasbench201.parquet \\
      --search evolution --search surrogate --evaluations 300 --json
"""


def run(
    space: Annotated[str, typer.Option("--space", help="Search space, e.g. nasbench201; see `cofront spaces`.")],
    accuracy: Annotated[str, typer.Option("--accuracy", help="Column to maximise.")],
    cost: Annotated[str, typer.Option("--cost", help="Column to minimise; a throughput is maximised.")],
    table: Annotated[Path, typer.Option("--table", help="Parquet, CSV or JSON with the space's columns.")],
    search: Annotated[
        list[str] | None, typer.Option("--search", help="random, evolution or surrogate. Repeatable.")
    ] = None,
    evaluations: Annotated[int, typer.Option("--evaluations", min=1, help="Rows that each search looks up.")] = 500,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs of each search; medians are printed.")] = 5,
    drop_negative: Annotated[bool, typer.Option("--drop-negative", help="Drop rows with a negative entry.")] = False,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront.api.pareto import pareto

    found = pareto(
        space=space, table=table, accuracy=accuracy, cost=cost, searches=tuple(search or ()), evaluations=evaluations,
        runs=runs, seed=seed, drop_negative=drop_negative,
    )  # fmt: skip
    if json:
        output.emit_json(found)
    else:
        show(found)


def show(found: ParetoDocument) -> None:
    rows = [[str(p.row), f"{p.cost:g}", f"{p.accuracy:g}", str(p.ties)] for p in found.front]
    title = f"{len(rows)} of {found.rows} rows of {found.table} are the exact front"
    output.table(title, ["row", found.cost, found.accuracy, "ties"], rows)
    if found.searches:
        output.line()
        output.table(
            f"Searches of {found.searches[0].evaluations} evaluations, median of {found.searches[0].runs} runs",
            ["search", "front found", "hypervolume", "half after", "all after"],
            [
                [s.search, output.percent(s.share, 1), f"{s.hypervolume:.4f}", _count(s.to_half), _count(s.to_all)]
                for s in found.searches
            ],
        )
    for note in found.notes:
        output.line(note)


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
