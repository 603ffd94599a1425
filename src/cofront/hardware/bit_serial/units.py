"""Unit costs, read from units.toml, each with its source."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from cofront.errors import InputError

FILE = Path(__file__).with_name("units.toml")


@cache
def unit(group: str, name: str) -> float:
    """One figure of units.toml, in the unit that its name says."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    entry = data[group][name]
    if not entry.get("source") or not entry.get("confidence"):
        raise InputError(f"{FILE.name}: {group}.{name} has no source or confidence")
    return float(entry["value"])
