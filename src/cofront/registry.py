"""Plug-ins: everything that can be named on the command line is an entry point; the built-in ones are too."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cofront.errors import MissingDependencyError, unknown_name

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: kind -> entry-point group
GROUPS = {
    "space": "cofront.spaces",
    "accelerator": "cofront.accelerators",
    "predictor": "cofront.predictors",
    "search": "cofront.searches",
    "system": "cofront.systems",
}


@cache
def _table(kind: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import, and most commands name nothing

    return {e.name: e for e in entry_points(group=GROUPS[kind])}


def names(kind: str) -> tuple[str, ...]:
    """Registered names of one kind, sorted."""
    return tuple(sorted(_table(kind)))


def load(kind: str, name: str) -> Any:
    """The registered object. Raises UsageError with the nearest names when there is none."""
    entry = _table(kind).get(name)
    if entry is None:
        raise unknown_name(kind, name, _table(kind))
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("cofront"):
            raise
        raise MissingDependencyError(
            f"{kind} '{name}' needs the package '{error.name}': pip install {error.name}"
        ) from error
