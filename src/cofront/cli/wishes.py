"""Which wish the design files in a folder answer, and what becomes of them when another wish is asked there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from cofront.api.exporting import FORMATS
from cofront.api.networks import read_design
from cofront.errors import CofrontError
from cofront.study.documents import Design, DesignDocument, SearchDocument


def wish_of(document: SearchDocument) -> dict[str, float]:
    """What was asked for: `fps`, `accuracy`, or nothing for the knee."""
    asked = {"fps": document.required_fps, "accuracy": document.required_accuracy}
    return {name: value for name, value in asked.items() if value is not None}


def in_words(wish: dict[str, Any]) -> str:
    """ "--fps 2000"; the knee when nothing was asked for."""
    return " ".join(f"--{name} {value:.10g}" for name, value in wish.items()) or "the knee"


class Before:
    """The design that was in a folder before this search wrote there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FORMATS["design"]
        self.design: DesignDocument | None = None
        self.exists = self.path.exists()
        if self.exists:
            with suppress(CofrontError):  # a file that is not ours
                self.design = read_design(self.path)

    def _whose(self) -> str:
        wish = None if self.design is None else self.design.provenance.get("wish")
        known = isinstance(wish, dict) and all(isinstance(v, int | float) for v in wish.values())
        return f"the design of {in_words(wish)}" if known and wish is not None else "an earlier file"

    def replaced(self, document: SearchDocument) -> str | None:
        """What to say when the chosen design is written over it; nothing when it is the same design."""
        assert document.chosen is not None
        if not self.exists or self._is(document.device, document.front[document.chosen]):
            return None
        return f"{self.path} held {self._whose()}: replaced"

    def _is(self, device: str, other: Design) -> bool:
        found = self.design
        if found is None or found.device != device:
            return False
        return (found.design.point, found.design.config) == (other.point, other.config)

    def stays(self) -> str | None:
        """What to say when nothing is written."""
        return f"{self.path} still holds {self._whose()}" if self.exists else None
