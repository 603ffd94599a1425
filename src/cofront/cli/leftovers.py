"""A search that fails before it found anything leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cofront.errors import CofrontError
from cofront.study import Study


@contextmanager
def leave_nothing(study: Path, out: Path) -> Iterator[None]:
    """On an error, removes a study that was begun inside and holds no result, and folders that were made for it."""
    new = [] if study.exists() else [study]
    made = [p for p in (study.parent, *study.parent.parents, out, *out.parents) if not p.exists()]
    try:
        yield
    except CofrontError:
        with suppress(CofrontError, OSError):
            if new and not _worth_keeping(study):
                study.unlink(missing_ok=True)
        for folder in sorted(set(made), key=lambda p: len(p.parts), reverse=True):
            with suppress(OSError):  # not empty, or never made
                folder.rmdir()
        raise


def _worth_keeping(path: Path) -> bool:
    """Whether a study holds a result or is another search's, or one has left a state beside it to go on from."""
    if not path.exists():
        return False
    with Study(path, write=False) as study:
        kept = any(r.result is not None or r.status == "running" for r in study.runs())
        return kept or any(path.parent.glob(f"{path.stem}.*.npz"))
