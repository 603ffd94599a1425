"""`cofront evaluate-predictor`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

if TYPE_CHECKING:
    from cofront.study.documents import PredictorDocument, PredictorScore

HELP = """Score a predictor of latency or energy on a table: learn from a few rows, predict the rest.

METHOD is transfer, nnls, help, adaproxy (known devices and few measurements), ridge, quadratic, gp, mlp, gcn or
forest (measurements alone). The table has the space's columns and the target, whose name says the unit: lat_ms_x.
With --study, the report beside that file shows predictions against measurements, and all scores in the study."""
EXAMPLE = """
Example, with the public tables under $COFRONT_DATA:
  $ cofront evaluate-predictor transfer --space nasbench201 --table nasbench201.parquet --target-column lat_ms_eyeriss
  $ cofront evaluate-predictor quadratic --space fbnet --table mine.csv --target-column latency_us --samples 900 --json
  $ for d in eyeriss raspi4 gold_6226; do cofront evaluate-predictor transfer --space nasbench201 \\
      --table nasbench201.parquet --target-column lat_ms_$d --study runs/few/study.sqlite; done
"""


def parse_rows(option: str, text: str | None) -> tuple[int, int] | None:
    """(0, 900) of "0:900"."""
    from cofront.errors import UsageError

    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise UsageError(f"{option} expects rows such as 0:900, got '{text}'")
    return int(first), int(last)


def run(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A registered predictor.")],
    space: Annotated[str, typer.Option("--space", help="Search space, e.g. nasbench201; see `cofront spaces`.")],
    table: Annotated[Path, typer.Option("--table", help="Parquet, CSV or JSON with the space's columns.")],
    target: Annotated[str, typer.Option("--target-column", help="Column to predict, e.g. lat_ms_pixel3.")],
    samples: Annotated[int, typer.Option("--samples", "-k", min=1, help="Rows to learn from.")] = 10,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Repeat with so many draws of samples.")] = 1,
    known: Annotated[
        str, typer.Option("--known", help="Known devices: paper (HELP's training split), all, or names or columns.")
    ] = "paper",
    pool: Annotated[str | None, typer.Option("--pool", help="Rows to draw from, e.g. 0:900; all if not given.")] = None,
    test: Annotated[str | None, typer.Option("--test", help="Rows to score on, e.g. 900:1900.")] = None,
    trim: Annotated[
        float, typer.Option("--trim", help="Leave out this share of the fastest and of the slowest rows.")
    ] = 0.0,
    keep_dead: Annotated[bool, typer.Option("--keep-dead", help="Keep cells that compute nothing.")] = False,
    unit: Annotated[
        str | None, typer.Option("--unit", help="Unit of the column if its name says none: ms, us, mJ.")
    ] = None,
    drop_negative: Annotated[bool, typer.Option("--drop-negative", help="Drop rows with a negative entry.")] = False,
    any_magnitude: Annotated[
        bool, typer.Option("--any-magnitude", help="Do not ask about values far from all known devices.")
    ] = False,
    baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Score nnls and ridge too.")] = True,
    study: Annotated[
        Path | None, typer.Option("--study", help="Add the result to this study, and write report.html beside it.")
    ] = None,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront.api.predicting import Rows, evaluate_predictor

    score = partial(
        evaluate_predictor, method, space=space, table=table, target=target, samples=samples, seed=seed, draws=draws,
        known=known, rows=Rows(parse_rows("--pool", pool), parse_rows("--test", test), trim, keep_dead), unit=unit,
        drop_negative=drop_negative, any_magnitude=any_magnitude, baselines=baselines,
    )  # fmt: skip
    report = None
    if study is None:
        found = score()
    else:
        from cofront.api.ours import check_our_file
        from cofront.cli.leftovers import leave_nothing
        from cofront.study import Study
        from cofront.study.report import write_report

        report = study.with_name("report.html")
        check_our_file(report, ".html", "the report")
        with leave_nothing(study, study.parent), Study(study) as opened:
            found = score(study=opened)
            write_report(opened, report)
    if json:
        output.emit_json(found)
        return
    show(found)
    if report is not None:
        output.line(f"report: {report}")


def show(found: PredictorDocument) -> None:
    """Scores as a table, the method first."""
    names = ["predictor", "Spearman", "Kendall", "MAPE", "within 10 %", "covered", "fit", "predict"]
    title = f"{found.target} of {found.table}: {found.samples} of {found.rows} rows learnt, {found.n_test} predicted"
    output.table(title, names, [_row(s) for s in (found.score, *found.baselines)], marked=0)
    if found.known:
        output.line(f"known devices: {', '.join(found.known)}")
    for note in found.notes:
        output.line(note)


def _row(s: PredictorScore) -> list[str]:
    def value(number: float, half: float | None) -> str:
        return f"{number:.4f}" + ("" if half is None else f" ± {half:.4f}")

    return [
        s.predictor, value(s.spearman, s.spearman_half), value(s.kendall, s.kendall_half),
        output.percent(s.mape), output.percent(s.within_10, 1), output.percent(s.coverage, 1),
        output.seconds(s.fit_s), output.seconds(s.predict_s),
    ]  # fmt: skip
