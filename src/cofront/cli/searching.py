"""What `cofront search` does: search with progress, study, report, export, and what to run next."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from cofront.api.checking import cost_of
from cofront.api.ours import check_ours
from cofront.api.parts import load_device
from cofront.api.request import SearchRequest, SearchResult
from cofront.api.searching import search
from cofront.api.weights import SUPERNETS, check_request
from cofront.cli import output, show
from cofront.cli.leftovers import leave_nothing
from cofront.cli.main import INTERRUPTED
from cofront.cli.progress import Interrupt, reporter
from cofront.cli.writing import write_results, written
from cofront.study import Study
from cofront.study.asked import chosen_words
from cofront.study.documents import Cost, SearchDocument


def run_search(
    request: SearchRequest,
    out: Path,
    study_path: Path | None,
    json: bool,
    data: Path | None = None,
    started: float | None = None,
) -> int:
    """Runs the request and prints the result; returns the exit code.

    `data` is what exported weights are set on, `started` when the command began.
    """
    check_request(request.space, data)
    check_ours(out, [*written(request.space), "report.html"])  # before minutes of searching
    path = study_path or out / "study.sqlite"
    with leave_nothing(path, out), Study(path) as study, Interrupt() as stop:
        with reporter() as progress:
            result = search(request, study=study, on_progress=progress, should_stop=stop, started=started)
        document, told = write_results(request, result, study, out, data, partial(_cost, request, result))
    if json:
        output.emit_json(document)
    else:
        _print(document, data)
    code = _verdict(document, result.interrupted, stop.asked)
    if told:
        output.note(f"cofront: {told}")
    return code


def _verdict(document: SearchDocument, interrupted: bool, asked: bool) -> int:
    """Says on standard error what is missing; the exit code. `asked`: by Ctrl-C, not by the time limit."""
    if interrupted and (asked or document.front or document.status != "heuristic"):
        certified = document.gap is not None and document.gap < 1
        gap = f"certified gap {100 * (document.gap or 0.0):.3f} points" if certified else "nothing certified"
        why = "interrupted" if asked else "the time limit was reached"
        output.note(f"cofront: {why}: {len(document.front)} designs kept in {document.study}, {gap}")
        if asked:
            return INTERRUPTED
    if document.status != "infeasible" and not document.front:
        prepared = output.seconds(document.stats.get("prepare_s"))
        more = "more time or --evaluations" if document.status == "heuristic" else "more time"
        output.note(f"cofront: nothing was found yet; allow {more} (preparing took {prepared})")
        return 1
    if document.status == "infeasible":
        show.limits(document.infeasible, f"no design of {document.space} fits {document.device}")
        return 1
    if document.chosen is None:
        show.limits(document.infeasible, "no design of the front meets what was asked")
        return 1
    return 0


def _cost(request: SearchRequest, result: SearchResult, document: SearchDocument) -> Cost:
    """The cost of the chosen design; an interrupted search has not come to cost it."""
    assert document.chosen is not None
    if document.chosen < len(result.costs):
        return result.costs[document.chosen]
    return cost_of(document, document.chosen, load_device(request.device, request.budget))


def _print(document: SearchDocument, data: Path | None) -> None:
    if document.front:
        show.front(document)
        output.line(_proof(document))
        if document.accuracy_note:
            output.line(f"accuracy: {document.accuracy_note}")
        for text in document.notes:
            output.line(f"note: {text}")
    if document.chosen is not None:
        output.line(chosen_words(document))
    for entry in document.cover:
        output.line(
            f"cover: {entry['accelerators']} accelerator(s) lose at most {100 * entry['max_loss']:.3f} points anywhere"
        )
    show.written(document)
    if "design" in document.files:
        design = shlex.quote(document.files["design"])
        output.line(f"next: cofront estimate {design} --calls")
        if document.space in SUPERNETS:
            images = output.named_data(data)
            output.line(f"      cofront train {design}{images}")
            if document.accelerator == "subgraph":
                output.line(f"      cofront build {design}{images} -o built")


def _proof(document: SearchDocument) -> str:
    """What is proven, in one line."""
    seconds = output.seconds(document.solve_s)
    designs = f"{output.count(document.designs)} designs"
    if document.gap is None:
        return f"{document.method}: {designs} tried, searched for {seconds}; nothing is proven about the others"
    if document.gap == 0 and document.third is not None:
        what = "least latency and of least energy"
        if document.third != "energy":
            what = f"each of {len(document.third_levels)} budgets of {document.third}"
        return f"gap 0: the fronts of {what} are exact over {designs}, searched for {seconds}"
    if document.gap == 0:
        return f"gap 0: exact over {designs} (network x precision x accelerator), searched for {seconds}"
    return f"gap {100 * document.gap:.4f} points, certified over {designs}, searched for {seconds}"
