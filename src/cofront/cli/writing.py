"""What a search writes beside its study: the chosen design's files, and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cofront.api.choosing import network_of
from cofront.api.exporting import FORMATS, design_document, export_design, formats_of
from cofront.api.ours import as_written, hashes
from cofront.api.parts import device_file
from cofront.api.request import SearchRequest, SearchResult
from cofront.api.scheduling import missed_wish, scheduled_cycles
from cofront.api.weights import SUPERNETS, no_supernet
from cofront.cli import output
from cofront.cli.wishes import Before, wish_of
from cofront.study import Run, Study
from cofront.study.documents import Cost, SearchDocument
from cofront.study.provenance import digest
from cofront.study.report import write_report


def write_results(
    request: SearchRequest,
    result: SearchResult,
    study: Study,
    out: Path,
    data: Path | None,
    cost: Callable[[SearchDocument], Cost] | None,
) -> tuple[SearchDocument, str | None]:
    """Report and exports: the document with where they are, and what to say of an earlier design in the folder.

    `cost` is the chosen design's; a table has none.
    """
    document = msgspec.structs.replace(result.document, study=str(study.path))
    if result.reused:
        output.note(f"cofront: finished before with the same inputs: taken from run {result.run_id} of {study.path}")
    before = Before(out)
    if document.front:
        document = _write(request, result, document, study, out, data, cost)
    return document, before.stays() if document.chosen is None else before.replaced(document)


def _write(
    request: SearchRequest,
    result: SearchResult,
    document: SearchDocument,
    study: Study,
    out: Path,
    data: Path | None,
    cost: Callable[[SearchDocument], Cost] | None,
) -> SearchDocument:
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
        missed = missed_wish(design, scheduled_cycles(design, network), "the schedule of its program")
        document = msgspec.structs.replace(document, notes=[*document.notes, *missed])
        assert result.run_id is not None
        earlier = [e for _, e in study.events(result.run_id, "exported") if all(e.get(k) == v for k, v in same.items())]
        if earlier and _stays(earlier[-1], document.space) and as_written(earlier[-1]["hashes"]):
            # the same again: minutes of quantising are saved
            files, left_out = earlier[-1]["files"], earlier[-1]["left_out"]
        else:
            paid = None if cost is None else cost(document)
            done = export_design(design, network, paid, out, formats_of(document), request.seed, data)
            files, left_out = done.files, done.left_out
            record = {**same, "files": files, "left_out": left_out, "hashes": hashes(files)}
            Run(study, result.run_id).event("exported", record)
    document = msgspec.structs.replace(document, files=files, left_out=left_out, report=str(out / "report.html"))
    write_report(study, out / "report.html", result.run_id, document)
    return document


def written(space: str) -> list[str]:
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


def file_name(text: str) -> str:
    """A text as the name of a file or folder on any system."""
    return "".join(c if c.isalnum() or c in "-_.@" else "_" for c in text)
