"""`cofront spaces`."""

from __future__ import annotations

from cofront.cli import output
from cofront.cli.options import Json, Seed

HELP = "List the search spaces: what is chosen, and how many (network, precision) pairs there are."
EXAMPLE = """
Example:
  $ cofront spaces
  $ cofront spaces --json
"""


def run(json: Json = False, seed: Seed = 0) -> None:
    from cofront import api

    spaces = api.spaces()
    if json:
        output.emit_json(spaces)
        return
    rows = [
        [s.name, s.task, "x".join(map(str, s.input_shape)), output.count(s.points), " ".join(s.precisions)]
        for s in spaces
    ]
    output.table("Search spaces", ["name", "task", "input", "networks x precisions", "precisions"], rows)
