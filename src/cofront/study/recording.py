"""A run in a study that does not come to its end says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cofront.errors import CofrontError

if TYPE_CHECKING:
    from cofront.study.store import Run


@contextmanager
def ending(run: Run | None) -> Iterator[None]:
    """Marks `run`, if there is one, as failed on an error and as interrupted on Ctrl-C or an exit, and lets both pass.

    When the study itself is what failed, the error on its way says more than a second one would.
    """
    try:
        yield
    except BaseException as error:
        if run is not None:
            with suppress(CofrontError):
                run.finish("failed" if isinstance(error, Exception) else "interrupted")
        raise
