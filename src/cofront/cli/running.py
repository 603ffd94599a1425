"""What `cofront run` does: measure if need be, the run with progress, its study, design file and report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from cofront.api.files import is_table
from cofront.api.ours import check_ours
from cofront.api.run.design import design_of
from cofront.api.run.running import run
from cofront.api.run.scene import RunRequest, default_space
from cofront.cli import output
from cofront.cli.leftovers import leave_nothing
from cofront.cli.measured import measured_now
from cofront.cli.progress import Interrupt, reporter
from cofront.cli.writing import file_name
from cofront.study import Study
from cofront.study.documents import RunDocument
from cofront.study.documents.base import to_json
from cofront.study.provenance import write_atomic
from cofront.study.report import write_report


def carry_out(request: RunRequest, out: Path | None, study_path: Path | None) -> RunDocument | None:
    """Runs the request in its folder; the document says where everything is. None: interrupted while measuring."""
    space = request.space or default_space(request)
    short = Path(request.device).stem if is_table(request.device) else request.device.removeprefix("ssh://")
    folder = out or Path("runs") / file_name(f"{request.system}-{space}-{short}")
    path = study_path or folder / "study.sqlite"
    check_ours(folder, ["report.html", "design.json"])
    if request.device == "host" or request.device.startswith("ssh://"):
        with leave_nothing(path, folder):
            table = measured_now(request.device, space, request.seed, folder / file_name(f"{short}.parquet"))
        if table is None:
            return None
        request = replace(request, device=str(table))
    with leave_nothing(path, folder), Study(path) as study, Interrupt() as stop, reporter() as progress:
        document = run(request, folder, study=study, on_progress=progress, should_stop=stop)
        if document.interrupted:
            output.note(f"cofront: stopped; the same command goes on from {folder}")
            return msgspec.structs.replace(document, study=str(path))
        design = design_of(msgspec.structs.replace(document, study=str(path)))
        files = dict(document.files)
        if design is not None:
            write_atomic(folder / "design.json", to_json(design) + "\n")
            files["design"] = str(folder / "design.json")
        report = folder / "report.html"
        document = msgspec.structs.replace(document, files=files, study=str(path), report=str(report))
        write_report(study, report)
    return document
