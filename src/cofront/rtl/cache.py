"""Verilog of accelerators that were written before: a minute of work that depends on the configuration only.

Files lie in the user's cache folder, named by everything that Verilog depends on: the configuration and port, the
sources that write it, and the versions of the tools. A damaged file counts as none; nothing goes wrong without the
folder.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import cofront.hardware.subgraph
from cofront.errors import CofrontError
from cofront.rtl.programs import Note, silent
from cofront.rtl.yosys import yosys_version
from cofront.study.provenance import digest, write_atomic
from cofront.task.data import cache_dir

#: Accelerators that are kept, the newest.
KEPT: Final = 32

#: Verilog and the names of its ports.
Written = tuple[str, list[str]]


def remembered(what: Mapping[str, Any], make: Callable[[], Written], note: Note = silent) -> Written:
    """What `make` gives for `what`, from the cache if it was made before."""
    folder = cache_dir() / "verilog"
    tools = {"amaranth": version("amaranth"), "yosys": yosys_version(), "sources": sources()}
    path = folder / f"{digest({**what, **tools})[:32]}.json.gz"
    found = _read(path)
    if found is not None:
        note("taking the Verilog of this accelerator from the cache: it was written by an earlier command")
        return found
    text, ports = make()
    raw = json.dumps({"ports": ports, "verilog": text}).encode()
    with contextlib.suppress(CofrontError):  # a folder that cannot be written costs the next build its minute
        write_atomic(path, gzip.compress(raw, 6, mtime=0))
        _forget(folder)
    return text, ports


@cache
def sources() -> str:
    """Digest of all modules that decide what is written."""
    out = hashlib.sha256()
    for folder in (Path(__file__).parent, Path(cofront.hardware.subgraph.__file__).parent):
        for path in sorted([*folder.glob("*.py"), *folder.glob("*.toml")]):
            out.update(path.name.encode() + b"\0" + path.read_bytes())
    return out.hexdigest()


def _read(path: Path) -> Written | None:
    try:
        found = json.loads(gzip.decompress(path.read_bytes()))
        with contextlib.suppress(OSError):  # a folder that may only be read
            path.touch()
        return str(found["verilog"]), [str(name) for name in found["ports"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
        return None


def _forget(folder: Path) -> None:
    """Only the newest stay."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob("*.json.gz"), key=lambda p: -p.stat().st_mtime)[KEPT:]:
            path.unlink(missing_ok=True)
