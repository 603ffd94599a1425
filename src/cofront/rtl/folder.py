"""Which folders `build` wrote and which files in them are its own, known without reading the build itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeGuard

NAME: Final = "manifest.json"
#: Every manifest has these.
KEYS: Final = ("format", "device", "config", "bus_bits", "expected", "memory", "files", "digest")
#: What `make` leaves beside the test bench of a folder.
MADE: Final = ("testbench/obj_dir", "testbench/obj_trace", "testbench/engine.vcd")


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """The manifest of a build folder, its hashes not compared; None where there is none that can be read."""
    try:
        found = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if is_manifest(found) else None


def is_manifest(found: object) -> TypeGuard[dict[str, Any]]:
    """Whether what was read has all that a manifest has."""
    return isinstance(found, dict) and all(key in found for key in KEYS) and isinstance(found["files"], dict)


def build_at(path: Path) -> Path | None:
    """The build folder that a path is, or lies in; None when it is in none."""
    where = path.resolve()
    return next((folder for folder in (where, *where.parents) if manifest_of(folder) is not None), None)


def strangers(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Files in a build folder that neither the build nor its Makefile wrote, as paths in the folder."""
    own = {NAME, *manifest["files"]}
    files = (p.relative_to(folder) for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    made = [Path(name) for name in MADE]
    return sorted(p.as_posix() for p in files if p.as_posix() not in own and not any(p.is_relative_to(m) for m in made))
