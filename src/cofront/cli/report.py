"""`cofront report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cofront.cli import output
from cofront.cli.options import Json, Seed

HELP = """Write the HTML report of a study: one file that needs no network.

It shows the newest search, the differentiable runs, the quantised and the accelerated networks, and the scores of
predictors that the study holds.

Without STUDY: the newest study under runs/ that holds one of these but scores."""
EXAMPLE = """
Example, after `cofront search`:
  $ cofront report runs/subgraph32-zu3eg/study.sqlite --out report.html
"""


def run(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="Study file, or its folder.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="HTML file; beside the study if not given.")] = None,
    which: Annotated[int | None, typer.Option("--run", help="Which run; the newest search if not given.")] = None,
    json: Json = False,
    seed: Seed = 0,
) -> None:
    from cofront.api.files import need_file
    from cofront.api.ours import check_our_file
    from cofront.figures import number
    from cofront.study import Study
    from cofront.study.report import write_report

    if study is None:
        study = _newest()
        output.note(f"cofront: the newest study with a search is {study}")
    elif study.is_dir():  # the folder of a search
        study = study / "study.sqlite"
    need_file(study, "a study, as `cofront search` writes it")
    path = out or study.with_name("report.html")
    check_our_file(path, ".html", "--out")
    with Study(study, write=False) as opened:
        document = write_report(opened, path, which)
    if json:
        output.emit_json(document)
    else:
        scores = f", {document.scores} scores of predictors" if document.scores else ""
        n, q = document.differentiable, document.quantised
        learnt = f", {n} differentiable run{'' if n == 1 else 's'}" if n else ""
        learnt += f", {q} quantised network{'' if q == 1 else 's'}" if q else ""
        learnt += f", {number(document.accelerated, 'accelerated network')}" if document.accelerated else ""
        output.line(f"{document.report}: {document.designs} designs{learnt}{scores} of {document.study}")


def _newest() -> Path:
    """The newest study under runs/ whose report would be about something."""
    from cofront.errors import StudyError, UsageError
    from cofront.study import Study
    from cofront.study.report import has_search

    found = sorted(Path("runs").glob("*/study.sqlite"), key=lambda p: p.stat().st_mtime, reverse=True)
    if not found:
        raise UsageError("no study under runs/; name one, or make one with `cofront search`")
    for path in found:
        try:
            with Study(path, write=False) as opened:
                if has_search(opened):
                    return path
        except StudyError as error:
            output.note(f"cofront: passed over: {error}")
    raise UsageError(
        "no study under runs/ holds a front, an accelerated network, a differentiable run or a quantised network "
        f"(newest: {found[0]}); make one with `cofront search`"
    )
