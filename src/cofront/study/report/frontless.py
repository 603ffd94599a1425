"""The page of a study, or of a run, without a front: of what was learnt, quantised, accelerated or predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cofront import __version__
from cofront.study.report.accelerated import ACCELERATED
from cofront.study.report.entries import Card
from cofront.study.report.origins import listed, origins
from cofront.study.report.predictors import predictor_data, scored
from cofront.study.report.quantised import QUANTISED
from cofront.study.report.runs import LEARNT
from cofront.study.store import RunRecord, Study

#: Cards of runs that a page can be about, by their names there.
CARDS: Mapping[str, Card[Any]] = {"differentiable": LEARNT, "quantised": QUANTISED, "accelerated": ACCELERATED}


def of_its_own(runs: list[RunRecord]) -> set[int]:
    """Runs that a page can be about without a front."""
    return {r.id for card in CARDS.values() for r in card.of(runs)}


def cards(study: Study, runs: list[RunRecord], run_id: int | None = None) -> dict[str, Any]:
    """What stands beside a front, or alone; `run_id` is the run that a card shows first."""
    found = {name: card.data(study, runs, run_id) for name, card in CARDS.items()}
    return {"predictors": predictor_data(study, runs), **found}


def without_front(study: Study, runs: list[RunRecord], run_id: int | None) -> dict[str, Any] | None:
    """The page of a study in which nothing was searched exactly: of the newest of all other runs that show something.

    Or of run `run_id`, if it is one of those. None where there is none.
    """
    of = {r.id: card for card in CARDS.values() for r in card.of(runs)}
    tests = {r.id for r in scored(runs)}
    shown = [r for r in runs if r.id in of or r.id in tests]
    if not shown:
        return None
    found = cards(study, runs, run_id)
    newest = next((r for r in shown if r.id == run_id), shown[-1])
    provenance: list[list[Any]] = []
    if newest.id in of:
        card = of[newest.id]
        document = card.document(study, newest)
        said, text = card.title(document), card.statement(document)
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
