"""A verb that works in a folder: what must not be overwritten there, its study, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from cofront.api.ours import check_ours
from cofront.api.request import OnProgress
from cofront.cli import output
from cofront.cli.leftovers import leave_nothing
from cofront.cli.progress import Interrupt, reporter
from cofront.errors import CofrontError, UsageError
from cofront.study import Study
from cofront.study.documents import AccelerateDocument, QuantisedDocument
from cofront.study.report import write_report

D = TypeVar("D", AccelerateDocument, QuantisedDocument)


def in_folder(
    work: Callable[[Study, OnProgress, Callable[[], bool]], D], folder: Path, study: Path | None,
    written: Iterable[str], given: Iterable[str | Path | None],
) -> D:  # fmt: skip
    """The document of `work`, with progress, in a study; it says where the study and the report are.

    `written` are the files that the work may write into `folder`, `given` what it may read: UsageError when a file of
    another, or one of these, would be overwritten. A report that cannot be written is a note on standard error.
    """
    written, path, report = list(written), study or folder / "study.sqlite", folder / "report.html"
    check_ours(folder, [report.name, *written])
    for one in given:
        if one is not None and any(Path(one).resolve() == (folder / name).resolve() for name in written):
            raise UsageError(f"'{one}' would be overwritten: choose another folder with --out")
    with leave_nothing(path, folder), Study(path) as kept, Interrupt() as stop, reporter() as progress:
        document = msgspec.structs.replace(work(kept, progress, stop), study=str(path))
        try:
            write_report(kept, report)
        except CofrontError as error:  # of another run in this study, perhaps: what was found here is not lost for it
            output.note(f"cofront: note: no report: {error}")
            return document
    return msgspec.structs.replace(document, report=str(report))
