"""The fronts that a study holds, and which of them a design is on."""

from __future__ import annotations

from collections.abc import Sequence

from cofront.study.documents import DesignDocument, SearchDocument, read_document
from cofront.study.store import RunRecord


def with_front(run: RunRecord) -> bool:
    return run.verb == "search" and run.result is not None and bool(run.result.get("front"))


def fronts(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Searches that found something; first the one that a report is about: certified ones before heuristics, of either
    the newest first.
    """
    found = [r for r in runs if with_front(r)]
    return sorted(found, key=lambda r: (r.result is not None and r.result.get("gap") is not None, r.id), reverse=True)


def place_of(runs: Sequence[RunRecord], design: DesignDocument) -> tuple[int, int] | None:
    """The run and the number (from 0) in its front of a design; None when no front has it."""
    ours = (design.accelerator, design.space, design.device, design.clock_hz)
    for run in fronts(runs):
        search = read_document(run.result, SearchDocument, f"run {run.id}")
        if (search.accelerator, search.space, search.device, search.clock_hz) != ours:
            continue
        for i, d in enumerate(search.front):
            if (d.point, d.config) == (design.design.point, design.design.config):
                return run.id, i
    return None
