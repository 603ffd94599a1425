"""`cofront report`."""

from __future__ import annotations

from cofront.cli.options import Json, Seed

HELP = "report."
EXAMPLE = """
Example:
  $ cofront report
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    raise SystemExit(1)
