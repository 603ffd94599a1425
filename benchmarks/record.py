"""What the benchmarks beside this file share: keeping results with how they were made, progress, processor time."""

from __future__ import annotations

import datetime
import json
import platform
import resource
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """What a file of results has so far; {} when there is none."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def command() -> str:
    """The command that is running, as one gives it in the project's folder."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def made(*packages: str, **settings: object) -> dict[str, Any]:
    """How results were made: the command, the day, `settings`, and the versions of Python and of packages."""
    return {
        "command": command(),
        "date": datetime.date.today().isoformat(),
        **settings,
        "python": platform.python_version(),
        "versions": {p: version(p) for p in packages},
    }


def write(path: Path, found: object, indent: int | None = 1, default: Callable[[Any], Any] | None = None) -> None:
    """Results as JSON; `default` says what becomes of other objects."""
    write_text(path, json.dumps(found, indent=indent, default=default) + "\n")


def write_text(path: Path, text: str) -> None:
    """The file is whole at any moment."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def say(text: str) -> None:
    """Progress, beside what is printed as the result."""
    print(text, file=sys.stderr, flush=True)


def cpu_time() -> float:
    """Processor seconds of this process and its children."""
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(f.ru_utime + f.ru_stime for f in found)
