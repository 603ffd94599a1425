"""What a study holds of networks with cheaper operators (`cofront accelerate`), for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import msgspec

from cofront.figures import accuracy, number, seconds
from cofront.study.documents import AcceleratedNetwork, AccelerateDocument
from cofront.study.report.entries import Card
from cofront.study.report.origins import provenance
from cofront.study.store import RunRecord

#: A solution that loses more than so many times what the chosen one or the teacher does would flatten all the others.
FAR = 4.0


@dataclass(frozen=True)
class Losses:
    """(seconds, loss) on the training images held back: of the exact front, whose loss is the teacher's and the sum of
    changes, of the solutions swapped in, and of the teacher.

    Solutions whose loss is above `most` have none, and are counted by `left_out`; the front ends at twice the rest.
    """

    front: list[tuple[float, float]]
    solutions: list[tuple[float, float] | None]
    teacher: tuple[float, float]
    most: float
    left_out: int


def losses(found: AccelerateDocument) -> Losses:
    chosen = [] if found.chosen is None else [found.solutions[found.chosen].loss]
    most = FAR * max([found.teacher_loss, *chosen])
    solutions = [(s.latency_s, s.loss) if s.loss <= most else None for s in found.solutions]
    seen = [s[1] for s in solutions if s is not None]
    highest = 2 * max([found.teacher_loss, *seen])
    front = [(p.latency_s, found.teacher_loss + p.predicted) for p in found.front]
    return Losses(
        front=[p for p in front if p[1] <= highest], solutions=solutions, teacher=(found.before_s, found.teacher_loss),
        most=most, left_out=len(solutions) - len(seen),
    )  # fmt: skip


def title(found: AccelerateDocument) -> str:
    return f"{found.model} accelerated on {found.device}"


def statement(found: AccelerateDocument) -> str:
    """One sentence on what came of it."""
    taken = _taken(found)
    if taken is None:
        return f"{found.model}: stopped before operators were chosen; the same command goes on."
    changed = sum(u.chosen != u.names[0] for u in found.units)
    said = (
        f"Cheaper operators in {changed} of {number(len(found.units), 'unit')}: {seconds(taken.latency_s)} of "
        f"{seconds(found.limit_s)} allowed, {seconds(found.before_s)} before"
    )
    if (m := found.measured) is not None:
        low, high = m.interval_95
        said += f"; measured {m.speed_up:.2f} times faster (95 %: {low:.2f} to {high:.2f})"
    if found.training is not None and found.training.test is not None:
        said += f"; {accuracy(found.training.test)} of {found.training.test_images:,} test images"
        said += "" if found.teacher_test is None else f", {accuracy(found.teacher_test)} by the teacher"
    return f"{said}; stopped before its end." if found.interrupted else f"{said}."


def _taken(found: AccelerateDocument) -> AcceleratedNetwork | None:
    return None if found.chosen is None else found.solutions[found.chosen]


def in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """Names of all lists, each once, in an order that agrees with all of theirs; as they come where none does."""
    before: dict[str, dict[str, None]] = {name: {} for names in lists for name in names}
    for names in lists:
        for first, second in pairwise(names):
            before[second][first] = None
    sorter, ready, out = TopologicalSorter(before), list[str](), list[str]()
    try:
        sorter.prepare()
    except CycleError:
        return list(before)
    while sorter.is_active():
        ready += reversed(sorter.get_ready())
        out.append(ready.pop())  # what comes after the last one, so that neighbours stay together
        sorter.done(out[-1])
    return out


def _entry(run: RunRecord, found: AccelerateDocument) -> dict[str, Any]:
    plain = msgspec.to_builtins(found)
    taken = _taken(found)
    return {
        "id": run.id, "status": run.status, "title": title(found), "statement": statement(found),
        **{k: plain[k] for k in (
            "model", "device", "task", "budget", "limit_s", "before_s", "least_s", "latency_note", "teacher_validation",
            "teacher_test", "units", "solutions", "chosen", "macs", "params", "validation", "training", "measured",
            "interrupted", "roofline", "roofline_note", "notes")},
        "latency_s": None if taken is None else taken.latency_s,
        "speed_up": None if taken is None or not taken.latency_s else found.before_s / taken.latency_s,
        "losses": None if taken is None else msgspec.to_builtins(losses(found)),
        "operators": in_order([u.names for u in found.units if len(u.names) > 1]),
        "provenance": _provenance(run, found),
    }  # fmt: skip


def _provenance(run: RunRecord, found: AccelerateDocument) -> list[list[Any]]:
    rows: list[list[Any]] = [
        ["images", found.task],
        ["budget", found.budget],
        ["latency", found.latency_note or "–"],
    ]
    if isinstance(count := run.inputs.get("images"), int):
        rows.append(["operators learnt from", number(count, "training image")])
    if (t := found.training) is not None and t.epochs:
        rows.append(["fine-tuned for", f"{seconds(t.seconds)}: {number(t.epochs, 'epoch')} of {t.images:,} images"])
    return provenance(run, rows, found.files)


ACCELERATED = Card("accelerate", AccelerateDocument, title, statement, _entry, goes_on=True)
