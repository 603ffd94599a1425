"""The smallest design of a study's front, for a build that is quick to prove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cofront.errors import StudyError, UsageError

if TYPE_CHECKING:
    from cofront.study.documents import DesignDocument, SearchDocument


#: How every SQLite file begins.
_SQLITE = b"SQLite format 3\0"


def smallest(document: SearchDocument) -> int:
    """Which design of the front has the fewest DSPs, of those the fewest LUTs, of those the least latency."""
    sizes = [(d.resources.get("dsp", 0), d.resources.get("lut", 0), d.latency_s) for d in document.front]
    return sizes.index(min(sizes))


def study_at(path: Path) -> Path | None:
    """The study that a path names, being one or the folder that `search` wrote; None when it names none."""
    study = path / "study.sqlite" if path.is_dir() else path
    try:
        with study.open("rb") as file:
            return study if file.read(len(_SQLITE)) == _SQLITE else None
    except OSError:
        return None


def smallest_design(study: Path) -> DesignDocument:
    """That design of the newest search in a study (a file, or the folder that `search` wrote)."""
    from cofront.api.choosing import network_of
    from cofront.api.exporting import design_document
    from cofront.api.files import need_file
    from cofront.api.parts import device_file
    from cofront.study import Study
    from cofront.study.documents import SearchDocument, read_document
    from cofront.study.fronts import with_front

    path = study / "study.sqlite" if study.is_dir() else study
    need_file(path, "a study, as `cofront search` writes it")
    if study_at(path) is None:
        raise UsageError(
            f"'{study}' is not a study of `cofront search`; --smallest takes one, a design file goes without"
        )
    with Study(path, write=False) as opened:
        runs = [r for r in opened.runs() if with_front(r)]
    if not runs:
        raise StudyError(f"study '{path}' has no search with a front yet; run `cofront search --study {path}` first")
    run = runs[-1]
    document = read_document(run.result, SearchDocument, f"run {run.id} of study '{path}'")
    index = smallest(document)
    provenance = {"study": str(path), "run": run.id, "index": index, "wish": {"smallest": "dsp, then lut"}}
    design = design_document(document, index, network_of(document, index), provenance)
    return msgspec.structs.replace(design, device_file=device_file(run.inputs.get("device")))
