"""`cofront search`."""

from __future__ import annotations

from cofront.cli.options import Json, Seed

HELP = "search."
EXAMPLE = """
Example:
  $ cofront search
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    raise SystemExit(1)
