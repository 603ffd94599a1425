"""What a verb prints: one JSON document, rich tables on a terminal, or plain aligned text."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cofront.study.documents import Document


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
    return not cell or cell == "-" or cell.lstrip("-+<~ ")[:1].isdigit()


def seconds(value: float | None, digits: int = 3) -> str:
    """A duration with so many significant digits: 1.23 ms."""
    if value is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.{digits}g} {unit}" if value < 1000 * scale else f"{value / scale:.0f} {unit}"
    return f"{value * 1e9:.{digits}g} ns"


def rate(fps: float, digits: int | None = None) -> str:
    """A frame rate rounded down, so that what is printed can be had: whole, or with so many digits."""
    exponent = 0 if digits is None or fps <= 0 else math.floor(math.log10(fps)) + 1 - digits
    unit = 10.0**exponent
    value = math.floor(fps / unit * (1 + 1e-12)) * unit
    return f"{value:,.{max(0, -exponent)}f}"


def percent(fraction: float | None, digits: int = 2) -> str:
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def quantity(value: float) -> str:
    """A count with a metric suffix: 300.8 M."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value:.4g}"


def count(value: int) -> str:
    """An exact count while it is short, a power of ten beyond: 5.94e36."""
    if value < 10**7:
        return f"{value:,}"
    digits, _, exponent = f"{float(value):.2e}".partition("e")
    return f"{digits}e{int(exponent)}"
