"""`cofront evaluate`."""

from __future__ import annotations

from cofront.cli.options import Json, Seed

HELP = "evaluate."
EXAMPLE = """
Example:
  $ cofront evaluate
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    raise SystemExit(1)
