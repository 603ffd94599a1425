"""Files that cofront wrote: only those are replaced or removed, and those that are still as written are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cofront.errors import UsageError
from cofront.study.provenance import file_hash

#: Bytes at the start of a file that say whose it is.
_HEAD = 1 << 16


def is_ours(path: Path) -> bool:
    """Whether cofront wrote a file: by the kind in a document, the producer of an ONNX file, the header of weights."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    if path.suffix == ".safetensors":
        return _metadata(head)
    if path.suffix == ".json":
        return b'"cofront"' in head and b'"kind"' in head
    return b"cofront" in head


def _metadata(head: bytes) -> bool:
    """Weights say "cofront", or the name of their network alone."""
    size = int.from_bytes(head[:8], "little")
    if b'"cofront"' in head[8 : 8 + size]:
        return True
    try:
        found = json.loads(head[8 : 8 + size]).get("__metadata__")
    except (ValueError, AttributeError):
        return False
    return isinstance(found, dict) and set(found) == {"network"}


def check_ours(folder: Path, names: Iterable[str]) -> None:
    """UsageError when one of the files that are to be written would replace one that cofront did not write."""
    foreign = [str(folder / n) for n in names if (folder / n).exists() and not is_ours(folder / n)]
    if foreign:
        raise UsageError(
            f"--out {folder}: {', '.join(foreign)} would be replaced and was not written by cofront; move it, or "
            "choose another folder"
        )


def hashes(files: Mapping[str, str]) -> dict[str, str]:
    """Path -> hash of files that were written."""
    return {path: file_hash(Path(path)) for path in files.values()}


def as_written(kept: Mapping[str, Any]) -> bool:
    """Whether all files are there and as their hashes say."""
    return bool(kept) and all(Path(path).is_file() and file_hash(Path(path)) == known for path, known in kept.items())
