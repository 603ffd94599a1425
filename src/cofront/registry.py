"""Plug-ins: everything that can be named on the command line is an entry point; the built-in ones are too."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from cofront.errors import MissingDependencyError, unknown_name

#: kind -> entry-point group
GROUPS = {
    "space": "cofront.spaces",
    "accelerator": "cofront.accelerators",
    "predictor": "cofront.predictors",
    "search": "cofront.searches",
    "system": "cofront.systems",
}


class Entry(Protocol):
    """What is needed of an `importlib.metadata.EntryPoint`."""

    def load(self) -> Any: ...


@dataclass(frozen=True)
class _Declared:
    """One line of an entry_points.txt: "module:attribute"."""

    value: str

    def load(self) -> Any:
        module, _, attribute = self.value.partition(":")
        found: Any = import_module(module.strip())
        for part in filter(None, attribute.split("[")[0].strip().split(".")):
            found = getattr(found, part)
        return found


@cache
def _declared() -> dict[str, dict[str, Entry]]:
    """Group -> name -> entry, of the distributions in the folders of sys.path.

    Their entry_points.txt are read as they are: `importlib.metadata` takes longer to import than `estimate` may take
    in all. It is asked only when cofront itself was not found that way (installed as an archive).
    """
    from configparser import ConfigParser, Error

    out: dict[str, dict[str, Entry]] = {group: {} for group in GROUPS.values()}
    for folder in dict.fromkeys(sys.path):
        for pattern in ("*.dist-info", "*.egg-info"):
            for file in sorted(Path(folder or ".").glob(f"{pattern}/entry_points.txt")):
                text = file.read_text(encoding="utf-8", errors="replace")
                if "cofront." not in text:
                    continue
                parser = ConfigParser(delimiters=("=",), interpolation=None)
                parser.optionxform = str  # type: ignore[assignment,method-assign]
                try:
                    parser.read_string(text)
                except Error:  # another package's broken file is not ours to report
                    continue
                for group in out.keys() & set(parser.sections()):
                    for name, value in parser.items(group):
                        out[group].setdefault(name, _Declared(value))
    if not out[GROUPS["accelerator"]]:
        from importlib.metadata import entry_points

        for group, found in out.items():
            found.update({e.name: e for e in entry_points(group=group)})
    return out


def _table(kind: str) -> dict[str, Entry]:
    return _declared()[GROUPS[kind]]


def names(kind: str) -> tuple[str, ...]:
    """Registered names of one kind, sorted."""
    return tuple(sorted(_table(kind)))


def load(kind: str, name: str, what: str | None = None) -> Any:
    """The registered object. Raises UsageError with the nearest names when there is none, calling the kind `what`."""
    entry = _table(kind).get(name)
    if entry is None:
        raise unknown_name(what or kind, name, _table(kind))
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("cofront"):
            raise
        raise MissingDependencyError(
            f"{kind} '{name}' needs the package '{error.name}': pip install {error.name}"
        ) from error
