"""Work that a study keeps: what it depends on, whether it was done before, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cofront.study.documents import AccelerateDocument, QuantisedDocument, read_document
from cofront.study.provenance import file_hash, source_hash
from cofront.study.recording import ending

if TYPE_CHECKING:
    from cofront.study import Study

D = TypeVar("D", AccelerateDocument, QuantisedDocument)


def asked_of(request: Any, images: str, model_key: str) -> dict[str, Any]:
    """Everything that the result of a request (a dataclass) depends on: with hashes of the files that it names.

    `images` and `model_key` are digests of the images, and of the graph with its weights.
    """
    asked = asdict(request)
    for name in ("data", "weights"):
        asked[name] = "" if asked[name] is None else str(asked[name])
    for name in ("model", "weights", "device"):
        if asked[name] and Path(asked[name]).is_file():
            asked[f"{name}_hash"] = file_hash(Path(asked[name]))
    return {**asked, "images_hash": images, "model_key": model_key, "source": source_hash()}


def recorded(
    study: Study | None,
    verb: str,
    kind: type[D],
    inputs: dict[str, Any],
    seed: int,
    folder: Path,
    work: Callable[[], D],
) -> D:
    """The document of `work`, kept as a run of the study where there is one; of a finished run of the same inputs, if
    its files lie in `folder` as they were written."""
    if study is None:
        return work()
    known = study.finished(inputs)
    if known is not None and known.result is not None:
        found = read_document(known.result, kind, f"run {known.id} of study '{study.path}'")
        if _still_there(found, folder):
            return found
    record = study.start(verb, inputs, seed)
    with ending(record):
        document = work()
    stopped = isinstance(document, AccelerateDocument) and document.interrupted
    record.finish("interrupted" if stopped else "done", document)
    return document


def _still_there(found: QuantisedDocument | AccelerateDocument, folder: Path) -> bool:
    """Whether the files of a finished run lie in the folder as they were written: another budget's replace them."""
    return all(
        Path(p).resolve().parent == folder.resolve() and Path(p).is_file() and file_hash(Path(p)) == found.hashes.get(n)
        for n, p in found.files.items()
    )
