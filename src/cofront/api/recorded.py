"""Work that a study keeps: what it depends on, whether it was done before, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cofront.study.documents import AccelerateDocument, QuantisedDocument, RunDocument, read_document
from cofront.study.provenance import file_hash, source_hash
from cofront.study.recording import ending

if TYPE_CHECKING:
    from cofront.study import Study

D = TypeVar("D", AccelerateDocument, QuantisedDocument, RunDocument)
#: Documents that know what their files were.
W = TypeVar("W", AccelerateDocument, QuantisedDocument)


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
    again: Callable[[D], D | None],
    work: Callable[[], D],
) -> D:
    """The document of `work`, kept as a run of the study where there is one; or what `again` gives for that of a
    finished run of the same inputs, unless it is None."""
    if study is None:
        return work()
    known = study.finished(inputs)
    if known is not None and known.result is not None:
        found = again(read_document(known.result, kind, f"run {known.id} of study '{study.path}'"))
        if found is not None:
            return found
    record = study.start(verb, inputs, seed)
    with ending(record):
        document = work()
    stopped = not isinstance(document, QuantisedDocument) and document.interrupted
    record.finish("interrupted" if stopped else "done", document)
    return document


def unchanged(found: W, folder: Path) -> W | None:
    """A finished run's document if its files lie in the folder as they were written: another budget's replace them."""
    there = all(
        Path(p).resolve().parent == folder.resolve() and Path(p).is_file() and file_hash(Path(p)) == found.hashes.get(n)
        for n, p in found.files.items()
    )
    return found if there else None
