"""What a result depends on: versions, hashes of files, and one digest of all inputs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from cofront import __version__
from cofront.errors import InputError, StudyError, UsageError
from cofront.rights import move_into_place
from cofront.study.documents import clean

#: Packages whose version can change a number.
PACKAGES = ("numpy", "scipy", "numba", "ortools", "pymoo", "torch", "onnx", "pyarrow")


@cache
def versions() -> dict[str, str]:
    """cofront, Python, the machine's architecture and the packages that compute; absent packages are left out."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"cofront": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from None


@cache
def source_hash() -> str:
    """SHA-256 over the package's own sources: a result of changed code is never taken for an old one."""
    return hash_of_sources(Path(__file__).parent.parent)


def hash_of_sources(root: Path) -> str:
    """SHA-256 over code, devices and fitted figures, such as the areas, below a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for kind in ("*.py", "*.toml", "*.json") for p in root.rglob(kind)):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def digest(inputs: dict[str, Any]) -> str:
    """SHA-256 of canonical JSON: the same inputs in any order give the same digest."""
    text = json.dumps(clean(inputs), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def command_line() -> str:
    """The command as the user typed it (the program by its name, not its path)."""
    import shlex

    program = Path(sys.argv[0]).name
    if program in ("", "__main__.py"):  # `python -m cofront`
        program = "cofront"
    return shlex.join([program, *sys.argv[1:]])


def write_atomic(path: Path, data: str | bytes) -> None:
    """Writes a file whole or not at all; a full disk or a missing right is a StudyError."""
    raw = data.encode() if isinstance(data, str) else data
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        move_into_place(Path(temporary), path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StudyError(f"cannot write '{path}': {error.strerror or error}; choose another place") from None
