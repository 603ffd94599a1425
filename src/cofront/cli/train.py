"""`cofront train`."""

from __future__ import annotations

from cofront.cli.options import Json, Seed

HELP = "train."
EXAMPLE = """
Example:
  $ cofront train
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    raise SystemExit(1)
