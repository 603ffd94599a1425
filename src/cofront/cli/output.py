"""What a verb prints: one JSON document, rich tables on a terminal, or plain aligned text."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.figures import accuracy as accuracy
from cofront.figures import count as count
from cofront.figures import percent as percent
from cofront.figures import quantity as quantity
from cofront.figures import rate as rate
from cofront.figures import seconds as seconds

if TYPE_CHECKING:
    from cofront.study.documents import Document


def named_data(data: Path | None) -> str:
    """For a command that comes next: the images that were named, as its last option; "" when none were."""
    return "" if data is None else f" --data {shlex.quote(str(data))}"


def fancy() -> bool:
    """Rich output: only on a terminal that does not ask for none (NO_COLOR, TERM=dumb)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def emit_json(document: Document | Sequence[Document]) -> None:
    """One JSON document on standard output."""
    from cofront.study.documents import to_json

    print(to_json(document))


def line(text: str = "") -> None:
    print(text)


def note(text: str) -> None:
    """A remark about what is being done: standard error, so that standard output stays the result."""
    print(text, file=sys.stderr, flush=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], marked: int | None = None) -> None:
    """A table; columns whose cells are all numbers are right-aligned. `marked` is the row to stand out."""
    right = [all(_numeric(row[i]) for row in rows) and bool(rows) for i in range(len(columns))]
    if fancy():
        _rich_table(title, columns, rows, right, marked)
        return
    widths = [max(len(columns[i]), *(len(row[i]) for row in rows), 0) for i in range(len(columns))]
    if title:
        print(title)

    def show(cells: Sequence[str], mark: str) -> None:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        print((mark + "  ".join(parts)).rstrip())

    pad = "  " if marked is not None else ""
    show(columns, pad)
    for i, row in enumerate(rows):
        show(row, "* " if i == marked else pad)


def _rich_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], right: list[bool], marked: int | None
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold cyan")
    for name, number in zip(columns, right, strict=True):
        grid.add_column(name, justify="right" if number else "left")
    for i, row in enumerate(rows):
        grid.add_row(*(Text(cell) for cell in row), style="bold green" if i == marked else None)
    Console().print(grid)


def _numeric(cell: str) -> bool:
    """Whether a cell is a number, maybe with a unit; "3 W4A8, 1 W4A4" is none."""
    return (
        cell in ("", "-")
        or re.fullmatch(r"[-+<~]*\d[\d,]*(\.\d+)?(e-?\d+)?( ?[^\W\d_]*(/[^\W\d_]+)?| %)", cell) is not None
    )
