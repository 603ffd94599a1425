"""`--budget`: limits on what a network may cost, in units or as a share of what it costs now."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from cofront.errors import UsageError

#: Unit -> quantity and factor to SI: seconds, joules, bytes. Letters count: an mJ is no MJ.
_UNITS = {
    "s": ("latency", 1.0), "ms": ("latency", 1e-3), "us": ("latency", 1e-6),
    "J": ("energy", 1.0), "mJ": ("energy", 1e-3), "uJ": ("energy", 1e-6), "nJ": ("energy", 1e-9),
    "B": ("size", 1.0), "kB": ("size", 1e3), "KB": ("size", 1e3), "MB": ("size", 1e6), "KiB": ("size", 1024.0),
    "MiB": ("size", 1024.0**2),
}  # fmt: skip
QUANTITIES = ("latency", "energy", "size")
_NUMBER = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)"


@dataclass(frozen=True)
class Budget:
    """At most `limit` (s, J, bytes) of a quantity, or the `share` of what the network costs now."""

    quantity: str
    limit: float | None = None
    share: float | None = None

    def of(self, now: float) -> float:
        """The limit, for a network that costs `now`."""
        return self.limit if self.limit is not None else float(self.share or 0.0) * now


def parse_budgets(text: str, known: Collection[str] = QUANTITIES) -> tuple[Budget, ...]:
    """'0.6x latency', '12ms', '1.5MB', or several after commas, of the `known` quantities; UsageError otherwise."""
    found = tuple(_one(part.strip(), known) for part in text.split(","))
    names = [b.quantity for b in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--budget '{text}' limits the {name} twice; give each quantity once")
    return found


def _one(text: str, known: Collection[str]) -> Budget:
    if relative := re.fullmatch(rf"{_NUMBER}\s*x\s+([a-z]+)", text.lower()):
        share, quantity = float(relative[1]), relative[2]
        if quantity in known and share > 0:
            return Budget(quantity, share=share)
    elif absolute := re.fullmatch(rf"{_NUMBER}\s*([a-zA-Z]+)", text):
        quantity, factor = _UNITS.get(absolute[2], ("", 0.0))
        if quantity in known and float(absolute[1]) > 0:
            return Budget(quantity, limit=float(absolute[1]) * factor)
    examples = {
        "latency": "'0.6x latency' or '12ms'",
        "energy": "'0.5x energy' or '3mJ'",
        "size": "'0.25x size' or '1MB'",
    }
    raise UsageError(f"--budget expects {', '.join(examples[q] for q in known)}, got '{text}'")
