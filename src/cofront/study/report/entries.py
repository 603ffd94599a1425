"""Runs of one verb as a card of the page: which of them have something to show, and what the page gets of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cofront.study.documents import Document, read_document
from cofront.study.store import RunRecord, Study

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Card(Generic[D]):
    """`title` and `statement` (one sentence) are the page's, where it is about such a run; `entry` is what its card
    draws. `shows` says of a run that has a result whether there is something to show.

    Where an interrupted run `goes_on` as a new one of the same inputs, the new one stands for both.
    """

    verb: str
    kind: type[D]
    title: Callable[[D], str]
    statement: Callable[[D], str]
    entry: Callable[[RunRecord, D], dict[str, Any]]
    shows: Callable[[dict[str, Any]], bool] = lambda _: True
    goes_on: bool = False

    def of(self, runs: Sequence[RunRecord]) -> list[RunRecord]:
        """The runs that have something to show, oldest first."""
        own = [r for r in runs if r.verb == self.verb and r.result is not None and self.shows(r.result)]
        newest = {r.inputs_hash: r.id for r in own}
        return [r for r in own if not self.goes_on or r.status == "done" or newest[r.inputs_hash] == r.id]

    def document(self, study: Study, run: RunRecord) -> D:
        return read_document(run.result, self.kind, f"run {run.id} of study '{study.path}'")

    def data(self, study: Study, runs: Sequence[RunRecord], selected: int | None = None) -> dict[str, Any] | None:
        """`entries`, the newest run first, and which of them is `selected` (that run, or the newest); None without
        any."""
        found = list(reversed(self.of(runs)))
        if not found:
            return None
        ids = [r.id for r in found]
        entries = [self.entry(r, self.document(study, r)) for r in found]
        return {"entries": entries, "selected": ids.index(selected) if selected in ids else 0}
