"""Files that cofront wrote: only those are replaced or removed, and those that are still as written are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cofront.api.files import MOST_BYTES
from cofront.errors import UsageError
from cofront.rtl.folder import build_at
from cofront.study.provenance import file_hash

#: Bytes at the start of a file in which an ONNX file or a report says whose it is.
_HEAD = 1 << 16
#: Of a report: what it is made by, and the element that reports had before that was written.
_REPORT = (b'<meta name="generator" content="cofront">', b'<p class="brand">cofront <span id="version">')
#: Of the chart of `verify --gantt`, and of its waveforms: CXXRTL names our module first, Verilator its ports.
_CHART = b'<p class="brand">cofront</p>'
_WAVEFORM = re.compile(
    rb"\$timescale [^\n]*\n\$scope module engine \$end\n|\$version (?s:.*) m_axi_araddr (?s:.*) s_axi_awaddr "
)
#: How an ONNX model by us begins, as protocol buffers are written: field 1, the version, in a byte; 2, the producer.
_MODEL = re.compile(rb"\x08[\x00-\x7f]\x12\x07cofront")


def is_ours(path: Path, kind: str = "") -> bool:
    """Whether cofront wrote a file: by the kind of a document, the producer of an ONNX file, the header of weights.

    `kind` is the suffix that such files have, where this one may have another; "chart" is that of `verify --gantt`.
    """
    kind = kind or path.suffix.lower()
    if not path.is_file():  # reading from a device could wait for ever
        return False
    try:
        with path.open("rb") as file:
            if kind == ".safetensors":
                return _weights(file.read(int.from_bytes(file.read(8), "little") % MOST_BYTES))
            if kind == ".json":
                return _document(file.read(MOST_BYTES))
            head = file.read(_HEAD)
    except OSError:
        return False
    if kind == ".onnx":
        return _MODEL.match(head) is not None
    if kind == ".vcd":
        return _WAVEFORM.match(head) is not None
    return _CHART in head or (kind != "chart" and any(mark in head for mark in _REPORT))


def _parsed(raw: bytes) -> dict[str, Any]:
    """A JSON object; {} for anything else."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _document(raw: bytes) -> bool:
    from cofront.study.documents import KINDS

    found = _parsed(raw)
    kinds = {str(kind.__struct_config__.tag) for kind in KINDS}
    return "cofront" in found and isinstance(found.get("schema"), int) and str(found.get("kind")) in kinds


def _weights(header: bytes) -> bool:
    """Weights say "cofront", or the name of their network alone."""
    found = _parsed(header).get("__metadata__")
    return isinstance(found, dict) and ("cofront" in found or set(found) == {"network"})


def check_ours(folder: Path, names: Iterable[str]) -> None:
    """UsageError when one of the files that are to be written would replace one that cofront did not write, or would
    lie in a build folder."""
    check_no_build(folder, "--out")
    foreign = [str(folder / n) for n in names if (folder / n).exists() and not is_ours(folder / n)]
    if foreign:
        raise UsageError(
            f"--out {folder}: {', '.join(foreign)} would be replaced and was not written by cofront; move it, or "
            "choose another folder"
        )


def check_our_file(path: Path, kind: str, option: str, what: str = "") -> None:
    """The same for one file that an option names; `what` it may replace, where that is not any file of ours."""
    check_no_build(path, option)
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder; expected a file to write")
    if path.exists() and not is_ours(path, kind):
        known = f"is not {what} of cofront" if what else "was not written by cofront"
        raise UsageError(f"{option} {path} would be replaced and {known}; move it, or choose another name")


def check_no_build(path: Path, option: str) -> None:
    """UsageError when a path lies in a build folder: `verify` refuses one whose files were replaced."""
    folder = build_at(path)
    if folder is not None:
        raise UsageError(
            f"{option} {path}: '{folder}' is a build folder, which holds what `cofront build` wrote alone; choose "
            "another place"
        )


def hashes(files: Mapping[str, str]) -> dict[str, str]:
    """Path -> hash of files that were written."""
    return {path: file_hash(Path(path)) for path in files.values()}


def as_written(kept: Mapping[str, Any]) -> bool:
    """Whether all files are there and as their hashes say."""
    return bool(kept) and all(Path(path).is_file() and file_hash(Path(path)) == known for path, known in kept.items())
