"""What is kept: the SQLite study, the JSON documents, the HTML report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cofront.study.store import Run, RunRecord, Study

__all__ = ["Run", "RunRecord", "Study"]


def __getattr__(name: str) -> Any:
    # a verb that only prints a document should not wait for a database to load
    if name not in __all__:
        raise AttributeError(f"module 'cofront.study' has no attribute '{name}'")
    return getattr(import_module("cofront.study.store"), name)
