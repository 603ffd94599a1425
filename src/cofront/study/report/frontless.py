"""The page of a study, or of a run, without a front: of what was learnt, quantised or predicted."""

from __future__ import annotations

from typing import Any

from cofront import __version__
from cofront.study.report.origins import listed, origins
from cofront.study.report.predictors import predictor_data, scored
from cofront.study.report.quantised import quantised, quantised_data, quantised_document
from cofront.study.report.quantised import statement as bits_statement
from cofront.study.report.quantised import title as bits_title
from cofront.study.report.runs import document_of, learned, run_data
from cofront.study.report.runs import statement as run_statement
from cofront.study.report.runs import title as run_title
from cofront.study.store import RunRecord, Study


def of_its_own(runs: list[RunRecord]) -> set[int]:
    """Runs that a page can be about without a front."""
    return {r.id for r in (*learned(runs), *quantised(runs))}


def cards(study: Study, runs: list[RunRecord], run_id: int | None = None) -> dict[str, Any]:
    """What stands beside a front, or alone; `run_id` is the run that a card shows first."""
    return {
        "predictors": predictor_data(study, runs),
        "differentiable": run_data(study, runs, run_id),
        "quantised": quantised_data(study, runs, run_id),
    }


def without_front(study: Study, runs: list[RunRecord], run_id: int | None) -> dict[str, Any] | None:
    """The page of a study in which nothing was searched exactly: of the newest of all other runs that show something.

    Or of run `run_id`, if it is one of those. None where there is none.
    """
    shown = sorted([*scored(runs), *learned(runs), *quantised(runs)], key=lambda r: r.id)
    if not shown:
        return None
    found = cards(study, runs, run_id)
    newest = next((r for r in shown if r.id == run_id), shown[-1])
    provenance: list[list[Any]] = []
    if newest.id in {r.id for r in learned(runs)}:
        run = document_of(study, newest)
        said, text = run_title(run), run_statement(run)
    elif newest.id in {r.id for r in quantised(runs)}:
        bits = quantised_document(study, newest)
        said, text = bits_title(bits), bits_statement(bits)
    else:
        said = "Predictors against measurements"
        text = (
            f"{sum(len(g['entries']) for g in found['predictors'])} scores: each predictor learnt from a few "
            "measurements of a device and predicted others, which it had not seen."
        )
        provenance = [["command", newest.command, True], *origins(newest)]
    return {
        "title": said, "cofront": __version__, "statement": text,
        "search": None, "designs": [], "calls": [], "configs": [], "kernel_tables": [], "choices": [], "kernels": [],
        "history": [], "cover": [], "others": [], "verified": None, "provenance": provenance, "runs": listed(runs),
    } | found  # fmt: skip
