"""The precisions that networks may have here."""

from __future__ import annotations

#: Precisions by name: (weight bits, activation bits).
PRECISIONS: dict[str, tuple[int, int]] = {"W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4)}
