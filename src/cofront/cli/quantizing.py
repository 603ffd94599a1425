"""What `cofront quantize` does: the work with progress, its study and report."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cofront.api.ours import check_ours
from cofront.api.quantise.files import WRITTEN
from cofront.api.quantise.quantising import quantize
from cofront.api.quantise.scene import QuantizeRequest
from cofront.cli.leftovers import leave_nothing
from cofront.cli.progress import Interrupt, reporter
from cofront.cli.writing import file_name
from cofront.errors import UsageError
from cofront.study import Study
from cofront.study.documents import QuantisedDocument
from cofront.study.report import write_report


def carry_out(request: QuantizeRequest, out: Path | None, study_path: Path | None) -> QuantisedDocument:
    """Quantises in its folder; the document says where everything is."""
    folder = out or Path("runs") / file_name(f"quantize-{Path(request.model).name}-{request.device or 'size'}")
    path = study_path or folder / "study.sqlite"
    check_ours(folder, ["report.html", *WRITTEN])
    for given in (request.model, request.weights, request.device):
        if given is not None and any(Path(given).resolve() == (folder / name).resolve() for name in WRITTEN):
            raise UsageError(f"'{given}' would be overwritten: choose another folder with --out")
    with leave_nothing(path, folder), Study(path) as study, Interrupt() as stop, reporter() as progress:
        document = quantize(request, folder, study=study, on_progress=progress, should_stop=stop)
        report = folder / "report.html"
        write_report(study, report)
    return msgspec.structs.replace(document, study=str(path), report=str(report))
