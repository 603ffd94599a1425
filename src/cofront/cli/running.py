"""What `cofront run` does: the run with progress, its study, design file and report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from cofront.api.run_design import design_of
from cofront.api.running import OnProgress, RunRequest, default_space, run
from cofront.cli import output
from cofront.cli.leftovers import leave_nothing
from cofront.cli.writing import file_name
from cofront.study import Study
from cofront.study.documents import RunDocument
from cofront.study.documents.base import to_json
from cofront.study.provenance import write_atomic
from cofront.study.report import write_report


def carry_out(
    request: RunRequest, out: Path | None, study_path: Path | None, progress: OnProgress, stop: Callable[[], bool]
) -> RunDocument:
    """Runs the request in its folder; the document says where everything is."""
    space = request.space or default_space(request)
    device = Path(request.device).stem if request.device.endswith((".parquet", ".csv", ".json")) else request.device
    folder = out or Path("runs") / file_name(f"{request.system}-{space}-{device}")
    path = study_path or folder / "study.sqlite"
    with leave_nothing(path, folder), Study(path) as study:
        document = run(request, folder, study=study, on_progress=progress, should_stop=stop)
        if document.interrupted:
            output.note(f"cofront: stopped; the same command goes on from {folder}")
            return msgspec.structs.replace(document, study=str(path))
        design = design_of(request, document)
        files = dict(document.files)
        if design is not None:
            write_atomic(folder / "design.json", to_json(design) + "\n")
            files["design"] = str(folder / "design.json")
        report = folder / "report.html"
        document = msgspec.structs.replace(document, files=files, study=str(path), report=str(report))
        write_report(study, report)
    return document
