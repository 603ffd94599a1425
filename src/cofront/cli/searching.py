"""What `cofront search` does: search with progress, study, report, export, and what to run next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import msgspec

from cofront.api.checking import cost_of
from cofront.api.choosing import network_of
from cofront.api.exporting import FORMATS, design_document, export_design
from cofront.api.ours import as_written, check_ours, hashes
from cofront.api.parts import device_file, load_device
from cofront.api.request import SearchRequest, SearchResult
from cofront.api.searching import search
from cofront.api.weights import SUPERNETS, check_request, no_supernet
from cofront.cli import output, show
from cofront.cli.leftovers import leave_nothing
from cofront.cli.main import INTERRUPTED
from cofront.cli.progress import Interrupt, reporter
from cofront.cli.wishes import Before, wish_of
from cofront.study import Run, Study
from cofront.study.asked import chosen_words
from cofront.study.documents import Cost, SearchDocument
from cofront.study.provenance import digest
from cofront.study.report import write_report


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
    check_ours(out, [*_written(request.space), "report.html"])  # before minutes of searching
    path = study_path or out / "study.sqlite"
    with leave_nothing(path, out), Study(path) as study, Interrupt() as stop:
        with reporter() as progress:
            result = search(request, study=study, on_progress=progress, should_stop=stop, started=started)
        document = msgspec.structs.replace(result.document, study=str(study.path))
        if result.reused:
            output.note(
                f"cofront: finished before with the same inputs: taken from run {result.run_id} of {study.path}"
            )
        before = Before(out)
        if document.front:
            document = _write(request, result, document, study, out, data)
        told = before.stays() if document.chosen is None else before.replaced(document)
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


def _write(
    request: SearchRequest,
    result: SearchResult,
    document: SearchDocument,
    study: Study,
    out: Path,
    data: Path | None,
) -> SearchDocument:
    """Report and exports; the document with where they are."""
    files: dict[str, str] = {}
    left_out: list[str] = []
    if document.chosen is not None:
        network = network_of(document, document.chosen)
        provenance = {
            "study": str(study.path), "run": result.run_id, "index": document.chosen, "wish": wish_of(document),
        }  # fmt: skip
        design = design_document(document, document.chosen, network, provenance)
        design = msgspec.structs.replace(design, device_file=device_file(request.device))
        same = {"design": digest(msgspec.to_builtins(design)), "folder": str(out.resolve()), "images": _images(data)}
        assert result.run_id is not None
        earlier = [e for _, e in study.events(result.run_id, "exported") if all(e.get(k) == v for k, v in same.items())]
        if earlier and _stays(earlier[-1], document.space) and as_written(earlier[-1]["hashes"]):
            # the same again: minutes of quantising are saved
            files, left_out = earlier[-1]["files"], earlier[-1]["left_out"]
        else:
            done = export_design(
                design, network, _cost(request, result, document), out, list(FORMATS), request.seed, data
            )  # fmt: skip
            files, left_out = done.files, done.left_out
            record = {**same, "files": files, "left_out": left_out, "hashes": hashes(files)}
            Run(study, result.run_id).event("exported", record)
    document = msgspec.structs.replace(document, files=files, left_out=left_out, report=str(out / "report.html"))
    write_report(study, out / "report.html", result.run_id, document)
    return document


def _written(space: str) -> list[str]:
    """The files that a search of a space writes or replaces: without a supernet it has no trained integers."""
    return [name for form, name in FORMATS.items() if space in SUPERNETS or form not in ("integer", "weights")]


def _stays(exported: dict[str, Any], space: str) -> bool:
    """Whether exporting again would leave out the same: all else, such as a package, may be there by now."""
    always = f"trained weights: {no_supernet(space)}"
    return all(text.startswith(always) for text in exported["left_out"])


def _images(data: Path | None) -> str:
    """What exported weights are set on: the folder of images, "" where there is none."""
    from cofront.task.data import default_path

    path = data or default_path()
    return str(path.resolve()) if path.exists() else ""


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
    for name, path in document.files.items():
        output.line(f"  {name:<12} {path}")
    for text in document.left_out:
        output.line(f"  left out: {text}")
    if document.report:
        output.line(f"  {'report':<12} {document.report}")
        output.line(f"  {'study':<12} {document.study}")
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
