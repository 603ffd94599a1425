"""`cofront export`."""

from __future__ import annotations

from cofront.cli.options import Json, Seed

HELP = "export."
EXAMPLE = """
Example:
  $ cofront export
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    raise SystemExit(1)
