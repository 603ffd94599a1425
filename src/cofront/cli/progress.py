"""Progress on standard error: a live line on a terminal, a plain line now and then elsewhere; and interrupts."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cofront.api.request import Progress

#: Seconds between plain lines.
EVERY_S = 10.0


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a request to stop; the second ends the program at once."""

    def __init__(self) -> None:
        self.asked = False
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.asked

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("cofront: stopping; what was found is being kept (again to stop at once)", file=sys.stderr, flush=True)

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._handle)
            except ValueError:  # not in the main thread: whoever called us handles signals
                continue
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@contextmanager
def reporter() -> Iterator[Callable[[Progress], None]]:
    """A function that shows a Progress."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _live() as show:
            yield show
        return
    last = time.monotonic()

    def plain(p: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            print(f"cofront: {_text(p)}", file=sys.stderr, flush=True)

    yield plain


@contextmanager
def _live() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda p: status.update(_text(p))


def _text(p: Progress) -> str:
    parts = [f"{p.stage} for {p.elapsed_s:.0f} s"]
    if p.detail:
        parts.append(p.detail)
    if p.designs and p.stage == "searching":
        parts.append(f"{p.designs:,} designs on the front")
    if p.gap is not None:
        parts.append(f"certified gap {100 * p.gap:.3f} points")
    return ", ".join(parts)
