"""Measuring a device before a search on it: this machine, or a board."""

from __future__ import annotations

from pathlib import Path

from cofront.api.measuring import measure
from cofront.cli import output
from cofront.cli.measure import stepper
from cofront.cli.progress import Interrupt, reporter
from cofront.measure.base import Settings


def measured_now(device: str, space: str, seed: int, table: Path) -> Path | None:
    """The table of a device that is measured now, or was before; None when interrupted."""
    table.parent.mkdir(parents=True, exist_ok=True)
    settings = Settings(seed=seed)
    with Interrupt() as stop, reporter() as progress:
        found = measure(
            device, space=space, out=table, settings=settings, on_step=stepper(progress, settings),
            should_stop=stop, say=lambda text: output.note(f"cofront: {text}"),
        )  # fmt: skip
    if found.done < found.total:
        output.note(f"cofront: interrupted: the visits so far are kept in {table}.partial; the same command goes on")
        return None
    for note in found.notes:
        output.note(f"cofront: note: {note}")
    return table
