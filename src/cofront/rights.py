"""The rights of files we write: what the user's umask leaves, also where a library or a temporary file gave fewer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@cache
def file_mode() -> int:
    """The rights of a new file."""
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


def move_into_place(part: Path, target: Path) -> None:
    """Renames a file that is complete to its name, with the rights of a new file (safetensors writes for the owner)."""
    part.chmod(file_mode())
    part.replace(target)


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path to write to, beside `target`, whose place it takes at the end; on an error nothing of it stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        yield part
        move_into_place(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
