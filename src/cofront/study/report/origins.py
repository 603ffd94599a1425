"""What the page says of a run's origin: its command, versions, hashes and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from cofront.study.store import RunRecord


def origins(run: RunRecord) -> list[list[Any]]:
    """What a result depends on: versions and hashes."""
    rows: list[list[Any]] = [
        ["versions", ", ".join(f"{k} {v}" for k, v in run.versions.items())],
        ["hash of the inputs", run.inputs_hash, True],
    ]
    return rows + [
        [f"hash of {k.removesuffix('_hash')}", str(v), True] for k, v in run.inputs.items() if k.endswith("_hash")
    ]


def provenance(run: RunRecord, rows: Iterable[list[Any]], files: Mapping[str, str]) -> list[list[Any]]:
    """The command of a run, `rows` of its own, its files by what they are, and what it depends on."""
    return [
        ["command", run.command, True], ["run", when(run)], ["seed", str(run.seed)], *rows,
        *(["file", f"{name}: {path}", True] for name, path in files.items()), *origins(run),
    ]  # fmt: skip


def when(run: RunRecord) -> str:
    """Its number, status and start, and how long it took."""
    took = ""
    if run.finished is not None:
        elapsed = datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)
        took = f", took {elapsed.total_seconds():.1f} s with preparing and checking"
    return f"{run.id}, {run.status}, started {minute(run.started)}{took}"


def listed(runs: Iterable[RunRecord]) -> list[dict[str, Any]]:
    """The runs of a study, for the last table of the page."""
    return [{"id": r.id, "started": minute(r.started), "status": r.status, "command": r.command} for r in runs]


def minute(stamp: str) -> str:
    return stamp[:16].replace("T", " ") + " UTC"
