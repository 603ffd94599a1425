"""A paper's claims beside what was measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Claim:
    """One statement of a paper. `confidence` is how well we know that the paper says it ("sourced", "derived", ...)."""

    what: str
    paper: str
    ours: str
    source: str
    confidence: str
    note: str = ""


def claims_table(claims: Sequence[Claim]) -> str:
    """The claims as a Markdown table."""
    rows = ["| claim | paper | ours | source | note |", "|---|---|---|---|---|"]
    rows += [f"| {c.what} | {c.paper} | {c.ours} | {c.source} ({c.confidence}) | {c.note} |" for c in claims]
    return "\n".join(rows)


def claims_json(claims: Sequence[Claim]) -> list[dict[str, str]]:
    """The claims as JSON-ready dictionaries."""
    return [asdict(c) for c in claims]
